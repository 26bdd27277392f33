"""SPMamba: time-frequency separation with Mamba along both axes.

"SPMamba: State-space model is all you need in speech separation",
https://arxiv.org/abs/2404.02063. Its blocks are those of TF-GridNet,
https://arxiv.org/abs/2211.12433, with Mamba in place of the LSTMs.

Authors
 * The PolSESS recipe team 2026
"""

import math

import torch

from networks.mapping import check_multiple, check_sizes
from networks.scan import Mamba
from networks.spectral import EPS, FullBandAttention, SpectralMapping


class SPMamba(SpectralMapping):
    """Maps the complex spectrogram of a mixture to those of its sources.

    Raises ValueError for a size that does not divide or that is out of range.

    Arguments
    ---------
    num_spks : int
        Number of sources.
    n_fft, hop : int
        Window and step of the STFT in samples.
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
        bins = n_fft // 2 + 1
        mamba = dict(d_state=d_state, expand=expand)
        check_sizes(B=B, I=I, qk=qk, **mamba)
        check_multiple("D", D, heads, "heads")
        if I > bins:
            raise ValueError(f"I: expected at most {bins} bins, found {I}")
        super().__init__(num_spks, D, n_fft, hop, min_frames=I)
        self.blocks = torch.nn.ModuleList(
            Block(bins, D, I, heads, qk, mamba) for _ in range(B)
        )


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
        self.attention = FullBandAttention(bins, D, heads, math.ceil(qk / bins))

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
