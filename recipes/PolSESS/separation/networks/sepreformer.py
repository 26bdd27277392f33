"""SepReformer: sources are split early and reconstructed together.

Paper: "Separate and Reconstruct: Asymmetric Encoder-Decoder for Speech
Separation", https://arxiv.org/abs/2406.05983.

Two things differ from the authors' code. Their BatchNorm, in local blocks and
between stages, lets an estimate depend on the other items in training. Here all
channels and frames of one stream share mean and variance (``ItemNorm``). The
number of parameters is the same, and levels within a stream stay. And inner
estimates keep their place in time, where the authors stretch padding into it.

Authors
 * The PolSESS recipe team 2026
"""

import torch
from torch.nn.functional import gelu, glu, pad, relu

from networks.mapping import check_length, check_multiple, check_sizes

LAYER_SCALE = 1e-5  # gain of a residual branch at the start
EPS = 1e-8  # of the norms around the network


class SepReformer(torch.nn.Module):
    """Maps a mixture to its sources at R + 1 resolutions in time.

    An encoder stage halves the number of frames. A decoder stage doubles it, in
    one stream a source with shared weights. In training ``auxiliary`` holds an
    estimate before each decoder stage, [batch, time, source], for
    ``networks.auxiliary``. Estimates do not scale with the mixture. Raises
    ValueError for sizes that do not divide, and for an even K.

    Arguments
    ---------
    num_spks : int
        Number of sources.
    N : int
        Filters of the convolution that reads the mixture.
    F : int
        Channels, a multiple of heads.
    R : int
        Stages of encoder and decoder; 2^R frames become one.
    B_E, B_D : int
        Blocks of a stage in encoder and decoder.
    K : int
        Kernel of the local attention in frames, odd.
    heads : int
        Heads of the attention.
    kernel_size, stride : int
        Of the first convolution in samples; kernel_size is a multiple.
    max_distance : int
        Greater distances, in frames of the last stage, count as this one.
    dropout : float
        Probability of dropout.

    Example
    -------
    >>> network = SepReformer(2, N=8, F=8, R=2, B_E=1, B_D=1, K=5, heads=2)
    >>> network(torch.randn(3, 1001)).shape
    torch.Size([3, 1001, 2])
    >>> [estimate.shape[1] for estimate in network.auxiliary]
    [1001, 1001]
    """

    def __init__(
        self,
        num_spks,
        N,
        F,
        R,
        B_E,
        B_D,
        K,
        heads,
        kernel_size=16,
        stride=4,
        max_distance=2000,
        dropout=0.0,
    ):
        super().__init__()
        check_sizes(num_spks=num_spks, N=N, R=R, B_E=B_E, B_D=B_D, K=K)
        check_sizes(max_distance=max_distance)
        check_multiple("F", F, heads, "heads")
        check_multiple("kernel_size", kernel_size, stride, "stride")
        if K % 2 == 0:
            raise ValueError(f"K: expected an odd number of frames, found {K}")
        self.num_spks, self.min_samples = num_spks, kernel_size
        self.R, self.B_E, self.B_D = R, B_E, B_D
        self.max_distance = max_distance
        self.encoder = torch.nn.Conv1d(1, N, kernel_size, stride, bias=False)
        self.norm = ItemNorm(N, EPS)
        self.project = torch.nn.Linear(N, F, bias=False)
        self.distances = torch.nn.Embedding(2 * max_distance, F // heads)
        down = [2**r for r in range(R, -1, -1) for _ in range(B_E)]
        up = [2**r for r in range(1, R + 1) for _ in range(B_D)]
        self.blocks = torch.nn.ModuleList(
            [Block(F, K, heads, dropout, ratio) for ratio in down]
            + [Block(F, K, heads, dropout, ratio, num_spks) for ratio in up]
        )
        downs = [Down(F) for _ in range(R)] + [torch.nn.Identity()]
        self.downs = torch.nn.ModuleList(downs)
        self.split = Split(F, num_spks)
        fusions = (torch.nn.Linear(2 * F, F) for _ in range(R))
        self.fusions = torch.nn.ModuleList(fusions)
        # All but the last are for the auxiliary estimates.
        outputs = (gated(F, 2 * F, N) for _ in range(R + 1))
        self.outputs = torch.nn.ModuleList(outputs)
        self.decoders = torch.nn.ModuleList(
            torch.nn.ConvTranspose1d(N, 1, kernel_size, stride, bias=False)
            for _ in range(R + 1)
        )
        self.auxiliary = []

    def forward(self, mixture):
        """Estimates the sources, [batch, time, source], of [batch, time].

        Raises ValueError when the mixture is shorter than ``min_samples``.
        """
        check_length(mixture, self.min_samples)
        samples = mixture.shape[-1]
        rest = (self.min_samples - samples) % self.encoder.stride[0]
        with torch.autocast(mixture.device.type, enabled=False):
            y = pad(mixture.float(), (0, rest)).unsqueeze(1)
            features = gelu(self.encoder(y)).transpose(1, 2)
        y = self.project(self.norm(features))
        # [batch, frame, F], as many frames as become whole ones at the end
        stages = self.run_stages(pad(y, (0, 0, 0, -y.shape[1] % 2**self.R)))
        if self.training:
            self.auxiliary = [
                self.decode(stages[r], r, features)[:, :samples]
                for r in range(self.R)
            ]
        return self.decode(stages[-1], self.R, features)[:, :samples]

    def run_stages(self, y):
        """Returns the streams, [batch * source, frame, F], around each stage.

        They are the R inputs of the decoder's stages, and its output. Each has
        twice the frames of the one before; y is [batch, frame, F].
        """
        reach = torch.arange(y.shape[1] // 2**self.R, device=y.device)
        reach = torch.cat([reach.flip(0), -reach[1:]]) + self.max_distance
        table = self.distances(reach.clamp(0, 2 * self.max_distance - 1))
        blocks, skips = iter(self.blocks), []
        for down in self.downs:
            for _ in range(self.B_E):
                y = next(blocks)(y, table)
            skips.append(self.split(y))
            y = down(y)
        stages = [skips.pop()]
        for fusion in self.fusions:
            y = fusion(torch.cat([repeat(stages[-1], 2), skips.pop()], -1))
            for _ in range(self.B_D):
                y = next(blocks)(y, table)
            stages.append(y)
        return stages

    def decode(self, y, stage, features):
        """Estimates the sources, [batch, time, source], after a stage.

        y is [batch * source, frame, F]. Inner stages give masks for the
        features, [batch, frame, N]; the last stage replaces the features.
        """
        y = self.outputs[stage](y)
        y = repeat(y, 2 ** (self.R - stage)).narrow(1, 0, features.shape[1])
        y = y.unflatten(0, (-1, self.num_spks))
        with torch.autocast(y.device.type, enabled=False):
            y = y.float()
            if stage < self.R:
                y = relu(y) * features.unsqueeze(1)
            y = self.decoders[stage](y.flatten(0, 1).transpose(1, 2))
        return y.unflatten(0, (-1, self.num_spks)).flatten(2).transpose(1, 2)


class Block(torch.nn.Module):
    """Global and local attention, and one across sources in the decoder.

    Global attention sees one mean of ``ratio`` frames each, so its cost is that
    of the last stage. num_spks is the number of streams, 0 in the encoder.
    """

    def __init__(self, F, K, heads, dropout, ratio, num_spks=0):
        super().__init__()
        self.ratio, self.num_spks = ratio, num_spks
        self.attention = Attention(F, heads, dropout)
        self.gate = torch.nn.Sequential(
            torch.nn.LayerNorm(F), torch.nn.Linear(F, F), torch.nn.Sigmoid()
        )
        self.local = LocalAttention(F, K, dropout)
        self.speakers = Attention(F, heads, dropout) if num_spks else None
        feeds = (FeedForward(F, dropout) for _ in range(3 if num_spks else 2))
        self.feeds = torch.nn.ModuleList(feeds)

    def forward(self, y, table):
        """Maps [stream, frame, F] to its shape; table: see ``Attention``."""
        groups = y.unflatten(1, (-1, self.ratio))
        mean = self.attention(groups.mean(2), table).unsqueeze(2)
        y = self.feeds[0]((groups + self.gate(groups) * mean).flatten(1, 2))
        y = self.feeds[1](y + self.local(y))
        if self.speakers is None:
            return y
        # [batch * source, frame, F] -> [batch, frame, source, F]
        y = y.unflatten(0, (-1, self.num_spks)).transpose(1, 2)
        y = y + self.speakers(y.flatten(0, 1)).reshape(y.shape)
        return self.feeds[2](y.transpose(1, 2).flatten(0, 1))


class Attention(torch.nn.Module):
    """Multi-head self-attention with a vector for each relative position."""

    def __init__(self, F, heads, dropout):
        super().__init__()
        self.heads = heads
        self.norm = torch.nn.LayerNorm(F)
        self.qkv = torch.nn.Linear(F, 3 * F)
        self.out = torch.nn.Linear(F, F)
        self.dropout = torch.nn.Dropout(dropout)
        self.scale = layer_scale(F)

    def forward(self, y, table=None):
        """Maps [row, position, F] to its shape, without residual.

        table has the vectors of distances from T - 1 down to 1 - T, for T
        positions; None for positions without order.
        """
        qkv = self.qkv(self.norm(y)).unflatten(-1, (3, self.heads, -1))
        # [row, position, 3, head, size] -> [row, head, position, size] x 3
        query, key, value = qkv.transpose(1, 3).unbind(2)
        query = query * query.shape[-1] ** -0.5
        scores = query @ key.transpose(-1, -2)
        if table is not None:
            scores = scores + shift(query @ table.t())
        weights = self.dropout(scores.softmax(-1, dtype=torch.float32))
        y = self.out((weights @ value).transpose(1, 2).flatten(2))
        return self.dropout(y) * self.scale


class LocalAttention(torch.nn.Module):
    """Gated convolution over K frames of [stream, frame, F], no residual."""

    def __init__(self, F, K, dropout):
        super().__init__()
        self.norm = torch.nn.LayerNorm(F)
        self.first = torch.nn.Linear(F, 2 * F)
        self.conv = torch.nn.Conv1d(F, F, K, padding=K // 2, groups=F)
        self.second = torch.nn.Linear(F, 2 * F)
        self.item_norm = ItemNorm(2 * F)
        self.out = torch.nn.Linear(2 * F, F)
        self.dropout = torch.nn.Dropout(dropout)
        self.scale = layer_scale(F)

    def forward(self, y):
        """Maps [stream, frame, F] to its shape."""
        y = glu(self.first(self.norm(y))).transpose(1, 2)
        y = self.item_norm(self.second(self.conv(y).transpose(1, 2)))
        return self.dropout(self.out(gelu(y))) * self.scale


class FeedForward(torch.nn.Module):
    """Gated feed-forward part with a convolution over 3 frames."""

    def __init__(self, F, dropout):
        super().__init__()
        self.norm = torch.nn.LayerNorm(F)
        self.first = torch.nn.Linear(F, 6 * F)
        self.conv = torch.nn.Conv1d(6 * F, 6 * F, 3, padding=1, groups=6 * F)
        self.out = torch.nn.Linear(3 * F, F)
        self.dropout = torch.nn.Dropout(dropout)
        self.scale = layer_scale(F)

    def forward(self, y):
        """Maps [stream, frame, F] to its shape, with residual."""
        z = self.conv(self.first(self.norm(y)).transpose(1, 2))
        z = self.out(self.dropout(glu(z, 1).transpose(1, 2)))
        return y + self.dropout(z) * self.scale


class Down(torch.nn.Module):
    """Halves an even number of frames of [batch, frame, F]."""

    def __init__(self, F):
        super().__init__()
        self.conv = torch.nn.Conv1d(F, F, 5, stride=2, padding=2, groups=F)
        self.norm = ItemNorm(F)

    def forward(self, y):
        """Maps [batch, frame, F] to [batch, frame / 2, F]."""
        return gelu(self.norm(self.conv(y.transpose(1, 2)).transpose(1, 2)))


class Split(torch.nn.Module):
    """Makes one stream a source."""

    def __init__(self, F, num_spks):
        super().__init__()
        self.num_spks = num_spks
        self.layers = gated(F, 2 * F * num_spks, F * num_spks)
        self.norm = ItemNorm(F, EPS)

    def forward(self, y):
        """Maps [batch, frame, F] to [batch * source, frame, F]."""
        y = self.layers(y).unflatten(-1, (self.num_spks, -1))
        return self.norm(y.transpose(1, 2).flatten(0, 1))


class ItemNorm(torch.nn.GroupNorm):
    """Normalises the frames and channels of an item together, in float32."""

    def __init__(self, channels, eps=1e-5):
        super().__init__(1, channels, eps)

    def forward(self, x):
        """Maps [item, frame, channel] to its shape."""
        with torch.autocast(x.device.type, enabled=False):
            y = super().forward(x.float().transpose(1, 2))
        # torch.onnx cannot regroup the frames of another layout.
        return y.transpose(1, 2).contiguous()


def gated(width, inner, out):
    """Returns two linear layers with a gate between, for the last axis."""
    first = torch.nn.Linear(width, 2 * inner)
    return torch.nn.Sequential(
        first, torch.nn.GLU(), torch.nn.Linear(inner, out)
    )


def layer_scale(channels):
    """Returns a small gain for each channel: a block starts as identity."""
    return torch.nn.Parameter(torch.full((channels,), LAYER_SCALE))


def repeat(y, times):
    """Repeats each frame of [stream, frame, channel]."""
    return y.unsqueeze(2).expand(-1, -1, times, -1).flatten(1, 2)


def shift(products):
    """Turns columns of distances into columns of positions.

    Arguments
    ---------
    products : torch.Tensor
        [..., T, 2 T - 1]; column k has distance T - 1 - k.

    Returns
    -------
    torch.Tensor
        [..., T, T]; row i, column j has distance i - j.

    Example
    -------
    >>> shift(torch.arange(2, -3, -1).expand(3, 5))
    tensor([[ 0, -1, -2],
            [ 1,  0, -1],
            [ 2,  1,  0]])
    """
    frames, width = products.shape[-2:]
    # Distance i - j is in column T - 1 - i + j. In flat rows of 2 T elements
    # that is i (2 T - 1) + (T - 1) + j: rows of 2 T - 1, from T - 1 on.
    flat = pad(products, (0, 1)).flatten(-2)[..., frames - 1 : -1]
    return flat.unflatten(-1, (frames, width))[..., :frames]
