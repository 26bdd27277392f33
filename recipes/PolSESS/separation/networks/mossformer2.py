"""MossFormer2: gated attention, and recurrence by convolutions.

Paper: "MossFormer2: Combining Transformer and RNN-Free Recurrent Network for
Enhanced Time-Domain Monaural Speech Separation",
https://arxiv.org/abs/2312.11825. The attention is that of FLASH,
https://arxiv.org/abs/2202.10447.

Authors
 * The PolSESS recipe team 2026
"""

import torch
import torch.nn.functional as F

from networks.mapping import check_multiple, check_sizes

CONV_KERNEL, MEMORY_KERNEL = 17, 39  # frames
ROTARY_DIM = 32  # channels of queries and keys that positions turn
SMALLEST_RMS = 1e-5


class MossFormer2(torch.nn.Module):
    """Mask network of MossFormer2.

    Equal to the authors' code. Frames that pad the last group are zeros and add
    nothing to others. Raises ValueError for sizes that do not divide.

    Arguments
    ---------
    N : int
        Filters of the encoder and channels of the blocks, an even number.
    C : int
        Number of sources.
    num_blocks : int
        Blocks, each an attention and a memory.
    group_size : int
        Frames of a group, within which the attention is quadratic.
    query_key_dim : int
        Channels of queries and keys, an even number.
    memory_dim : int
        Channels of a memory.
    dropout : float
        Probability, in projections and in the quadratic attention.

    Example
    -------
    >>> masknet = MossFormer2(8, 2, 1, 256, 4, 4, dropout=0.1)
    >>> masknet(torch.rand(3, 8, 300)).shape
    torch.Size([2, 3, 8, 300])
    """

    def __init__(
        self, N, C, num_blocks, group_size, query_key_dim, memory_dim, dropout
    ):
        super().__init__()
        check_multiple("N", N, 2, "a half is delayed")
        check_multiple("query_key_dim", query_key_dim, 2, "pairs are rotated")
        check_sizes(C=C, num_blocks=num_blocks, group_size=group_size)
        check_sizes(memory_dim=memory_dim)
        self.num_spks = C
        self.norm = torch.nn.GroupNorm(1, N, eps=1e-8)
        self.bottleneck = torch.nn.Conv1d(N, N, 1, bias=False)
        self.position_gain = torch.nn.Parameter(torch.ones(1))
        self.register_buffer("rates", _rates(N), persistent=False)
        self.blocks = torch.nn.ModuleList(
            torch.nn.Sequential(
                GatedAttention(N, group_size, query_key_dim, dropout),
                GatedMemory(N, memory_dim, dropout),
            )
            for _ in range(num_blocks)
        )
        self.channel_norm = torch.nn.LayerNorm(N, eps=1e-6)
        self.last_norm = torch.nn.GroupNorm(1, N, eps=1e-8)
        self.prelu = torch.nn.PReLU()
        self.split = torch.nn.Conv1d(N, C * N, 1)
        self.value, self.gate = (torch.nn.Conv1d(N, N, 1) for _ in range(2))
        self.out = torch.nn.Conv1d(N, N, 1, bias=False)

    def forward(self, features):
        """Estimates masks, [source, batch, N, frame], of [batch, N, frame]."""
        positions = torch.cat(_waves(self.rates, features.shape[-1]), -1)
        x = self.bottleneck(_in_float32(self.norm, features))
        x = x + (self.position_gain * positions).t()
        y = x.transpose(1, 2)
        for block in self.blocks:
            y = block(y)
        y = _in_float32(self.channel_norm, y).transpose(1, 2)
        y = self.split(self.prelu(x + _in_float32(self.last_norm, y)))
        y = y.unflatten(1, (self.num_spks, -1)).flatten(0, 1)
        y = self.out(self.value(y).tanh() * self.gate(y).sigmoid())
        return y.relu().unflatten(0, (-1, self.num_spks)).transpose(0, 1)


class GatedAttention(torch.nn.Module):
    """Quadratic attention within groups of frames, and linear over all.

    Weights of the former are squared ReLUs, without a bound: fp16 overflows.

    Arguments
    ---------
    N, group_size, query_key_dim, dropout
        See ``MossFormer2``.
    """

    def __init__(self, N, group_size, query_key_dim, dropout):
        super().__init__()
        self.group_size = group_size
        self.hidden = Projection(ScaleNorm(), N, 4 * N, dropout)
        self.shared = Projection(ScaleNorm(), N, query_key_dim, dropout)
        self.out = Projection(ScaleNorm(), 2 * N, N, dropout)
        self.dropout = torch.nn.Dropout(dropout)
        # Queries of the quadratic and linear attention, then their keys.
        size = 4, 1, query_key_dim
        self.gain = torch.nn.Parameter(0.02 * torch.randn(size))
        self.offset = torch.nn.Parameter(torch.zeros(size))
        rates = _rates(min(ROTARY_DIM, query_key_dim))
        self.register_buffer("rates", rates, persistent=False)

    def forward(self, x):
        """Maps [batch, frame, N] to its shape."""
        # A half of the channels is late by a frame.
        delayed, present = x.chunk(2, -1)
        y = torch.cat([F.pad(delayed[:, :-1], (0, 0, 1, 0)), present], -1)
        hidden = self.hidden(y)
        y = self.shared(y).unsqueeze(1) * self.gain + self.offset
        near_query, far_query, near_key, far_key = self._rotate(y).unbind(1)
        summary = far_key.transpose(1, 2) @ hidden / x.shape[1]
        near = self._attend_in_groups(near_query, near_key, hidden)
        seen_v, seen_u = (near + far_query @ summary).chunk(2, -1)
        v, u = hidden.chunk(2, -1)
        return x + self.out(seen_u * v * (seen_v * u).sigmoid())

    def _rotate(self, x):
        """Turns pairs of channels of [..., frame, channel], in float32."""
        with torch.autocast(x.device.type, enabled=False):
            sin, cos = _waves(self.rates, x.shape[-2])
            turned, rest = x.float().tensor_split([2 * len(self.rates)], -1)
            even, odd = turned.unflatten(-1, (-1, 2)).unbind(-1)
            pairs = even * cos - odd * sin, even * sin + odd * cos
            return torch.cat([torch.stack(pairs, -1).flatten(-2), rest], -1)

    def _attend_in_groups(self, query, key, hidden):
        frames, size = hidden.shape[1], self.group_size
        query, key, hidden = (
            F.pad(y, (0, 0, 0, -frames % size)).unflatten(1, (-1, size))
            for y in (query, key, hidden)
        )
        weights = (query @ key.transpose(2, 3) / size).relu().square()
        return (self.dropout(weights) @ hidden).flatten(1, 2)[:, :frames]


class GatedMemory(torch.nn.Module):
    """A gated feed-forward sequential memory: two dense, dilated convolutions.

    Arguments
    ---------
    N, memory_dim, dropout
        See ``MossFormer2``.
    """

    def __init__(self, N, memory_dim, dropout):
        super().__init__()
        M = memory_dim
        self.bottleneck = torch.nn.Linear(N, M)
        self.prelu = torch.nn.PReLU()
        self.first_norm = torch.nn.LayerNorm(M)
        self.u = Projection(torch.nn.LayerNorm(M), M, M, dropout)
        self.v = Projection(torch.nn.LayerNorm(M), M, M, dropout)
        self.expand = torch.nn.Linear(M, M)
        self.project = torch.nn.Linear(M, M, bias=False)
        self.near, self.far = _dilated(M, 1), _dilated(M, 2)
        self.last_norm = torch.nn.LayerNorm(M)
        self.out = torch.nn.Linear(M, N)

    def forward(self, x):
        """Maps [batch, frame, N] to its shape."""
        y = _in_float32(self.first_norm, self.prelu(self.bottleneck(x)))
        u = self.u(y)
        memory = self.project(self.expand(u).relu()).transpose(1, 2)
        # Each output of ``far`` reads two neighbours. As in the authors' code,
        # both are outputs of ``near``, or both are its inputs.
        memory = self.far(torch.cat([self.near(memory), memory], 1))
        y = y + self.v(y) * (u + memory.transpose(1, 2))
        return x + self.out(_in_float32(self.last_norm, y))


class Projection(torch.nn.Module):
    """Norm, linear layer, SiLU, depthwise convolution and dropout.

    Arguments
    ---------
    norm : torch.nn.Module
        Normalises [batch, frame, channel].
    channels, out_channels : int
        Number of channels before and after.
    dropout : float
        Probability.
    """

    def __init__(self, norm, channels, out_channels, dropout):
        super().__init__()
        self.norm = norm
        self.linear = torch.nn.Linear(channels, out_channels)
        self.conv = _depthwise(out_channels, CONV_KERNEL)
        self.dropout = torch.nn.Dropout(dropout)

    def forward(self, x):
        """Maps [batch, frame, channel] to as many frames."""
        y = F.silu(self.linear(_in_float32(self.norm, x)))
        return self.dropout(y + self.conv(y.transpose(1, 2)).transpose(1, 2))


class ScaleNorm(torch.nn.Module):
    """Divides the last axis by its root mean square; one gain for all."""

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        """Normalises [..., channel]."""
        rms = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        rms = rms * x.shape[-1] ** -0.5
        return x / rms.clamp_min(SMALLEST_RMS) * self.gain


class FrameNorm(torch.nn.GroupNorm):
    """InstanceNorm in float32, which also takes a mixture of one frame."""

    def forward(self, x):
        """Normalises each channel of [batch, channel, frame]."""
        with torch.autocast(x.device.type, enabled=False):
            options = self.num_groups, self.weight, self.bias, self.eps
            return torch.group_norm(x.float(), *options).to(x.dtype)


def _in_float32(norm, x):
    with torch.autocast(x.device.type, enabled=False):
        return norm(x.float())


def _depthwise(channels, kernel, dilation=1, inputs=1):
    """A convolution of frames; a channel reads so many inputs of its own."""
    sizes = inputs * channels, channels, kernel
    options = {"dilation": dilation, "groups": channels, "bias": False}
    padding = kernel // 2 * dilation
    return torch.nn.Conv1d(*sizes, padding=padding, **options)


def _dilated(channels, number):
    """A layer of a memory: dilation and inputs grow with its number."""
    convolution = _depthwise(channels, MEMORY_KERNEL, number, number)
    norm = FrameNorm(channels, channels)
    return torch.nn.Sequential(convolution, norm, torch.nn.PReLU(channels))


def _rates(size):
    """Returns angles a frame of the sinusoids of so many channels."""
    return 1.0 / 10_000.0 ** (torch.arange(0, size, 2) / size)


def _waves(rates, frames):
    """Returns sines and cosines in float32, each [frame, rate]."""
    angles = torch.arange(frames, device=rates.device)[:, None] * rates
    return angles.sin(), angles.cos()
