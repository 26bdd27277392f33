"""Applies a trained model to recordings.

Authors
 * The PolSESS recipe team 2026
"""

import torch
from networks.options import check_precision
from variants import source_names

from inference.offset import RunningMean, WithoutMean, hears_the_past_alone
from inference.trained import load_trained
from inference.windows import Windows

FULL_SCALE = 1.0
PRECISIONS = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


class Separation:
    """A trained model, ready to separate; threads may share it.

    Raises ValueError when precision, window or overlap is invalid.

    Arguments
    ---------
    separator : torch.nn.Module
        [batch, time] -> [batch, time, source], for instance a
        separator.Separator. It is moved to the device.
    sample_rate : int
        Sample rate of the model in Hz.
    names : list of str
        Names of the sources.
    window_seconds : float
        Longer recordings are separated in windows of this length.
    overlap_seconds : float
        Overlap of two windows, at most half a window.
    batch_size : int
        Windows per forward pass.
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
        check_precision(separator, precision)
        self.separator = separator.eval().to(device)
        self.sample_rate = sample_rate
        self.names = list(names)
        self.device = device
        self.dtype = PRECISIONS[precision]
        self.is_causal = hears_the_past_alone(separator)
        self.min_samples = getattr(separator, "min_samples", 1)
        self.windows = Windows(
            self._estimate,
            round(window_seconds * sample_rate),
            round(overlap_seconds * sample_rate),
            batch_size,
        )

    @classmethod
    def from_run(cls, path, **options):
        """Loads the model of a run or an export.

        Raises ValueError as ``trained.load_trained`` does.

        Arguments
        ---------
        path : str or Path
            Output folder of a training, one of its checkpoints, or an export.
        **options : dict
            Arguments of the class, from window_seconds on.

        Returns
        -------
        Separation
            Ready to be called.
        """
        model = load_trained(path)
        names = source_names(model.task)
        return cls(model.separator, model.sample_rate, names, **options)

    def __call__(self, mixture):
        """Separates one mixture, or each mixture of a list.

        Raises ValueError when a mixture is not a vector of finite floats, or is
        shorter than ``min_samples``.

        Arguments
        ---------
        mixture : np.ndarray or torch.Tensor or list
            [time], at the sample rate of the model, full scale 1; or a list of
            mixtures of any lengths.

        Returns
        -------
        np.ndarray or list
            Sources at the level of the mixture, [time, source], float32; a list
            for a list.
        """
        if isinstance(mixture, (list, tuple)):
            return [self(item) for item in mixture]
        level, parts = LevelMatcher(), []
        mixture = self._checked(mixture)
        for part in self.run(level.listen([mixture])):
            level.add(part)
            parts.append(part)
        return (torch.cat(parts) * level.factors()).numpy()

    def run(self, blocks):
        """Separates blocks of a mixture, as ``Windows.run`` does.

        Its DC offset is taken out before the network, see ``inference.offset``.
        """
        if self.is_causal:
            blocks = map(RunningMean(), blocks)
        return self.windows.run(blocks)

    def _checked(self, mixture):
        """A mixture as a float32 vector on the CPU."""
        mixture = torch.as_tensor(mixture).detach().cpu()
        problem = None
        if mixture.dim() != 1:
            problem = (
                f"samples [time], found an array {list(mixture.shape)}; give "
                "several as a list"
            )
        elif not mixture.is_floating_point():
            problem = (
                f"floats of full scale 1, found {mixture.dtype}; divide 16-bit "
                "samples by 32768"
            )
        elif not mixture.isfinite().all():
            problem = "finite samples, found NaN or inf"
        elif len(mixture) < self.min_samples:
            problem = (
                f"at least {self.min_samples} samples, found {len(mixture)}"
            )
        if problem:
            raise ValueError(f"mixture: expected {problem}")
        return mixture.float()

    def _estimate(self, mixtures):
        """Forward pass, [batch, time] -> [batch, time, source]."""
        mixtures = mixtures.to(self.device)
        if not self.is_causal:
            mixtures = WithoutMean()(mixtures)
        kind = mixtures.device.type
        half = self.dtype != torch.float32
        with torch.inference_mode(), torch.autocast(kind, self.dtype, half):
            return self.separator(mixtures).float().cpu()


class LevelMatcher:
    """Finds the factors that bring estimates to the level of the mixture.

    The level of estimates is arbitrary. Each source gets one factor for the
    whole recording, that of its projection on the mixture without its mean: it is
    then never louder than the mixture. If a sample still exceeds full scale, one factor
    attenuates all sources.

    Example
    -------
    >>> level = LevelMatcher()
    >>> mixture = torch.tensor([0.5, -0.5, 0.5, -0.5])
    >>> for block in level.listen([mixture]):
    ...     level.add(torch.stack([block * -8, block * 0], dim=-1))
    >>> level.factors()
    tensor([-0.1250,  0.0000])
    """

    def __init__(self):
        self.waiting = torch.empty(0)  # mixture whose estimates are to come
        self.first = None  # sample of the mixture
        self.common = self.energy = self.total = self.mixture_total = 0.0
        self.length = 0
        self.peak = torch.zeros(1, dtype=torch.float64)
        self.is_silent = True  # the mixture, but for an offset

    def listen(self, blocks):
        """Passes blocks of the mixture on to the network.

        Arguments
        ---------
        blocks : iterable of torch.Tensor
            [time]

        Yields
        ------
        torch.Tensor
            The same blocks.
        """
        for block in blocks:
            self.waiting = torch.cat([self.waiting, block])
            yield block

    def add(self, estimates):
        """Adds the next estimates; their mixture was listened to before.

        Arguments
        ---------
        estimates : torch.Tensor
            [time, source]
        """
        length = len(estimates)
        mixture, self.waiting = self.waiting[:length], self.waiting[length:]
        values = estimates.double()
        self.common = self.common + mixture.double() @ values
        self.total = self.total + values.sum(0)
        self.mixture_total += mixture.double().sum().item()
        self.length += length
        self.energy = self.energy + values.square().sum(0)
        if length:
            self.first = mixture[0] if self.first is None else self.first
            self.is_silent &= (mixture == self.first).all().item()
            self.peak = self.peak.maximum(values.abs().amax(0))

    def factors(self):
        """Computes the factor of each source.

        Returns
        -------
        torch.Tensor
            [source], float32; zero for a silent source.
        """
        mean = self.mixture_total / max(1, self.length)
        common = self.common - mean * self.total
        factors = common / self.energy.clamp_min(1e-30)
        peak = (self.peak * factors.abs()).max().item()
        if peak > FULL_SCALE:
            factors = factors * (FULL_SCALE / peak)
        return factors.float()
