"""The running mean of a signal, whatever the blocks."""

import numpy as np
import pytest
import torch
from inference.offset import RunningMean


def test_the_mean_has_weights_that_fall_by_one_in_8192():
    samples = np.random.default_rng(0).standard_normal(3000) + 0.3
    ages = np.arange(3000)
    weights = np.tril((1 - 1 / 8192.0) ** (ages[:, None] - ages))
    expected = samples - weights @ samples / weights.sum(1)
    signal = torch.from_numpy(samples)
    for sizes in (3000, 1, [0, 7, 1993, 0, 1000]):
        mean = RunningMean()
        found = torch.cat([mean(block) for block in signal.split(sizes)])
        assert np.allclose(found, expected, atol=1e-10)


@pytest.mark.parametrize("drift", [False, True])
def test_an_offset_is_gone_from_the_first_sample_on(drift):
    """One that changes later is gone after some seconds."""
    offset = torch.full((80_000,), 0.05)
    if drift:
        offset[20_000:] = -0.2
    tone = 0.1 * (torch.arange(80_000) * 2 * np.pi * 200 / 8000).sin()
    without, found = RunningMean()(tone), RunningMean()(tone + offset)
    assert found.dtype == torch.float32
    assert torch.allclose(found[:20_000], without[:20_000], atol=1e-6)
    assert (found - without)[-8000:].abs().max() < 1e-3
    # A signal without an offset stays as it is, but for its first cycles.
    assert (without - tone)[400:].abs().max() < 0.01
    assert (without - tone)[16_000:].abs().max() < 0.001
