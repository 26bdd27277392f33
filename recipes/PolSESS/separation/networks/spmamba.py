"""SPMamba: time-frequency separation with Mamba along both axes.

"SPMamba: State-space model is all you need in speech separation",
https://arxiv.org/abs/2404.02063. Its blocks are those of TF-GridNet,
https://arxiv.org/abs/2211.12433, with Mamba in place of the LSTMs.

Authors
 * The PolSESS recipe team 2026
"""

import math

import torch
import torch.nn.functional as F

from networks.mapping import check_length, check_multiple
from networks.scan import Mamba
from networks.stft import ConvSTFT

EPS = 1e-5  # of the norms
SMALLEST_STD = 1e-8  # of a mixture; keeps silence finite


class SPMamba(torch.nn.Module):
    """SPMamba: maps a mixture to its sources.

    The mixture is divided by its standard deviation, and the estimates are
    multiplied by it. Raises ValueError for a size that does not divide or that
    is out of range.

    Arguments
    ---------
    num_spks : int
        Number of sources.
    n_fft, hop : int
        Window and step of the STFT in samples. The window is a multiple of
        four steps.
    B : int
        Number of blocks.
    D : int
        Channels, a multiple of heads.
    I : int
        Neighbouring bins or frames that Mamba reads at a step.
    heads : int
        Heads of the attention over frames.
    qk : int
        Approximate size of a query of one frame.
    d_state, expand : int
        States a channel and inner channels a channel, see ``Mamba``.

    Example
    -------
    >>> network = SPMamba(2, n_fft=32, hop=8, B=1, D=4, I=2, heads=2, qk=34)
    >>> network(torch.randn(3, 1001)).shape
    torch.Size([3, 1001, 2])
    """

    def __init__(
        self,
        num_spks,
        n_fft=256,
        hop=64,
        B=6,
        D=16,
        I=8,  # noqa: E741
        heads=4,
        qk=512,
        d_state=16,
        expand=4,
    ):
        super().__init__()
        bins = n_fft // 2 + 1
        sizes = dict(num_spks=num_spks, hop=hop, B=B, I=I, heads=heads, qk=qk)
        mamba = dict(d_state=d_state, expand=expand)
        for name, size in {**sizes, **mamba}.items():
            if size < 1:
                raise ValueError(f"{name}: expected at least 1, found {size}")
        check_multiple("D", D, heads, "heads")
        # At two hops the window's end, near zero, would divide last samples.
        check_multiple("n_fft", n_fft, 4 * hop, "four hops")
        if I > bins:
            raise ValueError(f"I: expected at most {bins} bins, found {I}")
        self.num_spks = num_spks
        # Reflection takes one sample more than it adds, and a step I frames.
        self.min_samples = max(n_fft // 2 + 1, (I - 1) * hop)
        self.stft = ConvSTFT(n_fft, hop)
        self.embed = torch.nn.Conv2d(2, D, 3, padding=1)
        self.norm = torch.nn.GroupNorm(1, D, EPS)
        self.blocks = torch.nn.ModuleList(
            Block(bins, D, I, heads, qk, mamba) for _ in range(B)
        )
        self.spectra = torch.nn.ConvTranspose2d(D, 2 * num_spks, 3, padding=1)

    def forward(self, mixture):
        """Estimates the sources, [batch, time, source], of [batch, time].

        Raises ValueError when the mixture is shorter than ``min_samples``.
        """
        check_length(mixture, self.min_samples)
        device = mixture.device.type
        with torch.autocast(device, enabled=False):
            mixture = mixture.float()
            scale = mixture.std(1, keepdim=True).clamp_min(SMALLEST_STD)
            y = self.norm(self.embed(self.stft(mixture / scale)))
        y = y.permute(0, 2, 3, 1)
        for block in self.blocks:
            y = block(y)
        with torch.autocast(device, enabled=False):
            # [batch, frame, bin, D] -> [batch * source, 2, frame, bin]
            y = self.spectra(y.permute(0, 3, 1, 2)).unflatten(1, (-1, 2))
            y = self.stft.inverse(y.flatten(0, 1), mixture.shape[1])
            # [batch * source, time] -> [batch, time, source]
            y = y.unflatten(0, (-1, self.num_spks)).transpose(1, 2)
            return y * scale.unsqueeze(-1)


class Block(torch.nn.Module):
    """Mamba along the bins, Mamba along the frames, attention over frames.

    Each is added to its input, [batch, frame, bin, D].

    Arguments
    ---------
    bins : int
        Number of bins of the STFT.
    D, I, heads, qk : int
        See ``SPMamba``.
    mamba : dict
        Options of ``Mamba``.
    """

    def __init__(self, bins, D, I, heads, qk, mamba):  # noqa: E741
        super().__init__()
        self.along_bins = Path(D, I, mamba)
        self.along_frames = Path(D, I, mamba)
        self.attention = Attention(bins, D, heads, math.ceil(qk / bins))

    def forward(self, signal):
        """Maps [batch, frame, bin, D] to its shape."""
        signal = self.along_bins(signal)
        signal = self.along_frames(signal.transpose(1, 2)).transpose(1, 2)
        return signal + self.attention(signal)


class Path(torch.nn.Module):
    """Bidirectional Mamba along one axis, with residual.

    Arguments
    ---------
    D, I : int
        See ``SPMamba``.
    mamba : dict
        Options of ``Mamba``.
    """

    def __init__(self, D, I, mamba):  # noqa: E741
        super().__init__()
        self.width = I
        self.norm = torch.nn.LayerNorm(D, EPS)
        self.forwards, self.backwards = (
            torch.nn.Sequential(
                torch.nn.RMSNorm(D * I, EPS), Mamba(D * I, **mamba)
            )
            for _ in range(2)
        )
        self.merge = torch.nn.ConvTranspose1d(2 * D * I, D, I)

    def forward(self, signal):
        """Maps [batch, row, step, D] to its shape; rows do not mix."""
        with torch.autocast(signal.device.type, enabled=False):
            y = self.norm(signal.float())
        # [batch * row, step - I + 1, D * I]
        y = y.flatten(0, 1).unfold(1, self.width, 1).flatten(2)
        reverse = y.flip(1)
        later = y + self.forwards(y)
        earlier = (reverse + self.backwards(reverse)).flip(1)
        y = self.merge(torch.cat([later, earlier], -1).transpose(1, 2))
        return signal + y.transpose(1, 2).unflatten(0, signal.shape[:2])


class Attention(torch.nn.Module):
    """Self-attention over frames, which reads all bins of a frame at once.

    Arguments
    ---------
    bins : int
        Number of bins of the STFT.
    D, heads : int
        See ``SPMamba``.
    E : int
        Channels of a query, at each bin.
    """

    def __init__(self, bins, D, heads, E):
        super().__init__()
        self.query = Projection(bins, D, heads, E)
        self.key = Projection(bins, D, heads, E)
        self.value = Projection(bins, D, heads, D // heads)
        self.merge = Projection(bins, D, 1, D)

    def forward(self, signal):
        """Maps [batch, frame, bin, D] to its shape."""
        parts = self.query(signal), self.key(signal), self.value(signal)
        y = F.scaled_dot_product_attention(*(part.flatten(3) for part in parts))
        # [batch, head, frame, bin * D / heads] -> [batch, frame, bin, D]
        y = y.unflatten(3, parts[2].shape[3:]).permute(0, 2, 3, 1, 4).flatten(3)
        return self.merge(y).squeeze(1)


class Projection(torch.nn.Module):
    """Linear layer, PReLU and norm over bins and channels, for each head.

    Arguments
    ---------
    bins : int
        Number of bins of the STFT.
    D : int
        Channels of the input.
    heads : int
        Number of heads.
    size : int
        Channels of a head.
    """

    def __init__(self, bins, D, heads, size):
        super().__init__()
        self.linear = torch.nn.Linear(D, heads * size)
        self.slope = torch.nn.Parameter(torch.full((heads, 1, 1, 1), 0.25))
        self.gain = torch.nn.Parameter(torch.ones(heads, 1, bins, size))
        self.bias = torch.nn.Parameter(torch.zeros(heads, 1, bins, size))

    def forward(self, signal):
        """Maps [batch, frame, bin, D] to [batch, head, frame, bin, size]."""
        y = self.linear(signal).unflatten(3, (len(self.gain), -1))
        y = y.permute(0, 3, 1, 2, 4)
        with torch.autocast(y.device.type, enabled=False):
            y = y.float()
            y = y.clamp_min(0) + self.slope * y.clamp_max(0)
            y = F.layer_norm(y, y.shape[3:], eps=EPS)
            return y * self.gain + self.bias
