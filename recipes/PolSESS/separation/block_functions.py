"""What a temporal block of Conv-TasNet is made of, each with its gradient.

All signals are [batch, channel, frame]. What lies behind the last frame is there to
round their number up, and zero. Functions whose names end in ``_backward`` use up
the gradient that they get: all but the products is bound by memory, so a copy less
is time won.

Authors
 * The PolSESS recipe team 2026
"""

import math
import threading

import torch
import torch.nn.functional as F

EPS = 1e-8  # that of SpeechBrain
# On x86, oneDNN has fast products in bfloat16 from AVX-512 on; without them torch
# computes one by one. In float16 only the latest CPUs have them.
BF16_IS_EMULATED = not torch.backends.cpu.get_cpu_capability().startswith(
    "AVX512"
)

PART_FRAMES = 1008  # a multiple of 16, so that parts are aligned too
# A variance below this share of the squared mean is computed from differences:
# as a difference of sums it would lose digits.
LEAST_SHARE = 0.1

_buffers = threading.local()


def buffer(name, shape, like):
    """Memory of this thread that is used again and again, on a CPU.

    What was just used is still in the cache of a CPU, new memory is not. On a GPU
    torch itself does likewise.

    Arguments
    ---------
    name : str
        What is kept there is lost when the same name is asked for again.
    shape : tuple of int
        Of the memory.
    like : torch.Tensor
        Device and type.

    Returns
    -------
    torch.Tensor
        None on a GPU, where functions with ``out=None`` ask for memory.
    """
    if like.device.type != "cpu":
        return None
    kept, key, size = vars(_buffers), f"{name} {like.dtype}", math.prod(shape)
    if key not in kept or kept[key].numel() < size:
        # What inference mode makes could not be changed in training.
        with torch.inference_mode(False):
            kept[key] = torch.empty(size, dtype=like.dtype)
    return kept[key][:size].view(shape)


def prelu(signal, slope, name):
    """PReLU in float32, in a buffer."""
    signal = signal.float()
    memory = buffer(name, signal.shape, signal)
    if memory is None:
        return F.prelu(signal, slope)
    # PReLU itself cannot write to memory that is given.
    return torch.ops.aten.leaky_relu.out(signal, slope.item(), out=memory)


def product(weight, signal, out=None):
    """A pointwise convolution: [out, in] or [batch, out, in] and a signal."""
    # torch.matmul would transpose the signal, and copy it.
    return matrices(weight.expand(len(signal), -1, -1), signal, out)


def product_in_parts(weight, signal, out=None):
    """``product`` without a gradient; on a CPU some frames at a time.

    What a part reads and writes stays in the cache: 4 to 6 % faster.
    """
    if signal.device.type != "cpu" or signal.shape[-1] <= PART_FRAMES:
        return product(weight, signal, out)
    if out is None:
        shape = len(signal), weight.shape[-2], signal.shape[-1]
        out = signal.new_empty(shape)
    parts = zip(signal.split(PART_FRAMES, -1), out.split(PART_FRAMES, -1))
    for part, result in parts:
        product(weight, part, result)
    return out


def matrices(first, second, out=None):
    """Products of matrices of one precision.

    On a CPU that has no instructions for 16 bits, torch takes 10 to 50 times as
    long for them as for float32. There factors are converted, which is exact, and
    results rounded, as instructions for 16 bits do. Where autograd keeps the
    factors, it keeps the converted ones, of twice the size.

    Arguments
    ---------
    first, second : torch.Tensor
        [batch, n, m] and [batch, m, k].
    out : torch.Tensor
        Where to write; None for new memory.

    Returns
    -------
    torch.Tensor
        [batch, n, k], in the precision of the factors.

    Example
    -------
    >>> row = torch.full((1, 1, 3), 1.0, dtype=torch.bfloat16)
    >>> column = torch.tensor([[[256.0], [1.0], [1.0]]], dtype=torch.bfloat16)
    >>> matrices(row, column).item()
    258.0
    """
    is_emulated = first.device.type == "cpu" and (
        first.dtype == torch.float16
        or first.dtype == torch.bfloat16
        and BF16_IS_EMULATED
    )
    if not is_emulated:
        return torch.bmm(first, second, out=out)
    result = torch.bmm(first.float(), second.float())
    return result.to(first.dtype) if out is None else out.copy_(result)


def normalised(signal, dims, gain, offset):
    """gLN or cLN in plain functions.

    Arguments
    ---------
    signal : torch.Tensor
        [batch, channel, frame], float32.
    dims : tuple of int
        (1, 2) for gLN, (1,) for cLN.
    gain, offset : torch.Tensor
        [channel, 1]

    Returns
    -------
    torch.Tensor
        Like the signal.

    Example
    -------
    >>> signal = torch.tensor([[[1.0], [3.0]]])
    >>> normalised(signal, (1,), torch.ones(2, 1), torch.zeros(2, 1)).flatten()
    tensor([-1.,  1.])
    """
    error = signal - signal.mean(dims, keepdim=True)
    variance = (error * error).mean(dims, keepdim=True)
    return error * (variance + EPS).rsqrt() * gain + offset


def silence_end(signal, frames):
    """Sets what lies behind the last frame to zero, in place."""
    if signal.shape[-1] > frames:
        signal[..., frames:].zero_()
    return signal


def moments(signal, frames):
    """Mean and reciprocal standard deviation of each item, as gLN needs them.

    Arguments
    ---------
    signal : torch.Tensor
        [batch, channel, frame], float32, zero behind the last frame.
    frames : int
        How many of its columns are signal.

    Returns
    -------
    mean : torch.Tensor
        [batch, 1, 1]
    scale : torch.Tensor
        [batch, 1, 1]

    Example
    -------
    >>> signal = torch.tensor([[[1.0, 3.0, 0.0], [3.0, 1.0, 0.0]]])
    >>> mean, scale = moments(signal, frames=2)
    >>> mean.item(), round(scale.item(), 4)
    (2.0, 1.0)
    """
    count = signal.shape[1] * frames
    mean = signal.sum((1, 2), keepdim=True) / count
    if signal.device.type == "cpu":
        # One reading less of the signal, and two writings.
        # In parts, since the sum of a norm loses digits with its length.
        parts = signal.split(PART_FRAMES, -1)
        norms = torch.cat(
            [torch.linalg.vector_norm(part, dim=-1) for part in parts], 1
        )
        power = norms.square_().sum(1).reshape(mean.shape)
        variance = power / count - mean.square()
        if (variance > LEAST_SHARE * mean.square()).all():
            return mean, (variance + EPS).rsqrt_()
    memory = buffer("error", signal.shape, signal)
    error = silence_end(torch.sub(signal, mean, out=memory), frames)
    variance = error.mul_(error).sum((1, 2), keepdim=True) / count
    return mean, (variance + EPS).rsqrt_()


def moments_backward(mean, scale, gain, d_gain, d_offset, frames):
    """What a gradient gets because mean and scale depend on the signal too.

    With s = (u - mean) scale and v = gain s + offset, the gradient of u is that of
    v times gain and scale, less scale (mean of it + s times its mean with s).

    Arguments
    ---------
    mean, scale : torch.Tensor
        From ``moments``.
    gain : torch.Tensor
        [channel, 1]
    d_gain, d_offset : torch.Tensor
        Gradients of gain and offset for each item, [batch, channel, 1].
    frames : int
        Number of frames.

    Returns
    -------
    factor : torch.Tensor
        Of the signal u, [batch, 1, 1].
    summand : torch.Tensor
        [batch, 1, 1]
    """
    count = len(gain) * frames
    slope = (gain * d_gain).sum(1, keepdim=True) / count
    average = (gain * d_offset).sum(1, keepdim=True) / count
    factor = -slope * scale.square()
    return factor, -factor * mean - average * scale


def prelu_backward(gradient, signal, slope, name):
    """Gradients of PReLU's input, in a buffer, and of its slope."""
    memory = buffer(name, signal.shape, signal)
    if memory is None:
        above = torch.ops.aten.threshold_backward(gradient, signal, 0)
    else:
        above = torch.ops.aten.threshold_backward.grad_input(
            gradient, signal, 0, grad_input=memory
        )
    below = gradient.sub_(above)
    above.addcmul_(below, slope)
    return above, below.mul_(signal).sum().reshape(1)
