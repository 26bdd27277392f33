"""Networks that map the complex spectrogram of a mixture to its sources'.

Authors
 * The PolSESS recipe team 2026
"""

import math

import torch
import torch.nn.functional as F

from networks.mapping import check_length, check_multiple, check_sizes

EPS = 1e-5  # of the norms
SMALLEST = 1e-11  # of the windows' sum of squares, as in torch.istft
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


class ConvSTFT(torch.nn.Module):
    """Hann-windowed, centred STFT and its inverse.

    Equal to torch.stft and torch.istft, which cannot be exported to ONNX. Both
    directions compute in float32 under autocast. There are no parameters, and
    nothing in the state_dict. Raises ValueError when n_fft is not a multiple of
    two hops.

    Arguments
    ---------
    n_fft : int
        Length of window and transform in samples. A mixture must be longer than
        half of it, for the reflection at its ends.
    hop : int
        Step between frames in samples.

    Example
    -------
    >>> stft = ConvSTFT(n_fft=128, hop=64)
    >>> mixture = torch.randn(3, 1000)
    >>> spectrum = stft(mixture)
    >>> spectrum.shape
    torch.Size([3, 2, 16, 65])
    >>> torch.allclose(stft.inverse(spectrum, 960), mixture[:, :960], atol=1e-5)
    True
    """

    def __init__(self, n_fft, hop):
        super().__init__()
        check_multiple("n_fft", n_fft, 2 * hop, "two hops")
        self.hop = hop
        self.edge = n_fft // 2
        window = torch.hann_window(n_fft, dtype=torch.float64)
        bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64)
        phase = 2 * math.pi / n_fft * bins[:, None] * torch.arange(n_fft)
        waves = torch.cat([phase.cos(), -phase.sin()]) * window
        # Each bin but the first and the last stands for two of the transform.
        count = torch.full((len(bins),), 2.0)
        count[0] = count[-1] = 1
        inverse = waves * count.repeat(2)[:, None] / n_fft
        self._keep("waves", waves[:, None])
        self._keep("inverse_waves", inverse[:, None])
        self._keep("square", window.square()[None, None])

    def _keep(self, name, kernel):
        self.register_buffer(name, kernel.float(), persistent=False)

    def forward(self, mixture):
        """Transforms signals.

        Arguments
        ---------
        mixture : torch.Tensor
            [batch, time], at least n_fft // 2 + 1 samples.

        Returns
        -------
        torch.Tensor
            Real and imaginary part, [batch, 2, frame, bin], with
            time // hop + 1 frames and n_fft // 2 + 1 bins.
        """
        with torch.autocast(mixture.device.type, enabled=False):
            y = mixture.float().unsqueeze(1)
            y = F.pad(y, (self.edge, self.edge), mode="reflect")
            y = F.conv1d(y, self.waves, stride=self.hop)
        return y.unflatten(1, (2, -1)).transpose(2, 3)

    def inverse(self, spectrum, length):
        """Transforms back.

        Arguments
        ---------
        spectrum : torch.Tensor
            As ``forward`` returns, [batch, 2, frame, bin].
        length : int
            Number of samples, of the signal that has that many frames.

        Returns
        -------
        torch.Tensor
            [batch, time]
        """
        with torch.autocast(spectrum.device.type, enabled=False):
            y = spectrum.float().transpose(2, 3).flatten(1, 2)
            y = F.conv_transpose1d(y, self.inverse_waves, stride=self.hop)
            ones = torch.ones_like(spectrum[:1, 0, :, :1], dtype=torch.float32)
            square = F.conv_transpose1d(
                ones.transpose(1, 2), self.square, stride=self.hop
            )
            y = y / square.clamp_min(SMALLEST)
        return y[:, 0, self.edge : self.edge + length]
