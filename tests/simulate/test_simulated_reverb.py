"""The plate against a sample-by-sample loop, and where its sound lies."""

import collections

import numpy as np
import pytest
from simulate.reverb import plate_response, reverberate

# Of Dattorro's article: delays of the input and of both branches of the tank,
# and the taps of the left and right output in the lines of both branches.
DIFFUSERS = (142, 107, 379, 277)
BRANCHES = ((672, 4453, 1800, 3720), (908, 4217, 2656, 3163))
LEFT = [(-1990, "0b"), (-187, "0c"), (-1066, "0d")]
LEFT += [(266, "1b"), (2974, "1b"), (-1913, "1c"), (1996, "1d")]
RIGHT = [(353, "0b"), (3627, "0b"), (-1228, "0c"), (2673, "0d")]
RIGHT += [(-2111, "1b"), (-335, "1c"), (-121, "1d")]


def looped_response(n, rate, high_cut, diffusion, decay, damping):
    """The same plate, one sample after the other."""
    lines = collections.defaultdict(lambda: np.zeros(n))
    gain, t = 1 - decay, 0
    second = min(0.5, max(0.25, gain + 0.15))
    pole = np.exp(-2 * np.pi * high_cut / rate) if high_cut < rate / 2 else 0.0

    def back(line, delay):
        """The input of a delay line, some samples ago."""
        place = t - round(delay * rate / 29761)
        return lines[line][place] if place >= 0 else 0.0

    def allpass(line, x, delay, gain):
        delayed = back(line, delay)
        lines[line][t] = x - gain * delayed
        return gain * lines[line][t] + delayed

    damped, low_pass, output = [0.0, 0.0], 0.0, np.zeros(n)
    for t in range(n):
        x = low_pass = (1 - pole) * (t == 0) + pole * low_pass
        for number, delay in enumerate(DIFFUSERS):
            x = allpass(number, x, delay, diffusion)
        for b, (first, line, inner, _) in enumerate(BRANCHES):
            end = gain * back(f"{1 - b}d", BRANCHES[1 - b][3])
            lines[f"{b}b"][t] = allpass(f"{b}a", x + end, first, -0.7)
            damped[b] *= damping
            damped[b] += (1 - damping) * back(f"{b}b", line)
            lines[f"{b}d"][t] = allpass(
                f"{b}c", gain * damped[b], inner, second
            )
        for side in (LEFT, RIGHT):
            for tap, line in side:
                output[t] += 0.5 * 0.6 * np.sign(tap) * back(line, abs(tap))
    return output


@pytest.mark.parametrize(
    "rate, high_cut, diffusion, decay, damping",
    [
        (16000, 15000, 0.5, 0.3, 0.4),  # the cut is above Nyquist: none
        (8000, 1200, 0.1, 0.8, 0.1),
        (8000, 3000, 0.9, 0.97, 0.9),
    ],
)
def test_closed_form_equals_sample_loop(
    rate, high_cut, diffusion, decay, damping
):
    parameters = (6000, rate, high_cut, diffusion, decay, damping)
    expected = looped_response(*parameters)
    assert np.abs(expected).max() > 0.001
    assert np.abs(plate_response(*parameters) - expected).max() < 1e-6


def test_reverberation_is_wet_only_after_its_pre_delay():
    signal, response = np.random.default_rng(0).standard_normal((2, 500))
    for delay in (0, 40, 499, 500, 600):
        wet = np.convolve(signal, response)
        expected = np.concatenate([np.zeros(delay), wet])[:500]
        found = reverberate(signal, response, delay)
        assert np.allclose(found, expected, atol=1e-9)
        assert not found[:delay].any()
