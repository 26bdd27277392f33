"""TF-GridNet: LSTMs along frequency and time, attention between frames.

Paper: "TF-GridNet: Integrating Full- and Sub-Band Modeling for Speech
Separation", https://arxiv.org/abs/2211.12433.

Authors
 * The PolSESS recipe team 2026
"""

import math

import torch
import torch.nn.functional as F

from networks.mapping import check_multiple, check_sizes
from networks.spectral import EPS, FullBandAttention, SpectralMapping


class TFGridNet(SpectralMapping):
    """Maps the complex spectrogram of a mixture to those of its sources.

    Equal to ESPnet's first version for mixtures of whole hops. Raises ValueError
    for sizes that do not fit.

    Arguments
    ---------
    num_spks : int
        Number of sources.
    D : int
        Channels, a multiple of heads.
    B : int
        Blocks.
    I, J : int
        Bins or frames that an LSTM reads at a step, and its stride.
    H : int
        Units of an LSTM in each direction.
    heads : int
        Heads of the attention.
    qk_dim : int
        Values of a query, rounded up to whole channels of all bins.
    n_fft, hop : int
        Length and step of the STFT's window in samples.

    Example
    -------
    >>> network = TFGridNet(2, D=8, B=1, I=4, J=1, H=8, n_fft=32, hop=16)
    >>> network(torch.randn(3, 1001)).shape
    torch.Size([3, 1001, 2])
    """

    def __init__(
        self,
        num_spks,
        D,
        B,
        I,  # noqa: E741
        J,
        H,
        heads=4,
        qk_dim=512,
        n_fft=256,
        hop=64,
    ):
        super().__init__(num_spks, D, n_fft, hop, min_frames=I)
        bins = n_fft // 2 + 1
        check_sizes(B=B, H=H, I=I, J=J, qk_dim=qk_dim)
        check_multiple("D", D, heads, "heads")
        if not J <= I <= bins:
            raise ValueError(
                f"I, J: expected J <= I <= {bins} bins, found I {I}, J {J}"
            )
        self.blocks = torch.nn.ModuleList(
            Block(bins, D, I, J, H, heads, qk_dim) for _ in range(B)
        )


class Block(torch.nn.Module):
    """LSTM along the bins, LSTM along the frames, attention between frames.

    Arguments
    ---------
    bins : int
        Number of bins.
    D, I, J, H, heads, qk_dim : int
        See ``TFGridNet``.
    """

    def __init__(self, bins, D, I, J, H, heads, qk_dim):  # noqa: E741
        super().__init__()
        self.kernel, self.stride = I, J
        self.along_bins = RecurrentPath(D, I, J, H)
        self.along_frames = RecurrentPath(D, I, J, H)
        channels = math.ceil(qk_dim / bins)
        self.attention = FullBandAttention(bins, D, heads, channels)

    def forward(self, x):
        """Maps [batch, frame, bin, D] to its shape."""
        frames, bins = x.shape[1:3]
        # Zeros up to a whole number of strides.
        missing = [-(n - self.kernel) % self.stride for n in (bins, frames)]
        y = F.pad(x, (0, 0, 0, missing[0], 0, missing[1]))
        y = self.along_bins(y)
        y = self.along_frames(y.transpose(1, 2)).transpose(1, 2)
        y = y[:, :frames, :bins]
        return y + self.attention(y)


class RecurrentPath(torch.nn.Module):
    """Bidirectional LSTM along one axis, added to its input.

    Arguments
    ---------
    D, I, J, H : int
        See ``TFGridNet``.
    """

    def __init__(self, D, I, J, H):  # noqa: E741
        super().__init__()
        self.kernel, self.stride = I, J
        self.norm = torch.nn.LayerNorm(D, EPS)
        self.lstm = torch.nn.LSTM(
            D * I, H, batch_first=True, bidirectional=True
        )
        self.deconv = torch.nn.ConvTranspose1d(2 * H, D, I, J)

    def forward(self, x):
        """Maps [batch, row, position, D] to its shape; rows do not mix."""
        with torch.autocast(x.device.type, enabled=False):
            y = self.norm(x.float()).flatten(0, 1)
        # [row, position, D] -> [row, step, D * I]
        y = y.unfold(1, self.kernel, self.stride).flatten(2)
        y, _ = self.lstm(y)
        y = self.deconv(y.transpose(1, 2)).transpose(1, 2)
        return x + y.reshape(x.shape)
