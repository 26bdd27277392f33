"""SepReformer: an early split, then a decoder that the sources share.

Paper: "Separate and Reconstruct: Asymmetric Encoder-Decoder for Speech
Separation", https://arxiv.org/abs/2406.05983.

Authors
 * The PolSESS recipe team 2026
"""

import torch
from torch.nn import GELU, GLU, Dropout, LayerNorm, Linear, Sequential
from torch.nn.functional import gelu, pad

from networks.mapping import check_length, check_multiple

EPS = 1e-8  # of the norms of whole mixtures
LAYER_SCALE = 1e-5  # a new network's parts add almost nothing to their input
ENCODER_BLOCKS, DECODER_BLOCKS = 2, 3  # of a stage
DOWN_KERNEL = 5  # frames
MAX_DISTANCE = 2000  # frames of the attention; further ones count as this


class SepReformer(torch.nn.Module):
    """Maps a mixture to its sources, over stages of fewer and fewer frames.

    Equal to the authors' code, for mixtures of as many frames as the stages can
    halve, but for two norms: in the local attention and where frames are
    halved. There a batch norm mixes the items of a batch. A GroupNorm with one
    group replaces it, which normalises each item and has as many parameters.
    Raises ValueError for sizes that do not divide.

    In training ``auxiliary`` holds the estimates from the input of each decoder
    stage, a list of [batch, time, source], for ``AuxiliaryLoss``. It is empty
    in evaluation.

    Arguments
    ---------
    num_spks : int
        Number of sources.
    F : int
        Channels, a multiple of heads.
    F_o : int
        Filters of the convolutional encoder.
    R : int
        Stages, each of half the frames of the one before.
    K : int
        Kernel of the local attention in frames, odd.
    heads : int
        Heads of the attention.
    kernel_size, stride : int
        Length and step of a frame in samples; the step divides the length.
    dropout : float
        Probability that a value is dropped in training.

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
        if K % 2 == 0:
            raise ValueError(f"K: expected an odd number, found {K}")
        self.num_spks, self.min_samples = num_spks, kernel_size
        self.auxiliary = []
        frame = dict(kernel_size=kernel_size, stride=stride, bias=False)
        self.encoder = torch.nn.Conv1d(1, F_o, **frame)
        self.project = Sequential(ItemNorm(F_o), Linear(F_o, F, bias=False))
        self.positions = torch.nn.Embedding(2 * MAX_DISTANCE, F // heads)
        # Frames of each stage for one of the lowest.
        stages = [(2**r, ENCODER_BLOCKS, None) for r in range(R, -1, -1)]
        stages += [(2**r, DECODER_BLOCKS, num_spks) for r in range(1, R + 1)]
        self.blocks = torch.nn.ModuleList(
            Block(F, K, heads, dropout, rate, sources)
            for rate, count, sources in stages
            for _ in range(count)
        )
        self.downs = torch.nn.ModuleList(
            Sequential(FrameConv(F, DOWN_KERNEL, 2), ItemNorm(F), GELU())
            for _ in range(R)
        )
        self.split = gated(F, 2 * F * num_spks, F * num_spks)
        self.split_norm = ItemNorm(F)
        self.fuses = torch.nn.ModuleList(Linear(2 * F, F) for _ in range(R))
        self.output = Output(num_spks, F, F_o, frame)
        self.auxiliary_outputs = torch.nn.ModuleList(
            Output(num_spks, F, F_o, frame, 2**r) for r in range(R, 0, -1)
        )

    def forward(self, mixture):
        """Estimates the sources, [batch, time, source], of [batch, time].

        Raises ValueError when the mixture is shorter than a frame.
        """
        check_length(mixture, self.min_samples)
        length, (stride,) = mixture.shape[-1], self.encoder.stride
        # Zeros follow, so that every stage can halve its frames.
        step = stride * 2 ** len(self.downs)
        y = pad(mixture, (0, (self.min_samples - stride - length) % step))
        # [batch, time] -> [batch, frame, filter]
        features = gelu(self.encoder(y[:, None])).transpose(1, 2)
        x, inputs = self.transform(self.project(features))
        self.auxiliary = []
        if self.training:
            self.auxiliary = [
                output(y, features)[:, :length]
                for output, y in zip(self.auxiliary_outputs, inputs)
            ]
        return self.output(x, features)[:, :length]

    def transform(self, x):
        """Maps [batch, frame, F] to [batch * source, frame, F].

        Also returns the inputs of the decoder's stages, which have fewer frames.
        """
        distances = self.distances(x.shape[1] // 2 ** len(self.downs), x.device)
        blocks, skips, inputs = iter(self.blocks), [], []
        for down in self.downs:
            for _ in range(ENCODER_BLOCKS):
                x = next(blocks)(x, distances)
            skips.append(self.separate(x))
            x = down(x)
        for _ in range(ENCODER_BLOCKS):
            x = next(blocks)(x, distances)
        x = self.separate(x)
        for fuse in self.fuses:
            inputs.append(x)
            x = fuse(torch.cat([repeat(x, 2), skips.pop()], -1))
            for _ in range(DECODER_BLOCKS):
                x = next(blocks)(x, distances)
        return x, inputs

    def distances(self, frames, device):
        """Embeddings of distances, [frame, other frame, channel of a head]."""
        frame = torch.arange(frames, device=device)
        distance = frame[:, None] - frame + MAX_DISTANCE
        return self.positions(distance.clamp(0, 2 * MAX_DISTANCE - 1))

    def separate(self, x):
        """Maps [batch, frame, F] to [batch * source, frame, F]."""
        y = self.split(x).unflatten(-1, (self.num_spks, -1))
        return self.split_norm(y.transpose(1, 2).flatten(0, 1))


class Block(torch.nn.Module):
    """Attention to all frames, to close ones and, in the decoder, to sources.

    A feed-forward part follows each.

    Arguments
    ---------
    F, K, heads, dropout
        See ``SepReformer``.
    rate : int
        Frames for one of the lowest stage, over which the attention averages.
    sources : int
        Sources that attend to each other; None in the encoder.
    """

    def __init__(self, F, K, heads, dropout, rate, sources=None):
        super().__init__()
        self.rate, self.sources = rate, sources
        self.attention = Attention(F, heads, dropout)
        self.gate = Sequential(LayerNorm(F), Linear(F, F), torch.nn.Sigmoid())
        self.first = feed_forward(F, dropout)
        self.local = local_attention(F, K, dropout)
        self.second = feed_forward(F, dropout)
        if sources:
            self.across = Attention(F, heads, dropout)
            self.third = feed_forward(F, dropout)

    def forward(self, x, distances):
        """Maps [item, frame, F] to its shape, in float32."""
        y = x.float().unflatten(1, (-1, self.rate))
        attended = self.attention(y.mean(2), distances)
        y = y + self.gate(y) * attended[:, :, None]
        x = self.second(self.local(self.first(y.flatten(1, 2))))
        if self.sources is None:
            return x
        # [batch * source, frame, F] -> [batch, frame, source, F] and back
        y = x.unflatten(0, (-1, self.sources)).transpose(1, 2)
        y = y + self.across(y.flatten(0, 1)).reshape(y.shape)
        return self.third(y.transpose(1, 2).flatten(0, 1))


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
        self.out = Sequential(Linear(F, F), Dropout(dropout))
        self.dropout = Dropout(dropout)
        self.scale = torch.nn.Parameter(torch.full((F,), LAYER_SCALE))

    def forward(self, x, distances=None):
        """Maps [row, position, F] to its shape.

        A query meets each key and the embedding of its distance, if given,
        [position, other position, channel of a head].
        """
        # [row, position, F * 3] -> [row, head, position, channel] x 3
        y = self.qkv(self.norm(x)).unflatten(-1, (3, self.heads, -1))
        query, key, value = y.transpose(1, 3).unbind(2)
        query = query / query.shape[-1] ** 0.5
        scores = query @ key.transpose(2, 3)
        if distances is not None:
            scores = scores + torch.einsum("rhic,ijc->rhij", query, distances)
        weights = self.dropout(scores.float().softmax(-1))
        return self.scale * self.out(
            (weights @ value).transpose(1, 2).flatten(2)
        )


class Residual(Sequential):
    """Adds its layers' output, scaled by channel, to [item, frame, F].

    Arguments
    ---------
    F : int
        Channels.
    *layers : torch.nn.Module
        They map [item, frame, F] to its shape.
    """

    def __init__(self, F, *layers):
        super().__init__(*layers)
        self.scale = torch.nn.Parameter(torch.full((F,), LAYER_SCALE))

    def forward(self, x):
        """Maps [item, frame, F] to its shape."""
        return x + self.scale * super().forward(x)


def feed_forward(F, dropout):
    """A wide gate over three frames, see ``SepReformer``."""
    start = LayerNorm(F), Linear(F, 6 * F), FrameConv(6 * F, 3), GLU()
    end = Dropout(dropout), Linear(3 * F, F), Dropout(dropout)
    return Residual(F, *start, *end)


def local_attention(F, K, dropout):
    """A convolution of K frames between gate and layers, see ``SepReformer``."""
    start = LayerNorm(F), Linear(F, 2 * F), GLU(), FrameConv(F, K)
    middle = Linear(F, 2 * F), ItemNorm(2 * F), GELU()
    return Residual(F, *start, *middle, Linear(2 * F, F), Dropout(dropout))


def gated(inputs, hidden, outputs):
    """Two layers with a gate between them."""
    layers = Linear(inputs, 2 * hidden), GLU(), Linear(hidden, outputs)
    return Sequential(*layers)


class Output(torch.nn.Module):
    """Maps the sequences of the sources to their samples.

    Arguments
    ---------
    num_spks, F, F_o
        See ``SepReformer``.
    frame : dict
        Arguments of the convolution.
    rate : int
        Frames of the mixture for one of a sequence, which then becomes a mask;
        None for the last stage, whose sequences have all frames and no mask.
    """

    def __init__(self, num_spks, F, F_o, frame, rate=None):
        super().__init__()
        self.num_spks, self.rate = num_spks, rate
        self.layers = gated(F, 2 * F, F_o)
        self.decoder = torch.nn.ConvTranspose1d(F_o, 1, **frame)

    def forward(self, x, features):
        """Maps [batch * source, frame, F] to [batch, time, source].

        The features are those of the mixture, [batch, frame, F_o].
        """
        y = self.layers(x)
        if self.rate:
            # [batch * source, frame, F_o] -> [batch, source, frame, F_o]
            y = repeat(y.relu(), self.rate)
            y = y.unflatten(0, (-1, self.num_spks)) * features[:, None]
            y = y.flatten(0, 1)
        y = self.decoder(y.transpose(1, 2)).flatten(1)
        return y.unflatten(0, (-1, self.num_spks)).transpose(1, 2)


class FrameConv(torch.nn.Conv1d):
    """Depthwise convolution along the frames of [item, frame, channel].

    Arguments
    ---------
    channels, kernel, stride : int
        Channels, odd length in frames and step in frames.
    """

    def __init__(self, channels, kernel, stride=1):
        options = dict(padding=kernel // 2, groups=channels)
        super().__init__(channels, channels, kernel, stride, **options)

    def forward(self, x):
        """Maps [item, frame, channel] to one frame a step."""
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class ItemNorm(torch.nn.GroupNorm):
    """GroupNorm with one group, for [item, frame, channel], in float32.

    Arguments
    ---------
    channels : int
        Number of channels.
    """

    def __init__(self, channels):
        super().__init__(1, channels, EPS)

    def forward(self, x):
        """Normalises x over frames and channels."""
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float().transpose(1, 2)).transpose(1, 2)


def repeat(x, times):
    """Repeats each frame of [item, frame, channel]."""
    return x[:, :, None].expand(-1, -1, times, -1).flatten(1, 2)
