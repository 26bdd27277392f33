"""The depthwise convolution of a temporal block, its reflection without a copy.

Where a tap reads beyond the signal, SpeechBrain reflects it, which copies the whole
signal. Here each tap is applied in two pieces, inside and outside. All signals are
[batch, channel, frame], with zeros behind the last frame.

Authors
 * The PolSESS recipe team 2026
"""

import torch
from fast.block_functions import buffer, silence_end


def pieces(frames, n_taps, dilation):
    """For each tap where it reads, and for which frames of the result.

    Arguments
    ---------
    frames : int
        How many columns are signal; more than a tap reaches to one side.
    n_taps : int
        Length of the convolution, odd.
    dilation : int
        Frames between taps.

    Returns
    -------
    list of tuple
        Tap; frames of the result; frames of the signal; whether these are read
        backwards, as they are reflected.

    Example
    -------
    >>> for piece in pieces(9, 3, 2):
    ...     print(*piece)
    0 slice(2, 9, None) slice(0, 7, None) False
    0 slice(0, 2, None) slice(1, 3, None) True
    1 slice(0, 9, None) slice(0, 9, None) False
    2 slice(0, 7, None) slice(2, 9, None) False
    2 slice(7, 9, None) slice(6, 8, None) True
    """
    found = []
    for tap in range(n_taps):
        offset = (tap - n_taps // 2) * dilation
        behind, ahead = max(0, -offset), max(0, offset)
        inside = slice(behind, frames - ahead), slice(ahead, frames - behind)
        found.append((tap, *inside, False))
        if behind:
            found.append((tap, slice(0, behind), slice(1, behind + 1), True))
        if ahead:
            result = slice(frames - ahead, frames)
            source = slice(frames - 1 - ahead, frames - 1)
            found.append((tap, result, source, True))
    return found


def _part(signal, frames, is_reversed):
    """Some frames of a signal."""
    part = signal[..., frames]
    return part.flip(-1) if is_reversed else part


def depthwise(signal, frames, dilation, factors, summand, out=None):
    """Convolves each channel with its own taps.

    Arguments
    ---------
    signal : torch.Tensor
        [batch, channel, frame]
    frames, dilation : int
        See ``pieces``.
    factors : torch.Tensor
        The taps, [batch, channel, tap].
    summand : torch.Tensor
        What is added to each channel, [batch, channel, 1].
    out : torch.Tensor
        Where to write; None for new memory.

    Returns
    -------
    torch.Tensor
        Like the signal.

    Example
    -------
    >>> signal = torch.tensor([[[1.0, 2.0, 3.0, 0.0]]])
    >>> taps = torch.tensor([[[1.0, 0.0, 10.0]]])
    >>> depthwise(signal, 3, 1, taps, torch.zeros(1, 1, 1))
    tensor([[[22., 31., 22.,  0.]]])
    """
    n_taps = factors.shape[-1]
    middle = n_taps // 2
    # One addcmul with two summands of other shapes is slower than both.
    result = torch.mul(signal, factors[..., middle, None], out=out)
    result.add_(summand)
    for tap, to, source, is_reversed in pieces(frames, n_taps, dilation):
        if tap != middle:
            part = _part(signal, source, is_reversed)
            result[..., to].addcmul_(part, factors[..., tap, None])
    return silence_end(result, frames)


def taps_backward(gradient, signal, frames, dilation, n_taps):
    """The gradient of the factors of ``depthwise``.

    Arguments
    ---------
    gradient : torch.Tensor
        Of the result, zero behind the last frame.
    signal : torch.Tensor
        What was convolved.
    frames, dilation, n_taps : int
        See ``pieces``.

    Returns
    -------
    torch.Tensor
        [batch, channel, tap]
    """
    memory = buffer("error", gradient.shape, gradient)
    sums = [0.0] * n_taps
    for tap, to, source, is_reversed in pieces(frames, n_taps, dilation):
        part = _part(signal, source, is_reversed)
        out = None if memory is None else memory[..., to]
        product = torch.mul(part, gradient[..., to], out=out)
        sums[tap] = sums[tap] + product.sum(-1)
    return torch.stack(sums, dim=-1)


def add_signal_backward(onto, gradient, factors, frames, dilation):
    """Adds the gradient of the signal of ``depthwise``, in place.

    Arguments
    ---------
    onto : torch.Tensor
        To what it is added, [batch, channel, frame].
    gradient : torch.Tensor
        Of the result, zero behind the last frame.
    factors : torch.Tensor
        See ``depthwise``.
    frames, dilation : int
        See ``pieces``.

    Returns
    -------
    torch.Tensor
        What it was added to.
    """
    for tap, to, source, is_reversed in pieces(
        frames, factors.shape[-1], dilation
    ):
        part = _part(gradient, to, is_reversed)
        onto[..., source].addcmul_(part, factors[..., tap, None])
    return onto


def min_frames(P, X, causal):
    """The number of frames of the shortest mixture, SpeechBrain's networks too.

    Arguments
    ---------
    P, X : int
        The letters of the paper.
    causal : bool
        Whether it is padded by zeros.

    Returns
    -------
    int

    Example
    -------
    >>> min_frames(P=3, X=8, causal=False)
    129
    """
    # Reflection takes one frame more than it adds.
    return 1 if causal else (P - 1) // 2 * 2 ** (X - 1) + 1
