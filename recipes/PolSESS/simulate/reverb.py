"""Plate reverberation with the parameters of MATLAB's reverberator.

The published generator makes its reverberation with MATLAB's `reverberator`,
the plate of J. Dattorro, "Effect Design, Part 1: Reverberator and Other
Filters", J. Audio Eng. Soc. 45(9), 1997: a pre-delay, a one-pole low-pass
(high cut), four allpass diffusers, and a tank of two branches that feed each
other, with seven output taps a side. A larger decay factor of MATLAB is a
shorter tail: the gain of the tank is 1 - decay, 0.99 is a car, 0.3 a hall.

The slow modulation of two tank delays is left out. The plate is then linear
and time-invariant: its impulse response follows in closed form from the
transfer functions of its parts. The speakers and the event of a mixture share
one response, as they differ in their pre-delay only.
"""

import functools

import numpy as np
from scipy.fft import irfft, next_fast_len
from scipy.signal import fftconvolve

# Dattorro states all delays in samples at this rate (Hz).
REFERENCE_RATE = 29761
INPUT_DIFFUSERS = (142, 107, 379, 277)
# Per branch: allpass, delay, (damping,) allpass, delay.
BRANCH_DELAYS = ((672, 4453, 1800, 3720), (908, 4217, 2656, 3163))
DECAY_DIFFUSION = 0.7
OUTPUT_GAIN = 0.6
# (branch, line) -> taps of both outputs, negative where they are subtracted.
# Lines: 0 first delay, 1 second allpass, 2 second delay of a branch.
OUTPUT_TAPS = {
    (0, 0): (-1990, 353, 3627),
    (0, 1): (-187, -1228),
    (0, 2): (-1066, 2673),
    (1, 0): (266, 2974, -2111),
    (1, 1): (-1913, -335),
    (1, 2): (1996, -121),
}
# The transfer function is sampled outside the unit circle, where the response
# has decayed by this factor at the end of the grid: aliases are 120 dB down.
_WRAP_GUARD = 1e6


def plate_response(n_samples, sample_rate, high_cut, diffusion, decay, damping):
    """Impulse response of the plate without its pre-delay, in mono.

    Arguments
    ---------
    n_samples : int
        Length of the response.
    sample_rate : int
        In Hz.
    high_cut : float
        Cutoff of the input's low-pass in Hz; no filter above Nyquist.
    diffusion : float
        Coefficient of the four input allpasses, in [0, 1).
    decay : float
        MATLAB's DecayFactor in (0, 1]: the larger, the shorter the tail.
    damping : float
        Pole of the low-pass in each branch of the tank, in [0, 1).

    Returns
    -------
    response : numpy.ndarray
        Mean of the left and right output, shape [n_samples].

    Example
    -------
    >>> response = plate_response(8000, 8000, 15000.0, 0.5, 0.7, 0.2)
    >>> int(np.flatnonzero(np.abs(response) > 1e-9)[0])
    72
    """
    n_grid = next_fast_len(n_samples, real=True)

    def delay(reference_samples):
        """Transfer function of a delay given at REFERENCE_RATE."""
        samples = round(reference_samples * sample_rate / REFERENCE_RATE)
        return _delay(n_grid, max(1, samples))

    step = _delay(n_grid, 1)
    spectrum = _input_filters(
        delay, step, sample_rate, high_cut, diffusion
    ) * _tank(delay, step, 1.0 - decay, damping)
    response = irfft(spectrum, n_grid)[:n_samples]
    growth = np.log(_WRAP_GUARD) / n_grid
    return response * np.exp(growth * np.arange(n_samples))


@functools.lru_cache(maxsize=32)  # all delays of a plate: 7 MB for 4 s
def _delay(n_grid, samples):
    """Transfer function of a delay on the circle |z| = exp(growth)."""
    growth = np.log(_WRAP_GUARD) / n_grid
    # Natural logarithm of 1/z.
    log_step = -growth - 2j * np.pi * np.arange(n_grid // 2 + 1) / n_grid
    return np.exp(log_step * samples)


def _input_filters(delay, step, sample_rate, high_cut, diffusion):
    """Transfer function of the low-pass and the diffusers before the tank."""
    transfer = np.ones_like(step)
    if high_cut < sample_rate / 2:
        pole = np.exp(-2 * np.pi * high_cut / sample_rate)
        transfer *= (1 - pole) / (1 - pole * step)
    for length in INPUT_DIFFUSERS:
        shift = delay(length)
        transfer *= (diffusion + shift) / (1 + diffusion * shift)
    return transfer


def _tank(delay, step, gain, damping):
    """Transfer function of the tank, mean of left and right output."""
    low_pass = (1 - damping) / (1 - damping * step)
    second_diffusion = np.clip(gain + 0.15, 0.25, 0.5)
    through, lines = [], []
    for allpass_1, delay_1, allpass_2, delay_2 in BRANCH_DELAYS:
        shift = delay(allpass_1)
        head = (shift - DECAY_DIFFUSION) / (1 - DECAY_DIFFUSION * shift)
        damped = head * delay(delay_1) * low_pass * gain
        shift = delay(allpass_2)
        inner = damped / (1 + second_diffusion * shift)
        tail = inner * (second_diffusion + shift)
        through.append(tail * delay(delay_2) * gain)
        lines.append((head, inner, tail))
    # Each branch receives the input and the end of the other branch.
    loop = 1 - through[0] * through[1]
    inputs = ((1 + through[1]) / loop, (1 + through[0]) / loop)
    output = sum(
        np.sign(tap) * inputs[branch] * lines[branch][line] * delay(abs(tap))
        for (branch, line), taps in OUTPUT_TAPS.items()
        for tap in taps
    )
    return 0.5 * OUTPUT_GAIN * output


def reverberate(signal, response, pre_delay_samples):
    """Wet-only reverberation of a signal, cut to the signal's length.

    Arguments
    ---------
    signal : numpy.ndarray
        Dry samples, shape [time].
    response : numpy.ndarray
        Impulse response from plate_response.
    pre_delay_samples : int
        Silence before the response.

    Returns
    -------
    wet : numpy.ndarray
        Reverberation without the dry signal, shape [time].

    Example
    -------
    >>> reverberate(np.array([1.0, 0, 0, 0]), np.array([2.0, 1.0]), 1).round(9)
    array([0., 2., 1., 0.])
    """
    wet = np.zeros(len(signal))
    n_wet = len(signal) - pre_delay_samples
    if n_wet > 0:
        wet[-n_wet:] = fftconvolve(signal[:n_wet], response)[:n_wet]
    return wet
