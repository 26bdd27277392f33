"""SepReformer: an early split, then a decoder that the sources share.

Paper: "Separate and Reconstruct: Asymmetric Encoder-Decoder for Speech
Separation", https://arxiv.org/abs/2406.05983.

Authors
 * The PolSESS recipe team 2026
"""

import torch
from torch.nn import GELU, GLU, Dropout, LayerNorm, Linear, functional

from networks.mapping import check_length, check_multiple

EPS = 1e-8
LAYER_SCALE = 1e-5  # of a new network: each part then adds almost nothing
ENCODER_BLOCKS, DECODER_BLOCKS = 2, 3  # of a stage
DOWN_KERNEL = 5  # frames
MAX_DISTANCE = 2000  # frames of the attention, further ones count as this


class SepReformer(torch.nn.Module):
    """Maps a mixture to its sources over frames of ever lower rates.

    Equal to the authors' code but for two norms, in the local attention and
    where frames are halved. Their batch norm would mix the items of a batch, so
    each item is normalised on its own, with as many parameters. Raises
    ValueError for sizes that do not divide.

    In training ``auxiliary`` holds the estimates of each decoder stage's input,
    a list of [batch, time, source], for ``networks.auxiliary``. Otherwise it is
    empty.

    Arguments
    ---------
    num_spks : int
        Number of sources.
    F : int
        Channels, a multiple of heads.
    F_o : int
        Filters of the convolutional encoder.
    R : int
        Stages, each at half the frames of the one before.
    K : int
        Kernel of the local attention in frames.
    heads : int
        Heads of the attention.
    kernel_size, stride : int
        Length and step of a frame in samples; the stride divides the kernel.
    dropout : float
        Probability that a value of a part is dropped in training.

    Example
    -------
    >>> network = SepReformer(2, F=8, F_o=16, R=2, K=5, heads=2)
    >>> network(torch.randn(3, 1001)).shape
    torch.Size([3, 1001, 2])
    >>> [estimates.shape for estimates in network.auxiliary]
    [torch.Size([3, 1001, 2]), torch.Size([3, 1001, 2])]
    """

    def __init__(
        self,
        num_spks,
        F,
        F_o=256,
        R=4,
        K=65,
        heads=8,
        kernel_size=16,
        stride=4,
        dropout=0.05,
    ):
        super().__init__()
        check_multiple("F", F, heads, "heads")
        check_multiple("kernel_size", kernel_size, stride, "stride")
        self.num_spks, self.min_samples = num_spks, kernel_size
        self.auxiliary = []
        frame = dict(kernel_size=kernel_size, stride=stride, bias=False)
        self.encoder = torch.nn.Conv1d(1, F_o, **frame)
        self.project = torch.nn.Sequential(
            ItemNorm(F_o), Linear(F_o, F, bias=False)
        )
        self.positions = torch.nn.Embedding(2 * MAX_DISTANCE, F // heads)
        # Frames of each stage for one of the last. The encoder halves them.
        stages = [(2**r, ENCODER_BLOCKS, None) for r in range(R, -1, -1)]
        stages += [(2**r, DECODER_BLOCKS, num_spks) for r in range(1, R + 1)]
        self.blocks = torch.nn.ModuleList(
            Block(F, K, heads, dropout, rate, sources)
            for rate, blocks, sources in stages
            for _ in range(blocks)
        )
        self.downs = torch.nn.ModuleList(Down(F) for _ in range(R))
        self.split = Split(num_spks, F)
        self.fuses = torch.nn.ModuleList(Linear(2 * F, F) for _ in range(R))
        self.output = Output(num_spks, F, F_o, frame)
        self.masks = torch.nn.ModuleList(
            Output(num_spks, F, F_o, frame, 2**r) for r in range(R, 0, -1)
        )

    def forward(self, mixture):
        """Estimates the sources, [batch, time, source], of [batch, time].

        Raises ValueError when the mixture is shorter than a frame.
        """
        check_length(mixture, self.min_samples)
        length, (stride,) = mixture.shape[-1], self.encoder.stride
        y = functional.pad(mixture, (0, (self.min_samples - length) % stride))
        # [batch, time] -> [batch, frame, filter]
        features = functional.gelu(self.encoder(y[:, None])).transpose(1, 2)
        x = self.project(features)
        lowest = 2 ** len(self.downs)
        x = functional.pad(x, (0, 0, 0, -x.shape[1] % lowest))
        last, inputs = self.transform(x, self.distances(x.shape[1] // lowest))
        self.auxiliary = []
        if self.training:
            self.auxiliary = [
                output(x, features)[:, :length]
                for output, x in zip(self.masks, inputs)
            ]
        return self.output(last, features)[:, :length]

    def distances(self, frames):
        """Embeddings of distances, [frame, other frame, channel of a head]."""
        frame = torch.arange(frames, device=self.positions.weight.device)
        distance = frame[:, None] - frame
        distance = distance.clamp(-MAX_DISTANCE, MAX_DISTANCE - 1)
        return self.positions(distance + MAX_DISTANCE)

    def transform(self, x, distances):
        """Splits [batch, frame, F] into [batch * source, frame, F].

        Returns it with the inputs of the decoder's stages, of fewer frames.
        """
        blocks, skips, inputs = iter(self.blocks), [], []
        for down in self.downs:
            for _ in range(ENCODER_BLOCKS):
                x = next(blocks)(x, distances)
            skips.append(self.split(x))
            x = down(x)
        for _ in range(ENCODER_BLOCKS):
            x = next(blocks)(x, distances)
        x = self.split(x)
        for fuse in self.fuses:
            inputs.append(x)
            x = fuse(torch.cat([repeat(x, 2), skips.pop()], -1))
            for _ in range(DECODER_BLOCKS):
                x = next(blocks)(x, distances)
        return x, inputs


class Block(torch.nn.Module):
    """Attention to all frames, to close ones and, in the decoder, to sources.

    A feed-forward part follows each.

    Arguments
    ---------
    F, K, heads, dropout
        See ``SepReformer``.
    rate : int
        Frames for one of the lowest stage.
    sources : int
        Number of sources that attend to each other; None in the encoder.
    """

    def __init__(self, F, K, heads, dropout, rate, sources=None):
        super().__init__()
        self.rate, self.sources = rate, sources
        self.attention = Attention(F, heads, dropout)
        self.gate = torch.nn.Sequential(
            LayerNorm(F), Linear(F, F), torch.nn.Sigmoid()
        )
        self.first = FeedForward(F, dropout)
        self.local = LocalAttention(F, K, dropout)
        self.second = FeedForward(F, dropout)
        if sources:
            self.across = Attention(F, heads, dropout)
            self.third = FeedForward(F, dropout)

    def forward(self, x, distances):
        """Maps [item, frame, F] to its shape.

        The attention to all frames has the rate of the lowest stage.
        """
        rows = x.float().unflatten(1, (-1, self.rate))
        y = self.attention(rows.mean(2), distances)
        y = self.gate(rows) * y[:, :, None]
        x = self.first(x + y.flatten(1, 2))
        x = self.second(self.local(x))
        if self.sources is None:
            return x
        # [batch * source, frame, F] -> [batch * frame, source, F]
        y = x.unflatten(0, (-1, self.sources)).transpose(1, 2)
        y = self.across(y.flatten(0, 1)).unflatten(0, (-1, x.shape[1]))
        return self.third(x + y.transpose(1, 2).flatten(0, 1))


class Attention(torch.nn.Module):
    """Multi-head self-attention, whose output is scaled by channel.

    Arguments
    ---------
    F, heads, dropout
        See ``SepReformer``.
    """

    def __init__(self, F, heads, dropout):
        super().__init__()
        self.heads = heads
        self.norm = LayerNorm(F)
        self.qkv = Linear(F, 3 * F)
        self.out = torch.nn.Sequential(Linear(F, F), Dropout(dropout))
        self.dropout = Dropout(dropout)
        self.scale = layer_scale(F)

    def forward(self, x, distances=None):
        """Maps [row, position, F] to its shape.

        Queries also meet distances, [position, other position, channel].
        """
        # [row, position, F * 3] -> [row, head, position, channel] x 3
        y = self.qkv(self.norm(x)).unflatten(-1, (3, self.heads, -1))
        query, key, value = y.permute(2, 0, 3, 1, 4).unbind(0)
        query = query / query.shape[-1] ** 0.5
        scores = query @ key.transpose(2, 3)
        if distances is not None:
            scores = scores + torch.einsum("rhic,ijc->rhij", query, distances)
        weights = self.dropout(scores.float().softmax(-1))
        y = (weights @ value).transpose(1, 2).flatten(2)
        return self.scale * self.out(y)


class LocalAttention(torch.nn.Module):
    """A gate, a depthwise convolution and two layers, added to the input.

    Arguments
    ---------
    F, K, dropout
        See ``SepReformer``.
    """

    def __init__(self, F, K, dropout):
        super().__init__()
        self.start = torch.nn.Sequential(LayerNorm(F), Linear(F, 2 * F), GLU())
        self.conv = torch.nn.Conv1d(F, F, K, padding="same", groups=F)
        self.end = torch.nn.Sequential(
            Linear(F, 2 * F),
            ItemNorm(2 * F),
            GELU(),
            Linear(2 * F, F),
            Dropout(dropout),
        )
        self.scale = layer_scale(F)

    def forward(self, x):
        """Maps [item, frame, F] to its shape."""
        y = self.conv(self.start(x).transpose(1, 2)).transpose(1, 2)
        return x + self.scale * self.end(y)


class FeedForward(torch.nn.Module):
    """A wide layer, a convolution of 3 frames and a gate, added to the input.

    Arguments
    ---------
    F, dropout
        See ``SepReformer``.
    """

    def __init__(self, F, dropout):
        super().__init__()
        self.start = torch.nn.Sequential(LayerNorm(F), Linear(F, 6 * F))
        self.conv = torch.nn.Conv1d(6 * F, 6 * F, 3, padding=1, groups=6 * F)
        self.end = torch.nn.Sequential(
            GLU(), Dropout(dropout), Linear(3 * F, F), Dropout(dropout)
        )
        self.scale = layer_scale(F)

    def forward(self, x):
        """Maps [item, frame, F] to its shape."""
        y = self.conv(self.start(x).transpose(1, 2)).transpose(1, 2)
        return x + self.scale * self.end(y)


class Down(torch.nn.Module):
    """Halves the frames by a depthwise convolution.

    Arguments
    ---------
    F : int
        Channels.
    """

    def __init__(self, F):
        super().__init__()
        self.conv = torch.nn.Conv1d(
            F, F, DOWN_KERNEL, stride=2, padding=DOWN_KERNEL // 2, groups=F
        )
        self.norm = ItemNorm(F)

    def forward(self, x):
        """Maps [batch, frame, F], an even number of frames, to half."""
        y = self.conv(x.transpose(1, 2)).transpose(1, 2)
        return functional.gelu(self.norm(y))


class Split(torch.nn.Module):
    """Makes a sequence of each source out of that of the mixture.

    Arguments
    ---------
    num_spks, F
        See ``SepReformer``.
    """

    def __init__(self, num_spks, F):
        super().__init__()
        self.num_spks = num_spks
        self.layers = gated(F, F * num_spks, 2 * F * num_spks)
        self.norm = ItemNorm(F)

    def forward(self, x):
        """Maps [batch, frame, F] to [batch * source, frame, F]."""
        y = self.layers(x).unflatten(-1, (self.num_spks, -1))
        return self.norm(y.transpose(1, 2).flatten(0, 1))


class Output(torch.nn.Module):
    """Maps the sequences of the sources to their samples.

    Arguments
    ---------
    num_spks, F, F_o
        See ``SepReformer``.
    frame : dict
        Arguments of the convolution.
    rate : int
        Frames of the encoder for one of the sequence, whose output is then a
        mask of the encoder's features; None for the last stage, which is
        mapped without a mask.
    """

    def __init__(self, num_spks, F, F_o, frame, rate=None):
        super().__init__()
        self.num_spks, self.rate = num_spks, rate
        self.layers = gated(F, F_o, 2 * F)
        self.decoder = torch.nn.ConvTranspose1d(F_o, 1, **frame)

    def forward(self, x, features):
        """Maps [batch * source, frame, F] to [batch, time, source].

        The features are those of the mixture, [batch, frame, F_o].
        """
        y, frames = self.layers(x), features.shape[1]
        if self.rate is None:
            y = y[:, :frames].unflatten(0, (-1, self.num_spks))
        else:
            mask = repeat(y.relu(), self.rate)[:, :frames]
            mask = mask.unflatten(0, (-1, self.num_spks))
            y = mask * features[:, None]
        # [batch, source, frame, F_o] -> [batch * source, time]
        y = self.decoder(y.flatten(0, 1).transpose(1, 2)).squeeze(1)
        return y.unflatten(0, (-1, self.num_spks)).transpose(1, 2)


class ItemNorm(torch.nn.GroupNorm):
    """GroupNorm with one group, for [batch, frame, channel], in float32.

    It averages channels first, then frames. ONNX Runtime sums a GroupNorm at
    one go, which is less accurate.

    Arguments
    ---------
    channels : int
        Number of channels.

    Example
    -------
    >>> x = 3 + torch.randn(2, 50, 4)
    >>> expected = torch.nn.functional.group_norm(x.transpose(1, 2), 1)
    >>> torch.allclose(ItemNorm(4)(x).transpose(1, 2), expected, atol=1e-5)
    True
    """

    def __init__(self, channels):
        super().__init__(1, channels, EPS)

    def forward(self, x):
        """Normalises x over frames and channels."""
        with torch.autocast(x.device.type, enabled=False):
            y = x.float()
            y = y - _mean(y)
            y = y * torch.rsqrt(_mean(y.square()) + self.eps)
            return y * self.weight + self.bias


def _mean(y):
    return y.mean(2, keepdim=True).mean(1, keepdim=True)


def gated(inputs, outputs, hidden):
    """Two linear layers with a gate between them."""
    return torch.nn.Sequential(
        Linear(inputs, 2 * hidden), GLU(), Linear(hidden, outputs)
    )


def layer_scale(F):
    """Factors of the channels of a part, which start close to zero."""
    return torch.nn.Parameter(torch.full((F,), LAYER_SCALE))


def repeat(x, times):
    """Repeats each frame of [item, frame, channel]."""
    return x[:, :, None].expand(-1, -1, times, -1).flatten(1, 2)
