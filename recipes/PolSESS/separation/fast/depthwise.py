"""Depthwise convolution with reflection padding, without a padded copy.

Each tap is applied in two parts: to the frames inside the signal, and to the
few reflected ones at its edge. Signals are [batch, channel, frame], zero after
the last frame.

Authors
 * The PolSESS recipe team 2026
"""

import torch

from fast.block_functions import buffer, zero_padding


def tap_slices(frames, n_taps, dilation):
    """Lists which frames each tap reads and writes.

    Arguments
    ---------
    frames : int
        Number of frames without padding, more than a tap reaches to a side.
    n_taps : int
        Length of the convolution, odd.
    dilation : int
        Frames between taps.

    Returns
    -------
    list of tuple
        Tap, slice of the result, slice of the signal, and True where that slice
        is reflected.

    Example
    -------
    >>> for row in tap_slices(9, 3, 2):
    ...     print(*row)
    0 slice(2, 9, None) slice(0, 7, None) False
    0 slice(0, 2, None) slice(1, 3, None) True
    1 slice(0, 9, None) slice(0, 9, None) False
    2 slice(0, 7, None) slice(2, 9, None) False
    2 slice(7, 9, None) slice(6, 8, None) True
    """
    found = []
    for tap in range(n_taps):
        offset = (tap - n_taps // 2) * dilation
        before, ahead = max(0, -offset), max(0, offset)
        inside = slice(before, frames - ahead), slice(ahead, frames - before)
        found.append((tap, *inside, False))
        if before:
            found.append((tap, slice(0, before), slice(1, before + 1), True))
        if ahead:
            result = slice(frames - ahead, frames)
            source = slice(frames - 1 - ahead, frames - 1)
            found.append((tap, result, source, True))
    return found


def _part(signal, frames, is_reversed):
    """Selects frames of a signal, in reversed order where reflected."""
    part = signal[..., frames]
    return part.flip(-1) if is_reversed else part


def depthwise(signal, frames, dilation, factors, summand, out=None):
    """Convolves each channel with its own taps and adds an offset.

    Arguments
    ---------
    signal : torch.Tensor
        [batch, channel, frame].
    frames, dilation : int
        See ``tap_slices``.
    factors : torch.Tensor
        Taps, [batch, channel, tap].
    summand : torch.Tensor
        Offset, [batch, channel, 1].
    out : torch.Tensor
        Tensor for the result; None allocates.

    Returns
    -------
    torch.Tensor
        Shape of the signal.

    Example
    -------
    >>> signal = torch.tensor([[[1.0, 2.0, 3.0, 0.0]]])
    >>> taps = torch.tensor([[[1.0, 0.0, 10.0]]])
    >>> depthwise(signal, 3, 1, taps, torch.zeros(1, 1, 1))
    tensor([[[22., 31., 22.,  0.]]])
    """
    n_taps = factors.shape[-1]
    middle = n_taps // 2
    # A single addcmul with two broadcast operands is slower than mul and add.
    result = torch.mul(signal, factors[..., middle, None], out=out)
    result.add_(summand)
    for tap, to, source, is_reversed in tap_slices(frames, n_taps, dilation):
        if tap != middle:
            part = _part(signal, source, is_reversed)
            result[..., to].addcmul_(part, factors[..., tap, None])
    return zero_padding(result, frames)


def taps_backward(gradient, signal, frames, dilation, n_taps):
    """Computes the gradient of the factors of ``depthwise``.

    Arguments
    ---------
    gradient : torch.Tensor
        Gradient of the result, [batch, channel, frame], zero after the last
        frame.
    signal : torch.Tensor
        Input of the convolution, [batch, channel, frame].
    frames, dilation, n_taps : int
        See ``tap_slices``.

    Returns
    -------
    torch.Tensor
        [batch, channel, tap].
    """
    memory = buffer("error", gradient.shape, gradient)
    sums = [0.0] * n_taps
    for tap, to, source, is_reversed in tap_slices(frames, n_taps, dilation):
        part = _part(signal, source, is_reversed)
        out = None if memory is None else memory[..., to]
        product = torch.mul(part, gradient[..., to], out=out)
        sums[tap] = sums[tap] + product.sum(-1)
    return torch.stack(sums, dim=-1)


def add_depthwise_backward(onto, gradient, factors, frames, dilation):
    """Adds the gradient of the signal of ``depthwise`` to ``onto``, in place.

    Arguments
    ---------
    onto : torch.Tensor
        [batch, channel, frame], overwritten.
    gradient : torch.Tensor
        Gradient of the result, [batch, channel, frame], zero after the last
        frame.
    factors : torch.Tensor
        See ``depthwise``.
    frames, dilation : int
        See ``tap_slices``.

    Returns
    -------
    torch.Tensor
        ``onto``.
    """
    for tap, to, source, is_reversed in tap_slices(
        frames, factors.shape[-1], dilation
    ):
        part = _part(gradient, to, is_reversed)
        onto[..., source].addcmul_(part, factors[..., tap, None])
    return onto
