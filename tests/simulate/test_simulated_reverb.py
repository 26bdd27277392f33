"""The plate against a sample-by-sample loop, and where its sound lies."""

import numpy as np
import pytest
from simulate.reverb import plate_response, reverberate

# Of Dattorro's article: delays of the input and of both branches of the tank,
# and the taps of the left and right output, as (branch, its line) -> samples.
DIFFUSERS = (142, 107, 379, 277)
BRANCHES = ((672, 4453, 1800, 3720), (908, 4217, 2656, 3163))
LEFT = {(0, 1): [-1990], (0, 2): [-187], (0, 3): [-1066]}
LEFT |= {(1, 1): [266, 2974], (1, 2): [-1913], (1, 3): [1996]}
RIGHT = {(0, 1): [353, 3627], (0, 2): [-1228], (0, 3): [2673]}
RIGHT |= {(1, 1): [-2111], (1, 2): [-335], (1, 3): [-121]}


def looped_response(n, rate, high_cut, diffusion, decay, damping):
    """The same plate, one sample after the other with delay lines."""

    def samples(reference):
        return round(reference * rate / 29761)

    def line(reference):
        return np.zeros(samples(reference) + 1)

    def at(buffer, time, delay):
        return buffer[(time - delay) % len(buffer)]

    gain = 1 - decay
    second = min(0.5, max(0.25, gain + 0.15))
    pole = np.exp(-2 * np.pi * high_cut / rate) if high_cut < rate / 2 else 0.0
    diffusers = [line(k) for k in DIFFUSERS]
    branches = [[line(k) for k in delays] for delays in BRANCHES]
    low_pass, damp, ends = 0.0, [0.0, 0.0], [0.0, 0.0]
    output = np.zeros(n)
    for t in range(n):
        low_pass = (1 - pole) * (t == 0) + pole * low_pass
        x = low_pass
        for buffer in diffusers:
            delayed = at(buffer, t, len(buffer) - 1)
            inner = x - diffusion * delayed
            buffer[t % len(buffer)] = inner
            x = diffusion * inner + delayed
        # The tank's ends of this sample depend on older samples only.
        for b in (0, 1):
            ends[b] = gain * at(branches[b][3], t, len(branches[b][3]) - 1)
        for b in (0, 1):
            first, delay, allpass, last = branches[b]
            delayed = at(first, t, len(first) - 1)
            inner = x + ends[1 - b] + 0.7 * delayed
            first[t % len(first)] = inner
            delay[t % len(delay)] = -0.7 * inner + delayed
            delayed = at(delay, t, len(delay) - 1)
            damp[b] = (1 - damping) * delayed + damping * damp[b]
            delayed = at(allpass, t, len(allpass) - 1)
            inner = gain * damp[b] - second * delayed
            allpass[t % len(allpass)] = inner
            last[t % len(last)] = second * inner + delayed
        output[t] = 0.5 * sum(
            0.6 * np.sign(tap) * at(branches[b][place], t, samples(abs(tap)))
            for side in (LEFT, RIGHT)
            for (b, place), taps in side.items()
            for tap in taps
        )
    return output


@pytest.mark.parametrize(
    "rate, high_cut, diffusion, decay, damping",
    [
        (8000, 15000, 0.5, 0.3, 0.4),  # the cut is above Nyquist: none
        (8000, 1200, 0.1, 0.8, 0.1),
        (16000, 3000, 0.9, 0.97, 0.9),
    ],
)
def test_closed_form_equals_sample_loop(
    rate, high_cut, diffusion, decay, damping
):
    parameters = (6000, rate, high_cut, diffusion, decay, damping)
    expected = looped_response(*parameters)
    assert np.abs(expected).max() > 0.001
    assert np.abs(plate_response(*parameters) - expected).max() < 1e-6


def test_wet_only_and_silent_before_the_pre_delay():
    rate, pre_delay = 8000, 400
    response = plate_response(rate, rate, 15000.0, 0.5, 0.5, 0.3)
    signal = np.zeros(rate)
    signal[100] = 1.0
    wet = reverberate(signal, response, pre_delay)
    first_reflection = np.flatnonzero(np.abs(response) > 1e-9)[0]
    assert np.abs(wet[: 100 + pre_delay + first_reflection]).max() < 1e-9
    assert np.allclose(wet[500:], response[: rate - 500], atol=1e-12)


def test_pre_delay_beyond_the_signal_leaves_silence():
    wet = reverberate(np.ones(10), np.ones(10), 10)
    assert wet.shape == (10,) and not wet.any()
