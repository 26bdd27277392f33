"""Metrics of one utterance.

A metric is a pure function (estimate, reference, sample_rate) -> float, higher
is better. The signals are np.ndarray, [time], of one length, the rate is in Hz.
It raises where it has no answer; ``score_signal`` turns that into an empty cell
and reports it, so that a failure is neither lost nor averaged away. A silent
estimate has the floor of the metric: left out, it would raise the mean. A metric of
your own is a function of this file, named in METRICS. Scoring processes import
this file and not torch, which would cost each of them seconds.

Authors
 * The PolSESS recipe team 2026
"""

import os
import threading
import time
import warnings

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.linalg import matmul_toeplitz, solve_toeplitz, toeplitz

DISTORTION_FILTER = 512  # taps, as in BSS Eval
# A part of the energy, -250 dB. What is smaller is the rounding of float64.
ROUNDING = 1e-25
SILENT_DB = -100.0  # the bound of the loss
FLOORS = {"si_sdr": SILENT_DB, "sdr": SILENT_DB, "pesq": 1.0}
FLOORS |= {"stoi": 0.0, "estoi": 0.0}


class SilentEstimateError(ValueError):
    """The estimate has nothing of the reference: its score is the floor."""


def si_sdr(estimate, reference, sample_rate=None):
    """Zero-mean scale-invariant signal-to-distortion ratio in dB.

    J. Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019. Raises
    ValueError where it is not defined: a silent reference or estimate, or an
    estimate without any error.

    Example
    -------
    >>> reference = np.array([1.0, -1.0, 1.0, -1.0])
    >>> round(si_sdr(3 * reference + [0.3, 0.3, -0.3, -0.3], reference), 6)
    20.0
    """
    estimate = _zero_mean(estimate, "estimate")
    reference = _zero_mean(reference, "reference")
    target = (estimate @ reference) / (reference @ reference) * reference
    return _ratio_db(target, estimate - target)


def _zero_mean(signal, name):
    """In float64; raises ValueError where nothing but a constant is left."""
    signal = np.asarray(signal, dtype=np.float64)
    centred = signal - signal.mean()
    if centred @ centred <= ROUNDING * (signal @ signal):
        error = SilentEstimateError if name == "estimate" else ValueError
        raise error(f"silent {name}")
    return centred


def _ratio_db(target, error):
    """Energy of the target over that of the error, in dB."""
    target, error = target @ target, error @ error
    if target <= 10 ** (SILENT_DB / 10) * error:
        raise SilentEstimateError("nothing of the reference in the estimate")
    if error <= ROUNDING * target:
        raise ValueError("estimate equal to the reference")
    return float(10 * np.log10(target / error))


def sdr(estimate, reference, sample_rate=None):
    """Signal-to-distortion ratio of BSS Eval, version 3, in dB.

    E. Vincent, R. Gribonval, C. Fevotte, "Performance measurement in blind
    audio source separation", TASLP 2006. A filter of 512 taps on the reference
    is no distortion. Raises ValueError where it is not defined, see ``si_sdr``.

    Example
    -------
    >>> generator = np.random.default_rng(0)
    >>> reference, error = generator.standard_normal((2, 200000))
    >>> filtered = 3 * np.roll(reference, 20)
    >>> round(sdr(filtered + 0.3 * error, reference))
    20
    """
    estimate = np.asarray(estimate, dtype=np.float64)
    reference = np.asarray(reference, dtype=np.float64)
    for name, signal in (("reference", reference), ("estimate", estimate)):
        if not signal.any():
            raise ValueError(f"silent {name}")
    # The autocorrelation of the reference, its correlation with the estimate.
    samples = len(reference) + DISTORTION_FILTER - 1
    size = next_fast_len(samples, real=True)
    spectrum = rfft(reference, size)
    auto = irfft(np.abs(spectrum) ** 2, size)[:DISTORTION_FILTER]
    cross = irfft(spectrum.conj() * rfft(estimate, size), size)
    taps = _solve(auto, cross[:DISTORTION_FILTER])
    target = irfft(spectrum * rfft(taps, size), size)[:samples]
    return _ratio_db(
        target, np.pad(estimate, (0, DISTORTION_FILTER - 1)) - target
    )


def _solve(auto, cross):
    """The distortion filter: the fast way, where it is also the exact one."""
    try:
        taps = solve_toeplitz(auto, cross)
        residual = np.abs(matmul_toeplitz(auto, taps) - cross).max()
        if residual <= 1e-9 * np.abs(cross).max():
            return taps
    except np.linalg.LinAlgError:
        pass
    # Levinson's recursion fails where the reference has empty bands, for
    # instance a tone that fades in and out.
    return np.linalg.lstsq(toeplitz(auto), cross, rcond=None)[0]


def pesq(estimate, reference, sample_rate):
    """Perceptual evaluation of speech quality (MOS-LQO).

    Narrow band (ITU-T P.862) at 8000 Hz, wide band (P.862.2) at 16000 Hz.
    Raises the errors of the package ``pesq``, such as that of no speech.
    """
    from pesq import pesq as itu_pesq

    mode = {8000: "nb", 16000: "wb"}[sample_rate]
    return float(itu_pesq(sample_rate, reference, estimate, mode))


def stoi(estimate, reference, sample_rate, extended=False):
    """Short-time objective intelligibility, at most 1; extended for ESTOI.

    C. Taal et al., "An algorithm for intelligibility prediction of
    time-frequency weighted noisy speech", TASLP 2011. Where the reference is
    silent or has too little speech, the package ``pystoi`` returns a number
    without meaning: this raises ValueError. A silent estimate has 0.
    """
    from pystoi import stoi as pystoi

    if not np.any(reference):
        raise ValueError("silent reference")
    if not np.any(estimate):
        return 0.0
    # pystoi draws noise for bands without energy: always the same noise.
    state = np.random.get_state()
    np.random.seed(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            return float(pystoi(reference, estimate, sample_rate, extended))
    except (RuntimeWarning, ValueError) as error:
        # Without a whole frame, pystoi fails with an error of numpy.
        raise ValueError(f"too little speech: {error}") from error
    finally:
        np.random.set_state(state)


def estoi(estimate, reference, sample_rate):
    """Extended short-time objective intelligibility; raises as ``stoi``.

    J. Jensen, C. Taal, "An algorithm for predicting the intelligibility of
    speech masked by modulated noise maskers", TASLP 2016.
    """
    return stoi(estimate, reference, sample_rate, extended=True)


METRICS = {f.__name__: f for f in (si_sdr, sdr, pesq, stoi, estoi)}


def score_signal(signal, reference, sample_rate, names):
    """Computes metrics of one signal; one that fails does not touch the others.

    Arguments
    ---------
    signal, reference : np.ndarray
        Estimate or mixture, and its reference, [time].
    sample_rate : int
        In Hz.
    names : list of str
        Out of METRICS.

    Returns
    -------
    dict
        Name -> (score, None), or (NaN or the floor, the reason).

    Example
    -------
    >>> score_signal(np.zeros(4), np.arange(4), 8000, ["sdr"])
    {'sdr': (-100.0, "SilentEstimateError('silent estimate')")}
    >>> score_signal(np.ones(4), np.zeros(4), 8000, ["sdr"])
    {'sdr': (nan, "ValueError('silent reference')")}
    """
    scores = {}
    for name in names:
        try:
            if not np.isfinite(reference).all():
                raise ValueError("samples that are not finite")
            if not np.isfinite(signal).all():
                raise SilentEstimateError("samples that are not finite")
            _zero_mean(reference, "reference")
            _zero_mean(signal, "estimate")
            # Copies, since a metric may write into its arguments.
            score = METRICS[name](signal.copy(), reference.copy(), sample_rate)
            if not np.isfinite(score):
                raise ValueError(f"the score is {score}")
            scores[name] = float(score) + 0.0, None  # 0.0 instead of -0.0
        except SilentEstimateError as error:
            scores[name] = FLOORS.get(name, np.nan), repr(error)
        except Exception as error:
            # The packages raise exceptions of many kinds.
            scores[name] = np.nan, repr(error)
    return scores


def end_with(parent):
    """Ends this scoring process when its parent (its number) was killed."""

    def watch():
        """Waits until the process is an orphan, which has another parent."""
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
