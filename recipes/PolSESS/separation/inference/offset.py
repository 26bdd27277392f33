"""The DC offset of a recording, which networks do not know.

The mixtures of PolSESS have none, and 0.05 costs a trained network several dB. The mean
goes before the network, and no estimate holds it: that of the window, since most
networks hear it whole; for a network that can work on live audio the running mean, so
that a stream and a file give the same.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np
import torch
from scipy.signal import lfilter

KEPT = 1 - 1 / 8192  # the weights fall to 1/e in 8192 samples, 1 s at 8 kHz


def hears_the_past_alone(separator):
    """Tells whether a separator is a causal Conv-TasNet."""
    masknet = getattr(separator, "masknet", separator)
    blocks = getattr(masknet, "temporal_conv_net", {}).values()
    return any("chomp" in block.layers["DSconv"] for block in blocks)


class WithoutMean(torch.nn.Module):
    """Takes the mean over time out of mixtures, [batch, time]."""

    def forward(self, mixtures):
        """Returns them in their shape."""
        return mixtures - mixtures.mean(-1, keepdim=True)


class RunningMean:
    """Takes the mean of all samples so far out of a signal, block by block.

    Weights fall by KEPT from sample to sample, so that the mean follows an offset
    that drifts. At the start it is the plain mean: no offset has to die away.

    Example
    -------
    >>> mean = RunningMean()
    >>> signal = torch.tensor([1.0, 3.0, 2.0]) + 5
    >>> torch.cat([mean(block) for block in signal.split(2)]).round()
    tensor([0., 1., -0.])
    """

    def __init__(self):
        self.state, self.length = np.zeros(1), 0

    def __call__(self, block):
        """Returns the next block, [time], without the mean."""
        if not len(block):  # of which lfilter returns an arbitrary state
            return block
        samples = block.detach().cpu().double().numpy()
        sums, self.state = lfilter([1], [1, -KEPT], samples, zi=self.state)
        numbers = self.length + 1 + np.arange(len(samples))
        self.length += len(samples)
        weights = np.expm1(numbers * np.log(KEPT)) / (KEPT - 1)
        return torch.from_numpy(samples - sums / weights).to(block)
