"""A causal temporal block of Conv-TasNet for a stream, a few frames at a time.

It computes x + W2 n(p(D n(p(W1 x)))) as SpeechBrain's TemporalBlock does: W are
pointwise convolutions, D is depthwise, p is PReLU and n is cLN. With few frames at a
time, function calls and reading weights dominate. Signals are therefore
[frame, channel]: cLN is one function then, and the matmuls are faster.

Authors
 * The PolSESS recipe team 2026
"""

import torch
import torch.nn.functional as F

from speechbrain.lobes.models.conv_tasnet import EPS

ROOM = 32  # frames, at least, before the kept frames are moved


def past_frames(n_taps, dilation):
    """Number of past frames that a causal block needs.

    SpeechBrain pads its causal convolution twice, on the left and then on both
    sides, and cuts it: its last tap is half its length in the past.

    Arguments
    ---------
    n_taps : int
        Length of the depthwise convolution.
    dilation : int
        Frames between its taps.

    Returns
    -------
    int
        At least zero.

    Example
    -------
    >>> past_frames(3, dilation=4)
    12
    """
    reach = (n_taps - 1) * dilation
    return reach + reach // 2


class FrameHistory:
    """The last frames of a signal; before its start they are zero.

    Arguments
    ---------
    channels : int
        Channels of the signal.
    frames : int
        Number of frames that are kept.
    device : torch.device
        Device of the signal.

    Example
    -------
    >>> history = FrameHistory(channels=1, frames=2, device="cpu")
    >>> history.extend(torch.tensor([[1.0], [2.0], [3.0]])).flatten()
    tensor([0., 0., 1., 2., 3.])
    >>> history.extend(torch.tensor([[4.0]])).flatten()
    tensor([2., 3., 4.])
    """

    def __init__(self, channels, frames, device):
        # Frames are appended; the kept ones move to the start when it is full.
        room = max(frames, ROOM)
        self.memory = torch.zeros(frames + room, channels, device=device)
        self.frames = self.end = frames

    def extend(self, signal):
        """Prepends the last frames to a signal, and keeps its own last ones.

        Arguments
        ---------
        signal : torch.Tensor
            [frame, channel]

        Returns
        -------
        torch.Tensor
            [frames + frame, channel], valid until the next call.
        """
        length = len(signal)
        kept = self.memory[self.end - self.frames : self.end]
        if length > len(self.memory) - self.frames:
            # Longer than the room: no memory is kept for it.
            extended = torch.cat((kept, signal))
            self.memory[: self.frames] = extended[length:]
            self.end = self.frames
            return extended
        if self.end + length > len(self.memory):
            self.memory[: self.frames] = kept.clone()  # they may overlap
            self.end = self.frames
        begin, self.end = self.end, self.end + length
        self.memory[begin : self.end] = signal
        return self.memory[begin - self.frames : self.end]


class StreamBlock:
    """A causal block with cLN and its state in a stream.

    Arguments
    ---------
    layers : torch.nn.ModuleDict
        Layers of SpeechBrain's TemporalBlock, which stay as they are. Later
        changes of them need another StreamBlock.

    Example
    -------
    >>> from speechbrain.lobes.models.conv_tasnet import TemporalBlock
    >>> _ = torch.manual_seed(0)
    >>> options = dict(padding="same", norm_type="cLN", causal=True)
    >>> block = TemporalBlock((None, None, 4), 8, 3, 1, dilation=2, **options)
    >>> signal = torch.randn(9, 4)
    >>> with torch.no_grad():
    ...     stream = StreamBlock(block.layers)
    ...     parts = [stream(part) for part in signal.split(2)]
    ...     torch.allclose(torch.cat(parts), block(signal[None])[0], atol=1e-5)
    True
    """

    def __init__(self, layers):
        inner = layers["DSconv"]
        depthwise = inner["conv_0"]
        self.dilation = depthwise.dilation
        self.enter = layers["conv"].conv.weight.squeeze(-1)
        self.leave = inner["conv_1"].conv.weight.squeeze(-1)
        self.norms = (
            _norm(layers["act"], layers["norm"]),
            _norm(inner["act"], inner["act_0"]),
        )
        # [channel, 1, tap] -> a contiguous [channel] for each tap
        self.taps = depthwise.conv.weight.squeeze(1).t().contiguous().unbind()
        frames = past_frames(len(self.taps), self.dilation)
        self.past = FrameHistory(len(self.enter), frames, self.enter.device)

    def __call__(self, x):
        """Computes the next frames.

        Arguments
        ---------
        x : torch.Tensor
            [frame, channel], float32.

        Returns
        -------
        torch.Tensor
            [frame, channel]
        """
        entered = _normalise(F.linear(x, self.enter), *self.norms[0])
        extended = self.past.extend(entered)
        signal = extended[: len(x)] * self.taps[0]
        for number, tap in enumerate(self.taps[1:], 1):
            start = number * self.dilation
            signal.addcmul_(extended[start : start + len(x)], tap)
        return x + F.linear(_normalise(signal, *self.norms[1]), self.leave)


def _norm(act, norm):
    """Slope of PReLU, gain and offset of cLN, [channel]."""
    return act.weight, norm.gamma.flatten(), norm.beta.flatten()


def _normalise(signal, slope, gain, offset):
    """PReLU and cLN."""
    return F.layer_norm(F.prelu(signal, slope), gain.shape, gain, offset, EPS)
