"""Short-time Fourier transform as convolutions, for networks and for ONNX.

Authors
 * The PolSESS recipe team 2026
"""

import math

import torch
import torch.nn.functional as F

from networks.mapping import check_multiple

SMALLEST = 1e-11  # of the windows' sum of squares, as in torch.istft


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
