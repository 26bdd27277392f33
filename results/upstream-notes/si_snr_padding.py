"""cal_si_snr ignores lengths and writes into the tensor of its caller.

The same estimate is scored alone and beside a longer one, for which it is padded
as SpeechBrain's PaddedBatch pads. Its score should not depend on the padding,
and the estimates should be afterwards what they were before.

> python si_snr_padding.py

It exits with 1 where the score or the estimate changes, with 0 otherwise.

Authors
 * The PolSESS recipe team 2026
"""

import sys

import torch

from speechbrain.nnet.losses import cal_si_snr, get_si_snr_with_pitwrapper

FRAMES, PADDED = 8000, 12000


def signals(frames, seed):
    """A target and an estimate of it with an error, [1, time, 1]."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.randn(1, frames, 1, generator=generator)
    error = 0.3 * torch.randn(1, frames, 1, generator=generator)
    return target, target + error


def padding_costs():
    """By how many dB the score of an item changes when it is padded."""
    target, estimate = signals(PADDED, seed=0)
    target[:, FRAMES:] = 0  # what PaddedBatch makes of a target
    _, error = signals(PADDED, seed=1)
    estimate[:, FRAMES:] = 0.3 * error[:, FRAMES:]  # what a network makes of it
    alone = -get_si_snr_with_pitwrapper(
        target[:, :FRAMES], estimate[:, :FRAMES].clone()
    )
    batch = [
        torch.cat([item, longer])
        for item, longer in zip((target, estimate), signals(PADDED, seed=2))
    ]
    beside = -get_si_snr_with_pitwrapper(*batch)
    print(f"SI-SNR alone {alone[0]:.2f} dB, in a batch {beside[0]:.2f} dB")
    return abs(alone[0] - beside[0]).item()


def writes_into_its_argument():
    """Whether the tensor of the caller is changed in place.

    The mask is all ones, so the values stay; but torch counts a write, and an
    estimate that is optimised itself is refused.
    """
    target, estimate = (part.transpose(0, 1) for part in signals(FRAMES, 0))
    writes = estimate._version
    cal_si_snr(target, estimate)
    writes = estimate._version - writes
    print(f"writes into the caller's estimate: {writes}")
    leaf = estimate.clone().requires_grad_()
    try:
        cal_si_snr(target, leaf)
    except RuntimeError as error:
        print(f"an estimate that is optimised: {error}")
    return writes > 0


if __name__ == "__main__":
    costs, written = padding_costs(), writes_into_its_argument()
    sys.exit(costs > 0.01 or written)
