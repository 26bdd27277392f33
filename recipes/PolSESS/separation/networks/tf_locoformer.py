"""TF-Locoformer: attention and convolution along frequency and along time.

Paper: "TF-Locoformer: Transformer with Local Modeling by Convolution for Speech
Separation and Enhancement", https://arxiv.org/abs/2408.03440. The gated local
attention is that of TF-MossFormer, https://arxiv.org/abs/2607.21128.

Authors
 * The PolSESS recipe team 2026
"""

import torch
import torch.nn.functional as F

from networks.mapping import check_multiple, check_sizes
from networks.spectral import EPS, SpectralMapping

GATE_KERNEL, GATE_EDGES = 4, (1, 2)  # positions; zeros before and after


class TFLocoformer(SpectralMapping):
    """Maps the complex spectrogram of a mixture to those of its sources.

    Equal to the authors' code for mixtures of whole hops. Raises ValueError for
    sizes that do not divide.

    Arguments
    ---------
    num_spks : int
        Number of sources.
    D : int
        Channels, a multiple of groups.
    B : int
        Blocks, each a path along frequency and one along time.
    H : int
        Channels within a feed-forward part.
    K : int
        Kernel of a feed-forward part, in bins and in frames.
    attention_dim : int
        Channels of the attention, a multiple of twice the heads.
    heads : int
        Heads of the attention.
    groups : int
        Groups of channels that are normalised on their own.
    n_fft, hop : int
        Length and step of the STFT's window in samples.
    local_windows : list of int
        Bins and frames, both odd, that TF-MossFormer's local attention sees;
        None for TF-Locoformer, which has no such attention.

    Example
    -------
    >>> network = TFLocoformer(2, D=8, B=1, H=8, K=4, attention_dim=8)
    >>> network(torch.randn(3, 1001)).shape
    torch.Size([3, 1001, 2])
    """

    def __init__(
        self,
        num_spks,
        D,
        B,
        H,
        K,
        attention_dim,
        heads=4,
        groups=4,
        n_fft=128,
        hop=64,
        local_windows=None,
    ):
        super().__init__(num_spks, D, n_fft, hop)
        check_sizes(B=B, H=H, K=K, heads=heads)
        check_multiple("D", D, groups, "groups")
        check_multiple("attention_dim", attention_dim, 2 * heads, "twice heads")
        windows = _checked_windows(local_windows)
        self.paths = torch.nn.ModuleList(
            Path(D, H, K, attention_dim, heads, groups, window)
            for _ in range(B)
            for window in windows
        )
        # The authors start with biases of zero. Silent bins would then hold
        # rounding errors alone, and the norms would amplify them.
        for parameter in self.parameters():
            if parameter.dim() > 1:
                torch.nn.init.xavier_uniform_(parameter)

    def transform(self, y):
        """Maps [batch, frame, bin, D] to its shape."""
        for path in self.paths:
            y = path(y).transpose(1, 2)
        return y


class Path(torch.nn.Module):
    """Feed-forward, attention and feed-forward part along one axis.

    Arguments
    ---------
    D, H, K, attention_dim, heads, groups : int
        See ``TFLocoformer``.
    window : int
        Positions that the local attention sees; 0 for TF-Locoformer.
    """

    def __init__(self, D, H, K, attention_dim, heads, groups, window):
        super().__init__()
        gated = [(window, True), (0, True)]
        attention = (
            Attention(D, attention_dim, heads, *options)
            for options in (gated if window else [(0, False)])
        )
        norms = (RMSGroupNorm(D, groups) for _ in range(3))
        self.norms = torch.nn.ModuleList(norms)
        self.first = ConvSwiGLU(D, H, K)
        self.attention = torch.nn.Sequential(*attention)
        self.last = ConvSwiGLU(D, H, K)

    def forward(self, x):
        """Maps [batch, row, position, D] to its shape; rows do not mix."""
        y = x.flatten(0, 1)
        y = y + self.first(self.norms[0](y))
        y = y + self.attention(self.norms[1](y))
        y = y + self.last(self.norms[2](y))
        return y.reshape(x.shape)


class RMSGroupNorm(torch.nn.Module):
    """Divides groups of the last axis by their root mean square, in float32.

    Arguments
    ---------
    channels : int
        Length of the last axis, a multiple of groups.
    groups : int
        Number of groups.

    Example
    -------
    >>> RMSGroupNorm(4, groups=2)(torch.tensor([3.0, 3.0, 0.0, 0.0]))
    tensor([1.0000, 1.0000, 0.0000, 0.0000], grad_fn=<AddBackward0>)
    """

    def __init__(self, channels, groups):
        super().__init__()
        self.groups = groups
        self.weight = torch.nn.Parameter(torch.ones(channels))
        self.bias = torch.nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        """Normalises x, [..., channel]."""
        with torch.autocast(x.device.type, enabled=False):
            y = x.float().unflatten(-1, (self.groups, -1))
            rms = torch.linalg.vector_norm(y, dim=-1, keepdim=True)
            y = y / (rms / y.shape[-1] ** 0.5 + EPS)
            return y.flatten(-2) * self.weight + self.bias


class ConvSwiGLU(torch.nn.Module):
    """Convolution, SwiGLU and transposed convolution along the positions.

    Arguments
    ---------
    D, H, K : int
        See ``TFLocoformer``.
    """

    def __init__(self, D, H, K):
        super().__init__()
        # The second one cuts off what the first one pads.
        self.conv = torch.nn.Conv1d(D, 2 * H, K, padding=K - 1)
        self.deconv = torch.nn.ConvTranspose1d(H, D, K, padding=K - 1)

    def forward(self, x):
        """Maps [row, position, D] to its shape."""
        y, gate = self.conv(x.transpose(1, 2)).chunk(2, 1)
        return self.deconv(y * F.silu(gate)).transpose(1, 2)


class Attention(torch.nn.Module):
    """Multi-head self-attention with rotary positions.

    Arguments
    ---------
    D, attention_dim, heads : int
        See ``TFLocoformer``.
    window : int
        Number of positions, centred, that a position sees; 0 for all.
    is_gated : bool
        True: the output is multiplied by a gate, SiLU of a convolution.
    """

    def __init__(self, D, attention_dim, heads, window=0, is_gated=False):
        super().__init__()
        self.heads, self.window = heads, window
        self.qkv = torch.nn.Linear(D, 3 * attention_dim, bias=False)
        self.out = torch.nn.Linear(attention_dim, D, bias=False)
        self.gate = torch.nn.Conv1d(D, D, GATE_KERNEL) if is_gated else None
        size = attention_dim // heads
        rates = 10_000.0 ** (-torch.arange(0, size, 2) / size)
        self.register_buffer("rates", rates, persistent=False)

    def forward(self, x):
        """Maps [row, position, D] to its shape."""
        # [row, position, attention_dim * 3] -> [row, head, position, size] x 3
        y = self.qkv(x).unflatten(-1, (3, self.heads, -1)).transpose(1, 3)
        query, key, value = y.unbind(2)
        mask = None
        if self.window:
            positions = torch.arange(x.shape[1], device=x.device)
            distance = (positions[:, None] - positions).abs()
            mask = distance <= self.window // 2
        y = F.scaled_dot_product_attention(
            self.rotate(query), self.rotate(key), value, attn_mask=mask
        )
        y = self.out(y.transpose(1, 2).flatten(2))
        if self.gate is None:
            return y
        gate = self.gate(F.pad(x.transpose(1, 2), GATE_EDGES))
        return y * F.silu(gate).transpose(1, 2)

    def rotate(self, x):
        """Turns pairs of channels of x, [..., position, channel], in float32.

        The angles grow with the position. The product of a query and a key then
        depends on their distance alone.
        """
        with torch.autocast(x.device.type, enabled=False):
            positions = torch.arange(x.shape[-2], device=x.device)
            angles = positions[:, None] * self.rates
            cos, sin = angles.cos(), angles.sin()
            even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
            pairs = even * cos - odd * sin, even * sin + odd * cos
            return torch.stack(pairs, -1).flatten(-2).to(x.dtype)


def _checked_windows(local_windows):
    """Returns the windows of both axes, 0 for none, or raises ValueError."""
    if local_windows is None:
        return 0, 0
    sizes = local_windows if isinstance(local_windows, list) else []
    if len(sizes) != 2 or any(size < 1 or size % 2 == 0 for size in sizes):
        raise ValueError(
            "local_windows: expected two odd numbers, of bins and of frames, "
            f"or null, found {local_windows}"
        )
    return local_windows
