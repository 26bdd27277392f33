"""Operations and memory traffic of the networks of ``benchmark.py``.

Authors
 * The PolSESS recipe team 2026
"""

from typing import NamedTuple


class Size(NamedTuple):
    """Size of the network; the letters are those of the paper.

    Arguments
    ---------
    N, B, H, P, X, R : int
        Filters, bottleneck, channels of a block, its kernel, blocks, repeats.
    kernel_size : int
        Of the encoder, in samples; its stride is half of it.

    Example
    -------
    >>> Size().count_frames(32000)
    3999
    """

    N: int = 256
    B: int = 256
    H: int = 512
    P: int = 3
    X: int = 8
    R: int = 4
    kernel_size: int = 16

    @property
    def stride(self):
        """Samples from frame to frame."""
        return self.kernel_size // 2

    def count_frames(self, samples):
        """Frames that the encoder makes of so many samples."""
        return (samples - self.kernel_size) // self.stride + 1


def count_flop(implementation, size, outputs, samples):
    """Floating-point operations of the convolutions for one item.

    A product and its addition are two operations. A gradient takes as many
    operations for the weights of a layer as the layer itself, and as many again
    for its input, which the encoder does not need.

    Arguments
    ---------
    implementation : str
        torchaudio has a third pointwise convolution in each block, but the last
        block has no residual one, and one frame more at each end.
    size : Size
        Of the network.
    outputs : int
        Number of sources.
    samples : int
        Of an item, a multiple of the stride.

    Returns
    -------
    inference : int
        Of a forward pass.
    training : int
        Of a forward and a backward pass.

    Example
    -------
    >>> count_flop("stock", Size(), 1, 32000)[0] / 1e9
    68.599037952
    """
    frames = size.count_frames(samples)
    encoder = size.kernel_size * size.N
    pointwise = size.H * size.B
    network = (
        encoder
        + size.N * size.B
        + size.R * size.X * (2 * pointwise + size.P * size.H)
        + size.B * outputs * size.N
        + outputs * size.N * size.kernel_size
    )
    if implementation == "torchaudio":
        frames += 2
        network += (size.R * size.X - 1) * pointwise
    return 2 * frames * network, 2 * frames * (3 * network - encoder)


def count_bytes(size, batch, samples, value_bytes, parameters):
    """Least memory traffic, if all between two global means were one pass.

    gLN needs the mean of a whole signal before its first value is known, so
    that a block cannot be one pass. Forward, a block reads its input (B values
    a frame), writes and reads what enters its two normalisations (4 H), and
    writes its result (B). Backward, it reads its input, what entered the
    normalisations (B + 2 H) and a gradient (B), writes and reads the gradients
    at the normalisations (4 H), and writes one (B). Weights are read once in
    each direction; a gradient is written, read for its norm, and read by Adam,
    which reads and writes the weight and two moments.

    Arguments
    ---------
    size : Size
        Of the network.
    batch : int
        Number of items.
    samples : int
        Of an item.
    value_bytes : int
        Of a value of a signal; parameters are float32.
    parameters : int
        Of the network.

    Returns
    -------
    inference : int
        Of a forward pass.
    training : int
        Of a training step.

    Example
    -------
    >>> count_bytes(Size(X=1, R=1), 1, 16, 4, 0)
    (10240, 25600)
    """
    frames = batch * size.count_frames(samples)
    blocks = size.R * size.X * frames * value_bytes
    forward = blocks * (2 * size.B + 4 * size.H)
    backward = blocks * (3 * size.B + 6 * size.H)
    return forward + 4 * parameters, forward + backward + 4 * 11 * parameters
