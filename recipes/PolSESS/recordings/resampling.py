"""Changes sample rates without much memory.

Authors
 * The PolSESS recipe team 2026
"""

import functools
import math

from scipy.signal import firwin, resample_poly


@functools.lru_cache(maxsize=64)
def _low_pass(up, down):
    """The filter of scipy's resample_poly, designed once and kept."""
    n_side = 10 * max(up, down)
    return firwin(2 * n_side + 1, 1 / max(up, down), window=("kaiser", 5.0))


def resample(signal, to_rate, from_rate):
    """Changes the sample rate as scipy's resample_poly, with the same bits.

    Its polyphase filter takes a few MB for rates without a common divisor;
    torchaudio's kernel takes GB.

    Arguments
    ---------
    signal : numpy.ndarray
        Shape [time].
    to_rate, from_rate : int
        In Hz.

    Returns
    -------
    signal : numpy.ndarray
        float64, shape [time * to_rate / from_rate, rounded up].
    """
    divisor = math.gcd(to_rate, from_rate)
    up, down = to_rate // divisor, from_rate // divisor
    if up == down:
        return signal
    return resample_poly(signal, up, down, window=_low_pass(up, down))
