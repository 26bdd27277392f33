"""Forward and backward functions of the temporal block of Conv-TasNet.

Signals are [batch, channel, frame], zero-padded to a multiple of 16 frames.
Functions that end in ``_backward`` overwrite the gradient they are given:
everything but the matrix products is limited by memory bandwidth.

Authors
 * The PolSESS recipe team 2026
"""

import math
import threading

import torch
import torch.nn.functional as F

from fast.products import PART_FRAMES

EPS = 1e-8  # as in SpeechBrain
# Below this share of the squared mean, E[x^2] - E[x]^2 loses too many digits
# and the variance is computed in a second pass.
LEAST_SHARE = 0.1

_buffers = threading.local()


def buffer(name, shape, like):
    """Returns a scratch tensor of this thread that later calls reuse, on a CPU.

    Reused memory is still in the CPU's cache. On a GPU torch's own allocator
    reuses memory.

    Arguments
    ---------
    name : str
        Name of the buffer. The same name overwrites the previous content.
    shape : tuple of int
        Shape of the tensor.
    like : torch.Tensor
        Tensor with the wanted device and dtype.

    Returns
    -------
    torch.Tensor
        None on a GPU, where ``out=None`` allocates.
    """
    if like.device.type != "cpu":
        return None
    kept, key, size = vars(_buffers), f"{name} {like.dtype}", math.prod(shape)
    if key not in kept or kept[key].numel() < size:
        # Training cannot write to tensors created in inference mode.
        with torch.inference_mode(False):
            kept[key] = torch.empty(size, dtype=like.dtype)
    return kept[key][:size].view(shape)


def release_buffers():
    """Frees the buffers of this thread."""
    vars(_buffers).clear()


def prelu(signal, slope, name):
    """PReLU in float32, in a buffer."""
    signal = signal.float()
    memory = buffer(name, signal.shape, signal)
    if memory is None:
        return F.prelu(signal, slope)
    # PReLU itself has no out argument.
    return torch.ops.aten.leaky_relu.out(signal, slope.item(), out=memory)


def normalise(signal, dims, gain, offset):
    """Normalises by gLN or cLN, with autograd's own gradient.

    Arguments
    ---------
    signal : torch.Tensor
        [batch, channel, frame], float32.
    dims : tuple of int
        (1, 2) for gLN, (1,) for cLN.
    gain, offset : torch.Tensor
        [channel, 1].

    Returns
    -------
    torch.Tensor
        Shape of the signal.

    Example
    -------
    >>> signal = torch.tensor([[[1.0], [3.0]]])
    >>> normalise(signal, (1,), torch.ones(2, 1), torch.zeros(2, 1)).flatten()
    tensor([-1.,  1.])
    """
    error = signal - signal.mean(dims, keepdim=True)
    variance = (error * error).mean(dims, keepdim=True)
    return error * (variance + EPS).rsqrt() * gain + offset


def zero_padding(signal, frames):
    """Sets the columns after the last frame to zero, in place."""
    if signal.shape[-1] > frames:
        signal[..., frames:].zero_()
    return signal


def moments(signal, frames):
    """Computes the mean and the reciprocal standard deviation of each item.

    Arguments
    ---------
    signal : torch.Tensor
        [batch, channel, frame], float32, zero after the last frame.
    frames : int
        Number of frames without padding.

    Returns
    -------
    mean : torch.Tensor
        [batch, 1, 1].
    scale : torch.Tensor
        [batch, 1, 1].

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
        # One pass that only reads, instead of two with a write in between.
        # In parts, because the sum in vector_norm loses digits with length.
        parts = signal.split(PART_FRAMES, -1)
        norms = torch.cat(
            [torch.linalg.vector_norm(part, dim=-1) for part in parts], 1
        )
        power = norms.square_().sum(1).reshape(mean.shape)
        variance = power / count - mean.square()
        if (variance > LEAST_SHARE * mean.square()).all():
            return mean, (variance + EPS).rsqrt_()
    memory = buffer("error", signal.shape, signal)
    error = zero_padding(torch.sub(signal, mean, out=memory), frames)
    variance = error.mul_(error).sum((1, 2), keepdim=True) / count
    return mean, (variance + EPS).rsqrt_()


def moments_backward(mean, scale, gain, d_gain, d_offset, frames):
    """Gradient of the signal through the mean and the scale of gLN.

    With s = (u - mean) scale, v = gain s + offset and h = gain dv, the gradient
    is du = scale (h - E[h] - s E[h s]). The last two terms are linear in u, so
    they are returned as a factor of u and a summand.

    Arguments
    ---------
    mean, scale : torch.Tensor
        Results of ``moments``, [batch, 1, 1].
    gain : torch.Tensor
        [channel, 1].
    d_gain, d_offset : torch.Tensor
        Gradients of gain and offset for each item, [batch, channel, 1].
    frames : int
        Number of frames without padding.

    Returns
    -------
    factor : torch.Tensor
        [batch, 1, 1].
    summand : torch.Tensor
        [batch, 1, 1].
    """
    count = len(gain) * frames
    slope = (gain * d_gain).sum(1, keepdim=True) / count
    average = (gain * d_offset).sum(1, keepdim=True) / count
    factor = -slope * scale.square()
    return factor, -factor * mean - average * scale


def prelu_backward(gradient, signal, slope, name):
    """Returns the gradients of PReLU's input, in a buffer, and of its slope."""
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
