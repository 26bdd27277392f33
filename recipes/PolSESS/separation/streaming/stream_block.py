"""A causal temporal block of Conv-TasNet for a stream, a few frames at a time.

It computes what ``temporal_block.plain_block`` does. With few frames at a time,
most of the time goes to calling functions and to reading weights. Signals are
therefore [frame, channel] here: normalisation is one function then, and the
products are faster.

Authors
 * The PolSESS recipe team 2026
"""

import torch
import torch.nn.functional as F
from fast.block_functions import EPS
from fast.convtasnet import block_parameters
from fast.temporal_block import past_frames

ROOM = 32  # frames, at least, before the past of a block is moved


class Past:
    """The last frames of a signal, before which there is silence.

    Arguments
    ---------
    channels : int
        Of the signal.
    frames : int
        How many are kept.
    device : torch.device
        Of the signal.

    Example
    -------
    >>> past = Past(channels=1, frames=2, device="cpu")
    >>> past.extend(torch.tensor([[1.0], [2.0], [3.0]])).flatten()
    tensor([0., 0., 1., 2., 3.])
    >>> past.extend(torch.tensor([[4.0]])).flatten()
    tensor([2., 3., 4.])
    """

    def __init__(self, channels, frames, device):
        # Frames are written one behind the other: what is kept is moved, to the
        # beginning, when the room is full, and not for each of them.
        room = max(frames, ROOM)
        self.memory = torch.zeros(frames + room, channels, device=device)
        self.frames = self.end = frames

    def extend(self, signal):
        """Puts the last frames before a signal, and keeps its own last ones.

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
            # Longer than the room: no memory for it is kept.
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
    """A causal block with cLN, and what it has to remember of a stream.

    Arguments
    ---------
    layers : torch.nn.ModuleDict
        Of a temporal block, the recipe's or SpeechBrain's. It is not changed,
        and what changes in it later need not be followed.

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
        self.dilation, *parameters = block_parameters(layers)
        w1, a1, g1, b1, d, a2, g2, b2, w2 = parameters
        self.enter = w1
        self.leave = w2
        self.norms = (a1, g1[:, 0], b1[:, 0]), (a2, g2[:, 0], b2[:, 0])
        self.taps = d.t().contiguous().unbind()
        frames = past_frames(len(self.taps), self.dilation)
        self.past = Past(len(w1), frames, w1.device)

    def __call__(self, x):
        """Computes the next frames.

        Arguments
        ---------
        x : torch.Tensor
            [frame, channel], float32.

        Returns
        -------
        torch.Tensor
            Like x.
        """
        extended = self.past.extend(
            _normal(F.linear(x, self.enter), *self.norms[0])
        )
        signal = extended[: len(x)] * self.taps[0]
        for number, tap in enumerate(self.taps[1:], 1):
            start = number * self.dilation
            signal.addcmul_(extended[start : start + len(x)], tap)
        return x + F.linear(_normal(signal, *self.norms[1]), self.leave)


def _normal(signal, slope, gain, offset):
    """PReLU and cLN."""
    return F.layer_norm(F.prelu(signal, slope), gain.shape, gain, offset, EPS)
