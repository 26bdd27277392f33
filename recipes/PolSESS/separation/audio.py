"""Saves the estimates of a test as WAV files.

Authors
 * The PolSESS recipe team 2026
"""

import os
from pathlib import Path

import torch
from manifests import stratified

from speechbrain.dataio import audio_io


class AudioWriter:
    """Writes mixture, estimates and references of test mixtures.

    ``<folder>/<ID>_<variant>_<signal>.wav`` with the signals ``mixture``,
    ``estimate_s1``, ``reference_s1`` and so on, the sources in the order of the
    references. The mixture and the references are as in the corpus; estimates
    are projected onto their references, see ``Utterance.scaled``. Samples are
    32-bit floats, so nothing is clipped or rounded.

    Arguments
    ---------
    folder : str
        Made when the first file is written.
    sample_rate : int
        In Hz.
    limit : int or str
        Number of mixtures, each in every tested variant, or "all"; None for
        none. The pick has the proportions of the whole, see
        ``manifests.stratified``.

    Example
    -------
    >>> writer = AudioWriter("audio", 8000, limit=1)
    >>> row = {"setting": "indoor", "scene_class": "bus"}
    >>> writer.choose({"a": row, "b": row})
    >>> len(writer.chosen)
    1
    """

    def __init__(self, folder, sample_rate, limit=None):
        self.folder = folder
        self.sample_rate = sample_rate
        self.limit = limit
        self.chosen = set()

    def choose(self, mixtures):
        """Chooses the mixtures whose signals are saved.

        Raises ValueError when the ID of one is no name of a file.

        Arguments
        ---------
        mixtures : dict
            Mixture ID -> row of the manifest.
        """
        if self.limit == "all":
            self.chosen = set(mixtures)
        elif self.limit:
            self.chosen = set(stratified(mixtures, self.limit))
        for mixture_id in sorted(self.chosen):
            if os.path.basename(mixture_id) != mixture_id:
                raise ValueError(
                    f"mixture {mixture_id}: this ID cannot name a file, so its "
                    "audio cannot be saved; prepare the corpus again, or set "
                    "--save_audio=0"
                )

    def clear(self):
        """Removes the files of an earlier test: of another model, it may be."""
        for signal in ("mixture", "estimate_*", "reference_*"):
            for path in Path(self.folder).glob(f"*_{signal}.wav"):
                path.unlink()

    def write(self, utterance):
        """Writes the signals of an utterance if its mixture is chosen.

        Raises OSError where files cannot be written.

        Arguments
        ---------
        utterance : utterances.Utterance
            At the scale that the model gave it.
        """
        labels = utterance.labels
        if labels["ID"] not in self.chosen:
            return
        stem = f"{labels['ID']}_{labels['variant']}"
        try:
            os.makedirs(self.folder, exist_ok=True)
            for name, signal in utterance.signals().items():
                audio_io.save(
                    os.path.join(
                        self.folder, f"{stem}_{name.replace(' ', '_')}.wav"
                    ),
                    torch.as_tensor(signal).float().unsqueeze(0),
                    self.sample_rate,
                    subtype="FLOAT",
                )
        except (OSError, RuntimeError) as error:
            raise OSError(
                f"save_audio: {error}; free or change {self.folder}, or set "
                "--save_audio=0"
            ) from error
