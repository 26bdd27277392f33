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
from fast.products import PART_FRAMES

EPS = 1e-8  # that of SpeechBrain
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


def release_buffers():
    """Gives back what ``buffer`` has kept for this thread."""
    vars(_buffers).clear()


def prelu(signal, slope, name):
    """PReLU in float32, in a buffer."""
    signal = signal.float()
    memory = buffer(name, signal.shape, signal)
    if memory is None:
        return F.prelu(signal, slope)
    # PReLU itself cannot write to memory that is given.
    return torch.ops.aten.leaky_relu.out(signal, slope.item(), out=memory)


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
