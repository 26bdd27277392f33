"""The plate against a sample-by-sample loop, and what it must sound like.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np
import pytest
from simulate.reverb import (
    BRANCH_DELAYS,
    INPUT_DIFFUSERS,
    OUTPUT_TAPS,
    plate_response,
    reverberate,
)


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
    diffusers = [line(k) for k in INPUT_DIFFUSERS]
    branches = [[line(k) for k in delays] for delays in BRANCH_DELAYS]
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
        output[t] = 0.3 * sum(
            np.sign(tap) * at(branches[b][place + 1], t, samples(abs(tap)))
            for (b, place), taps in OUTPUT_TAPS.items()
            for tap in taps
        )
    return output


@pytest.mark.parametrize(
    "high_cut, diffusion, decay, damping",
    [(15000, 0.5, 0.3, 0.4), (1200, 0.1, 0.7, 0.1), (3000, 0.9, 0.97, 0.9)],
)
def test_closed_form_equals_sample_loop(high_cut, diffusion, decay, damping):
    parameters = (6000, 8000, high_cut, diffusion, decay, damping)
    difference = plate_response(*parameters) - looped_response(*parameters)
    assert np.abs(difference).max() < 1e-6


def test_longer_grid_gives_the_same_beginning():
    short = plate_response(8000, 8000, 15000.0, 0.5, 0.3, 0.2)
    long = plate_response(64000, 8000, 15000.0, 0.5, 0.3, 0.2)
    assert np.abs(short - long[:8000]).max() < 1e-6


def decay_time(decay):
    """Seconds until 60 dB of the energy are gone."""
    response = plate_response(40000, 8000, 15000.0, 0.5, decay, 0.3)
    energy = np.cumsum(response[::-1] ** 2)[::-1]
    return np.flatnonzero(energy > 1e-6 * energy[0])[-1] / 8000


def test_larger_decay_factor_is_a_shorter_tail():
    times = [decay_time(decay) for decay in (0.3, 0.5, 0.7, 0.9, 0.99)]
    assert all(a > b for a, b in zip(times, times[1:])), times
    assert times[0] > 2 and times[-1] < 0.8


def test_damping_removes_high_frequencies_from_the_tail():
    def share_above_2_khz(damping):
        response = plate_response(16000, 8000, 15000.0, 0.5, 0.3, damping)
        # The first taps lie in front of the damping filters.
        power = np.abs(np.fft.rfft(response[4000:])) ** 2
        return power[len(power) // 2 :].sum() / power.sum()

    assert share_above_2_khz(0.9) < 0.1 * share_above_2_khz(0.1)


@pytest.mark.parametrize("rate", [8000, 16000])
def test_high_cut_above_nyquist_is_no_filter(rate):
    first = plate_response(4000, rate, 15000.0, 0.5, 0.5, 0.3)
    second = plate_response(4000, rate, 20000.0, 0.5, 0.5, 0.3)
    assert np.array_equal(first, second)


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
