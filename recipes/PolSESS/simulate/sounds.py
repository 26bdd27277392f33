"""Building blocks of procedural sounds: noise, drifting gains, joining.

Functions that make sound take a random generator first and return float
samples at SAMPLE_RATE.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

SAMPLE_RATE = 16000
DRIFT_STEP = 64  # samples from one value of a drifting gain to the next


def unit_rms(signal):
    """Scales a signal to unit root mean square.

    Arguments
    ---------
    signal : numpy.ndarray
        Any shape.

    Returns
    -------
    scaled : numpy.ndarray
        Silence stays silence.

    Example
    -------
    >>> unit_rms(np.array([3.0, -3.0])).round(6)
    array([ 1., -1.])
    """
    return signal / (np.sqrt(np.mean(np.square(signal))) + 1e-12)


def unit_peak(signal):
    """Scales a signal to unit peak.

    Arguments
    ---------
    signal : numpy.ndarray
        Any shape.

    Returns
    -------
    scaled : numpy.ndarray
        Silence stays silence.

    Example
    -------
    >>> unit_peak(np.array([3.0, -3.0])).round(6)
    array([ 1., -1.])
    """
    return signal / (np.abs(signal).max() + 1e-12)


def noise(rng, n, tilt_db=-3.0, low=20.0, high=8000.0):
    """Coloured noise in a band.

    Arguments
    ---------
    rng : numpy.random.Generator
        Source of the noise.
    n : int
        Length in samples.
    tilt_db : float
        Slope in dB per octave: 0 white, -3 pink, -6 brown.
    low : float
        Lower edge in Hz, 12 dB per octave.
    high : float
        Upper edge in Hz, 12 dB per octave.

    Returns
    -------
    signal : numpy.ndarray
        Unit RMS, shape [n].

    Example
    -------
    >>> noise(np.random.default_rng(0), 16000).shape
    (16000,)
    """
    n_grid = next_fast_len(n, real=True)
    spectrum = rfft(rng.standard_normal(n_grid))
    frequency = np.maximum(rfftfreq(n_grid, 1 / SAMPLE_RATE), 1.0)
    shape = (frequency / 1000) ** (tilt_db / 6.02)
    shape /= np.sqrt(1 + (low / frequency) ** 4)
    shape /= np.sqrt(1 + (frequency / high) ** 4)
    return unit_rms(irfft(spectrum * shape, n_grid)[:n])


def drift(rng, n, rate, depth_db):
    """Gain that wanders slowly and smoothly.

    Arguments
    ---------
    rng : numpy.random.Generator
        Source of the wandering.
    n : int
        Length in samples.
    rate : float
        Independent values per second.
    depth_db : float
        Standard deviation in dB.

    Returns
    -------
    gain : numpy.ndarray
        Factors around 1, shape [n].

    Example
    -------
    >>> drift(np.random.default_rng(0), 4, rate=1.0, depth_db=0.0)
    array([1., 1., 1., 1.])
    """
    # Raised cosine between random values, on a coarse grid that is then
    # interpolated: no step is heard, and it costs little.
    knots = rng.standard_normal(int(n / SAMPLE_RATE * rate) + 3)
    place = np.linspace(0, len(knots) - 2, n // DRIFT_STEP + 2)
    left = np.minimum(place.astype(int), len(knots) - 2)
    blend = 0.5 - 0.5 * np.cos(np.pi * (place - left))
    level = knots[left] * (1 - blend) + knots[left + 1] * blend
    gain = 10 ** (depth_db / 20 * level)
    return np.interp(np.arange(n), DRIFT_STEP * np.arange(len(gain)), gain)


def add_at(signal, start, grain):
    """Adds a grain to a signal in place, cut at the signal's end.

    Arguments
    ---------
    signal : numpy.ndarray
        Changed in place, shape [time].
    start : int
        Sample at which the grain begins.
    grain : numpy.ndarray
        Shape [time of the grain].

    Example
    -------
    >>> signal = np.zeros(3)
    >>> add_at(signal, 1, np.ones(5))
    >>> signal
    array([0., 1., 1.])
    """
    space = max(0, len(signal) - start)
    signal[start : start + len(grain)] += grain[:space]


def series(grains, gap):
    """Joins grains one after the other.

    Arguments
    ---------
    grains : list of numpy.ndarray
        Each of shape [time of the grain].
    gap : float
        Time between a grain's end and the next one's start in seconds;
        negative if they overlap.

    Returns
    -------
    grain : numpy.ndarray
        Unit peak.

    Example
    -------
    >>> series([np.ones(1), np.ones(2)], gap=1 / SAMPLE_RATE)
    array([1., 0., 1., 1.])
    """
    step = round(gap * SAMPLE_RATE)
    starts, place = [], 0
    for grain in grains:
        starts.append(max(0, place))
        place = max(0, place) + len(grain) + step
    total = max(start + len(g) for start, g in zip(starts, grains))
    joined = np.zeros(total)
    for start, grain in zip(starts, grains):
        add_at(joined, start, grain)
    return unit_peak(joined)
