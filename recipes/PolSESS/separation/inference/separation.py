"""Applies a trained model to recordings.

Authors
 * The PolSESS recipe team 2026
"""

import torch
from inference.levels import Level, in_pairs
from variants import source_names
from inference.trained import load_trained
from inference.windows import Windows

PRECISIONS = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


class Separation:
    """A trained model, ready to be applied. It may be used by several threads.

    Raises ValueError when an argument is not usable.

    Arguments
    ---------
    separator : torch.nn.Module
        [batch, time] -> [batch, time, source], for instance a
        separator.Separator. It is moved to the device.
    sample_rate : int
        Of the model, in Hz.
    names : list of str
        Of the sources.
    window_seconds : float
        A longer recording is separated in windows of this length.
    overlap_seconds : float
        Of two windows; at most half a window.
    batch_size : int
        Windows that go through the network together.
    device : str
        cpu, cuda, cuda:1 ...
    precision : str
        fp32, bf16, or on a GPU fp16.

    Example
    -------
    >>> import numpy as np
    >>> class Halves(torch.nn.Module):
    ...     def forward(self, mixture):
    ...         return torch.stack([mixture, -mixture], dim=-1) / 2
    >>> separation = Separation(Halves(), 8000, ["s1", "s2"])
    >>> separation(np.array([0.5, 0.0, -0.5]))
    array([[ 0.5,  0.5],
           [ 0. ,  0. ],
           [-0.5, -0.5]], dtype=float32)
    """

    def __init__(
        self,
        separator,
        sample_rate,
        names,
        window_seconds=8.0,
        overlap_seconds=1.6,
        batch_size=1,
        device="cpu",
        precision="fp32",
    ):
        kind = torch.device(device).type
        allowed = [p for p in PRECISIONS if kind != "cpu" or p != "fp16"]
        if precision not in allowed:
            raise ValueError(
                f"precision: expected {', '.join(allowed)} on {device}, found "
                f"{precision!r}"
            )
        self.separator = separator.eval().to(device)
        self.sample_rate = sample_rate
        self.names = list(names)
        self.device = device
        self.dtype = PRECISIONS[precision]
        self.windows = Windows(
            self._estimate,
            round(window_seconds * sample_rate),
            round(overlap_seconds * sample_rate),
            batch_size,
        )

    @classmethod
    def from_run(cls, path, **options):
        """Loads the model of a run or of an export.

        Raises ValueError when there is none, see ``trained.load_trained``.

        Arguments
        ---------
        path : str or Path
            Output folder of a training, one of its checkpoints, or an export.
        **options : dict
            See the class, from window_seconds on.

        Returns
        -------
        Separation
            Ready to be called.
        """
        model = load_trained(path)
        names = source_names(model.task)
        return cls(model.separator, model.sample_rate, names, **options)

    @property
    def min_samples(self):
        """Length of the shortest mixture that the network takes, in samples."""
        return getattr(self.separator, "min_samples", 1)

    def __call__(self, mixture):
        """Separates a recording, or several.

        Raises ValueError when a mixture is no vector of finite floats, or is
        shorter than the network takes.

        Arguments
        ---------
        mixture : np.ndarray or torch.Tensor or list
            [time], at the sample rate of the model, full scale 1; or a list of
            such, each of its own length.

        Returns
        -------
        np.ndarray or list
            The sources, [time, source], float32, at the level of the mixture;
            a list of them for a list.
        """
        if isinstance(mixture, (list, tuple)):
            return [self(one) for one in mixture]
        level, parts = Level(), []
        for part in in_pairs(self.windows.run, [self._checked(mixture)]):
            level.add(*part)
            parts.append(part[1])
        return (torch.cat(parts) * level.factors()).numpy()

    def stream(self, blocks):
        """Separates a recording that is read block by block.

        Nothing is checked, and the scale is that of the network, see ``Level``.

        Arguments
        ---------
        blocks : iterable of torch.Tensor
            The mixture, [time], float32, in blocks of any length.

        Returns
        -------
        iterator
            Pairs of mixture, [time], and estimates, [time, source].
        """
        return in_pairs(self.windows.run, blocks)

    def _checked(self, mixture):
        """A mixture as the windows take it."""
        mixture = torch.as_tensor(mixture).detach().cpu()
        if mixture.dim() != 1:
            raise ValueError(
                "mixture: expected samples [time], found an array "
                f"{list(mixture.shape)}; give several as a list"
            )
        if not mixture.is_floating_point():
            raise ValueError(
                "mixture: expected floats of full scale 1, found "
                f"{mixture.dtype}; divide 16-bit samples by 32768"
            )
        if not mixture.isfinite().all():
            raise ValueError(
                "mixture: expected finite samples, found NaN or inf"
            )
        if len(mixture) < self.min_samples:
            raise ValueError(
                f"mixture: expected at least {self.min_samples} samples, "
                f"found {len(mixture)}"
            )
        return mixture.float()

    def _estimate(self, mixtures):
        """A pass of the network, [batch, time] -> [batch, time, source]."""
        mixtures = mixtures.to(self.device)
        kind = mixtures.device.type
        half = self.dtype != torch.float32
        with torch.inference_mode(), torch.autocast(kind, self.dtype, half):
            return self.separator(mixtures).float().cpu()
