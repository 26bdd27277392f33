"""Networks that map the complex spectrogram of a mixture to its sources'.

Authors
 * The PolSESS recipe team 2026
"""

import torch
import torch.nn.functional as F

from networks.mapping import check_length, check_sizes
from networks.stft import ConvSTFT

EPS = 1e-5  # of the norms
SILENCE = 1e-8  # smallest deviation of a mixture, full scale is 1


class SpectralMapping(torch.nn.Module):
    """STFT, embedding in D channels, ``transform``, and the way back.

    The mixture is divided by its standard deviation, the estimates are
    multiplied by it. Both ends compute in float32. Mixtures are padded to whole
    hops: without, the window's end, near zero, would divide the last samples.

    Arguments
    ---------
    num_spks : int
        Number of sources.
    D : int
        Channels.
    n_fft, hop : int
        Length and step of the STFT's window in samples.
    min_frames : int
        Fewest frames that ``transform`` takes.
    """

    def __init__(self, num_spks, D, n_fft, hop, min_frames=1):
        super().__init__()
        check_sizes(num_spks=num_spks, D=D, hop=hop)
        self.num_spks = num_spks
        # Reflection takes a sample more than it adds.
        self.min_samples = max(n_fft // 2 + 1, (min_frames - 1) * hop)
        self.stft = ConvSTFT(n_fft, hop)
        self.conv = torch.nn.Conv2d(2, D, 3, padding=1)
        self.norm = torch.nn.GroupNorm(1, D, EPS)
        self.deconv = torch.nn.ConvTranspose2d(D, 2 * num_spks, 3, padding=1)

    def transform(self, y):
        """Maps [batch, frame, bin, D] to its shape by the subclass's blocks."""
        for block in self.blocks:
            y = block(y)
        return y

    def forward(self, mixture):
        """Estimates the sources, [batch, time, source], of [batch, time].

        Estimates of silence are zero. Raises ValueError when the mixture is
        shorter than ``min_samples``.
        """
        check_length(mixture, self.min_samples)
        device, length = mixture.device.type, mixture.shape[-1]
        with torch.autocast(device, enabled=False):
            scale = mixture.float().std(-1, keepdim=True)
            y = F.pad(mixture / (scale + SILENCE), (0, -length % self.stft.hop))
            # [batch, channel, frame, bin] -> [batch, frame, bin, channel]
            y = self.norm(self.conv(self.stft(y))).permute(0, 2, 3, 1)
        y = self.transform(y)
        with torch.autocast(device, enabled=False):
            y = self.deconv(y.float().permute(0, 3, 1, 2))
            y = y.unflatten(1, (self.num_spks, 2)).flatten(0, 1)
            y = self.stft.inverse(y, length).unflatten(0, (-1, self.num_spks))
            return y.transpose(1, 2) * scale.unsqueeze(-1)


class FullBandAttention(torch.nn.Module):
    """Multi-head self-attention between frames, over all bins of a frame.

    Arguments
    ---------
    bins : int
        Number of bins.
    D, heads : int
        Channels of the input, a multiple of heads; heads of the attention.
    channels : int
        Channels of a query at each bin.
    """

    def __init__(self, bins, D, heads, channels):
        super().__init__()
        self.query = Projection(bins, D, heads, channels)
        self.key = Projection(bins, D, heads, channels)
        self.value = Projection(bins, D, heads, D // heads)
        self.out = Projection(bins, D, 1, D)

    def forward(self, x):
        """Maps [batch, frame, bin, D] to its shape."""
        query, key, value = self.query(x), self.key(x), self.value(x)
        y = F.scaled_dot_product_attention(
            query.flatten(3), key.flatten(3), value.flatten(3)
        )
        # [batch, head, frame, bin * D / heads] -> [batch, frame, bin, D]
        y = y.reshape(value.shape).permute(0, 2, 3, 1, 4).flatten(3)
        return self.out(y).flatten(0, 1)


class Projection(torch.nn.Module):
    """Linear layer, PReLU and norm over bins and channels, for each head.

    Arguments
    ---------
    bins : int
        Number of bins.
    D, heads : int
        Channels of the input, number of heads.
    channels : int
        Channels of a head.
    """

    def __init__(self, bins, D, heads, channels):
        super().__init__()
        self.linear = torch.nn.Linear(D, heads * channels)
        self.act = torch.nn.PReLU(heads)
        self.weight = torch.nn.Parameter(torch.ones(heads, 1, bins, channels))
        self.bias = torch.nn.Parameter(torch.zeros(heads, 1, bins, channels))

    def forward(self, x):
        """Maps [batch, frame, bin, D] to [batch, head, frame, bin, channel]."""
        y = self.linear(x).unflatten(3, (len(self.weight), -1))
        with torch.autocast(x.device.type, enabled=False):
            y = self.act(y.float().permute(0, 3, 1, 2, 4))
            y = F.layer_norm(y, y.shape[3:], eps=EPS)
            return y * self.weight + self.bias
