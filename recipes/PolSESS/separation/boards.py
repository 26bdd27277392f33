"""Shows a run while it trains, on TensorBoard and Weights & Biases.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np
import torch
from loggers import check_installed
from media import without_clipping

from speechbrain.utils.distributed import if_main_process


class Boards:
    """All boards of a run. Without any, nothing is done.

    Arguments
    ---------
    boards : list
        Boards; None is left out.
    clips : int
        Number of validation mixtures that can be heard and seen.
    clip_interval_epochs : int
        They are shown in the first epoch and in every multiple of this.
    sample_rate : int
        In Hz.

    Raises
    ------
    ImportError
        If there are clips to show and matplotlib is not installed.

    Example
    -------
    >>> boards = Boards([None])
    >>> boards.wants("abc", "SER", epoch=1)
    False
    """

    def __init__(
        self, boards, clips=2, clip_interval_epochs=5, sample_rate=8000
    ):
        self.boards = [board for board in boards if board is not None]
        if self.boards and clips:
            check_installed("matplotlib", '--boards="{clips: 0}"')
        self.clips = clips
        self.clip_interval_epochs = clip_interval_epochs
        self.sample_rate = sample_rate
        self.chosen = {}
        self.shown = set()

    def log_stats(
        self,
        stats_meta,
        train_stats=None,
        valid_stats=None,
        test_stats=None,
        verbose=False,
    ):
        """Shows numbers; the clips of the epoch have to be logged before.

        Arguments
        ---------
        stats_meta : dict
            With the epoch, which is the step.
        train_stats : dict
            Name -> float or int; SI-SDRi/SER for one variant.
        valid_stats : dict
            The same of validation.
        test_stats : dict
            The same of a test.
        verbose : bool
            Not used; part of SpeechBrain's interface.
        """
        for board in self.boards:
            board.log_stats(stats_meta, train_stats, valid_stats, test_stats)

    def wants(self, mixture_id, variant, epoch):
        """Whether to show this utterance; asked for each that is validated.

        The mixtures that validation reads first are shown, in the variant that
        it reads first. Its order is fixed, so that a resumed training shows
        the same.

        Arguments
        ---------
        mixture_id : str
            Of the utterance.
        variant : str
            Of the utterance.
        epoch : int
            From 1.

        Returns
        -------
        bool
            False on all processes but the first.
        """
        if not (self.boards and if_main_process()):
            return False
        if len(self.chosen) < self.clips:
            self.chosen.setdefault(mixture_id, variant)
        due = epoch == 1 or epoch % self.clip_interval_epochs == 0
        return due and self.chosen.get(mixture_id) == variant

    def log_clip(self, labels, signals, epoch):
        """Shows the signals of an utterance as audio and as spectrograms.

        Arguments
        ---------
        labels : dict
            With ID and variant.
        signals : dict
            Name -> np.ndarray [time]. What a name that begins with "estimate"
            stands for changes: it can be heard every time, and all else only
            the first time.
        epoch : int
            The step.
        """
        if not self.boards:
            return
        clip = f"{labels['ID']}_{labels['variant']}"
        # What a diverged network returns is shown as silence.
        signals = {
            name: np.nan_to_num(signal, posinf=0, neginf=0)
            for name, signal in signals.items()
        }
        signals, _ = without_clipping(signals)
        figure = spectrograms(signals, self.sample_rate)
        for board in self.boards:
            for name, signal in signals.items():
                if name.startswith("estimate") or clip not in self.shown:
                    board.log_audio(
                        f"{clip}/{name}", signal, self.sample_rate, epoch
                    )
            board.log_figure(f"{clip}/spectrograms", figure, epoch)
        self.shown.add(clip)


def spectrograms(signals, sample_rate):
    """Draws the signals below each other, with common axes and colours.

    Arguments
    ---------
    signals : dict
        Name -> np.ndarray [time].
    sample_rate : int
        In Hz.

    Returns
    -------
    matplotlib.figure.Figure
    """
    # A Figure of its own: pyplot would choose a backend for the whole process.
    from matplotlib.figure import Figure

    window = torch.hann_window(round(0.032 * sample_rate))
    levels = {}
    for name, signal in signals.items():
        spectrum = torch.stft(
            torch.as_tensor(signal).float(),
            len(window),
            hop_length=len(window) // 4,
            window=window,
            pad_mode="constant",
            return_complex=True,
        )
        levels[name] = 20 * spectrum.abs().clamp(min=1e-8).log10().numpy()
    top = max(level.max() for level in levels.values())
    figure = Figure(figsize=(8, 1 + 1.5 * len(levels)), layout="constrained")
    axes = figure.subplots(len(levels), sharex=True, squeeze=False)[:, 0]
    for axis, (name, level) in zip(axes, levels.items()):
        image = axis.imshow(
            level - top,
            cmap="magma",
            vmin=-80,
            vmax=0,
            aspect="auto",
            origin="lower",
            extent=(0, len(signals[name]) / sample_rate, 0, sample_rate / 2000),
        )
        axis.set_title(name)
        axis.set_ylabel("kHz")
    axes[-1].set_xlabel("seconds")
    figure.colorbar(image, ax=axes, label="dB below the loudest")
    return figure
