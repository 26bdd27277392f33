"""What a temporal block of Conv-TasNet is made of, each with its gradient.

All signals are [batch, channel, frame] in one layout. Functions whose names end in
``_backward`` use up the gradient that they get, and others say what they change:
fewer copies mean less time, since all but the products is bound by memory.

Authors
 * The PolSESS recipe team 2026
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F

EPS = 1e-8  # that of SpeechBrain


class Geometry(NamedTuple):
    """What a block does along time.

    Arguments
    ---------
    frames : int
        How many of the columns are signal; those behind are zero.
    dilation : int
        Frames between the taps of the depthwise convolution.
    causal : bool
        Whether a frame depends on earlier ones alone. If not, signals are
        reflected at their ends.
    dims : tuple of int
        Over which a normalisation averages: (1, 2) for gLN, (1,) for cLN.
    """

    frames: int
    dilation: int
    causal: bool
    dims: tuple

    def count(self, signal):
        """How many values a normalisation averages."""
        channels = signal.shape[1]
        return channels * self.frames if 2 in self.dims else channels

    def padding(self, taps):
        """Frames before the first one, where a convolution begins.

        SpeechBrain pads the causal convolution twice, on the left and then on
        both sides, and cuts it: the last tap is half its length in the past.
        """
        reach = (taps - 1) * self.dilation
        return reach + reach // 2 if self.causal else reach // 2


def product(weight, signal):
    """A pointwise convolution: [out, in] and [batch, in, frame]."""
    # torch.matmul would transpose the signal, and copy it.
    return torch.bmm(weight.expand(len(signal), -1, -1), signal)


def silence_end(signal, frames):
    """Sets what lies behind the last frame to zero, in place."""
    if signal.shape[-1] > frames:
        signal[..., frames:].zero_()
    return signal


def moments(signal, geometry):
    """Mean and reciprocal standard deviation.

    Arguments
    ---------
    signal : torch.Tensor
        [batch, channel, frame], float32, zero behind the last frame.
    geometry : Geometry
        Of the block.

    Returns
    -------
    mean : torch.Tensor
        [batch, 1, 1] for gLN, [batch, 1, frame] for cLN.
    scale : torch.Tensor
        Like the mean.

    Example
    -------
    >>> geometry = Geometry(frames=2, dilation=1, causal=False, dims=(1, 2))
    >>> signal = torch.tensor([[[1.0, 3.0, 0.0], [3.0, 1.0, 0.0]]])
    >>> mean, scale = moments(signal, geometry)
    >>> mean.item(), round(scale.item(), 4)
    (2.0, 1.0)
    """
    count = geometry.count(signal)
    mean = signal.sum(geometry.dims, keepdim=True) / count
    error = silence_end(signal - mean, geometry.frames)
    variance = error.square_().sum(geometry.dims, keepdim=True) / count
    return mean, (variance + EPS).rsqrt_()


def normalised(signal, mean, scale, gain, offset, frames):
    """Normalises by what ``moments`` found, in place; zero behind the end."""
    if mean.shape[-1] > 1:  # cLN
        signal = signal.sub_(mean).mul_(scale).mul_(gain).add_(offset)
    else:
        gain = gain * scale
        signal = signal.mul_(gain).add_(offset - gain * mean)
    return silence_end(signal, frames)


def standardised(signal, mean, scale, frames):
    """The same without gain and offset, in place."""
    return silence_end(signal.sub_(mean).mul_(scale), frames)


def normalised_backward(gradient, standard, scale, gain, sums, geometry):
    """Gradient of ``moments`` and ``normalised`` together.

    Arguments
    ---------
    gradient : torch.Tensor
        Of the result, [batch, channel, frame]; used up.
    standard : torch.Tensor
        What ``standardised`` returns, like the gradient; used up.
    scale : torch.Tensor
        From ``moments``.
    gain : torch.Tensor
        [channel, 1]
    sums : tuple of torch.Tensor
        Gradients of gain and offset for each item, [batch, channel, 1].
    geometry : Geometry
        Of the block.

    Returns
    -------
    torch.Tensor
        [batch, channel, frame], zero behind the last frame.
    """
    if scale.shape[-1] > 1:  # cLN
        gradient = gradient.mul_(gain)
        slope = (gradient * standard).sum(1, keepdim=True)
        mean = gradient.sum(1, keepdim=True)
        gradient = gradient.mul_(scale)
    else:
        slope, mean = ((gain * s).sum(1, keepdim=True) for s in sums)
        gradient = gradient.mul_(gain * scale)
    share = scale / geometry.count(standard)
    gradient = gradient.sub_(standard.mul_(slope * share)).sub_(mean * share)
    return silence_end(gradient, geometry.frames)


def prelu_backward(gradient, signal, slope):
    """Gradients of PReLU's input and of its slope."""
    above = torch.ops.aten.threshold_backward(gradient, signal, 0)
    below = gradient.sub_(above)
    above.addcmul_(below, slope)
    return above, below.mul_(signal).sum().reshape(1)


def _padded(signal, taps, geometry):
    """A signal with what a depthwise convolution sees around it."""
    frames, padding = geometry.frames, geometry.padding(taps)
    reach, width = (taps - 1) * geometry.dilation, signal.shape[-1]
    if geometry.causal:
        kept = max(0, width + reach - padding)
        before = signal.new_zeros(*signal.shape[:2], width + reach - kept)
        return torch.cat([before, signal[..., :kept]], -1)
    left = signal[..., 1 : padding + 1].flip(-1)
    right = signal[..., frames - 1 - padding : frames - 1].flip(-1)
    end = signal.new_zeros(*signal.shape[:2], width - frames)
    return torch.cat([left, signal[..., :frames], right, end], -1)


def _padded_backward(gradient, width, taps, geometry):
    frames, padding = geometry.frames, geometry.padding(taps)
    if geometry.causal:
        kept = gradient[..., padding:]
        inner = F.pad(kept, (0, width - kept.shape[-1]))
    else:
        inner = gradient[..., padding : padding + width]
        left = gradient[..., :padding].flip(-1)
        right = gradient[..., padding + frames :][..., :padding].flip(-1)
        inner[..., 1 : padding + 1] += left
        inner[..., frames - 1 - padding : frames - 1] += right
    return silence_end(inner, frames)


def _taps(signal, weight, geometry):
    """For each tap the part of a padded signal it multiplies, and its weight."""
    taps = weight.shape[1]
    width = signal.shape[-1] - (taps - 1) * geometry.dilation
    for tap in range(taps):
        start = tap * geometry.dilation
        yield signal[..., start : start + width], weight[:, tap, None]


def depthwise(signal, weight, geometry):
    """A dilated convolution of each channel, as a sum of shifted signals.

    Arguments
    ---------
    signal : torch.Tensor
        [batch, channel, frame]
    weight : torch.Tensor
        [channel, tap]
    geometry : Geometry
        Of the block; unless it is causal, there are more frames than its padding.

    Returns
    -------
    torch.Tensor
        [batch, channel, frame], zero behind the last frame.

    Example
    -------
    >>> signal = torch.tensor([[[1.0, 2.0, 3.0]]])
    >>> weight = torch.tensor([[100.0, 10.0, 1.0]])
    >>> depthwise(signal, weight, Geometry(3, 1, False, (1, 2)))
    tensor([[[212., 123., 232.]]])
    """
    signal = _padded(signal, weight.shape[1], geometry)
    views = _taps(signal, weight, geometry)
    first, factor = next(views)
    result = first * factor
    for view, factor in views:
        result.addcmul_(view, factor)
    return silence_end(result, geometry.frames)


def depthwise_backward(gradient, signal, weight, geometry):
    """Gradients of the arguments of ``depthwise``; keeps the one it gets."""
    width = signal.shape[-1]
    signal = _padded(signal, weight.shape[1], geometry)
    d_signal, d_weight = torch.zeros_like(signal), torch.empty_like(weight)
    d_views = _taps(d_signal, weight, geometry)
    buffer = torch.empty_like(gradient)
    for tap, (view, _) in enumerate(_taps(signal, weight, geometry)):
        torch.mul(view, gradient, out=buffer)
        d_weight[:, tap] = buffer.sum((0, 2))
        d_view, factor = next(d_views)
        d_view.addcmul_(gradient, factor)
    d_signal = _padded_backward(d_signal, width, weight.shape[1], geometry)
    return d_signal, d_weight
