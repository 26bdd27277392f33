# ======== metrics
"""Metrics of one utterance.

A metric is a pure function (estimate, reference, sample_rate) -> float. It
raises where it has no answer; ``processes.score_signal`` turns that into an
empty cell and reports it, so that a failure is neither lost nor averaged away.
One of your own is any such function that can be imported, named in the YAML:
``metrics: [si_sdr, pesq, my_module.my_metric]``.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np
from metrics import estoi, stoi
from pesq import pesq as itu_pesq
from scipy.fft import irfft, next_fast_len, rfft
from scipy.linalg import matmul_toeplitz, solve_toeplitz, toeplitz

DISTORTION_FILTER = 512  # taps, as in BSS Eval
# A part of the energy, -250 dB. What is smaller is the rounding of float64.
ROUNDING = 1e-25


def si_sdr(estimate, reference, sample_rate=None):
    """Zero-mean scale-invariant signal-to-distortion ratio.

    J. Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019. Raises
    ValueError where it is not defined: a silent reference or estimate, or an
    estimate without any error.

    Arguments
    ---------
    estimate : np.ndarray
        [time].
    reference : np.ndarray
        [time].
    sample_rate : int
        Not used; metrics share one signature.

    Returns
    -------
    float
        In dB, higher is better.

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
    signal = np.asarray(signal, dtype=np.float64)
    centred = signal - signal.mean()
    if centred @ centred <= ROUNDING * (signal @ signal):
        raise ValueError(f"silent {name}")
    return centred


def _ratio_db(target, error):
    target, error = target @ target, error @ error
    if target <= ROUNDING * error:
        raise ValueError("nothing of the reference in the estimate")
    if error <= ROUNDING * target:
        raise ValueError("estimate equal to the reference")
    return float(10 * np.log10(target / error))


def sdr(estimate, reference, sample_rate=None):
    """Signal-to-distortion ratio of BSS Eval, version 3.

    E. Vincent, R. Gribonval, C. Fevotte, "Performance measurement in blind
    audio source separation", TASLP 2006. A filter of 512 taps on the reference
    is no distortion. Unlike fast_bss_eval this imports no torch, which would
    cost every scoring process seconds. Raises ValueError where it is not
    defined, see ``si_sdr``.

    Arguments
    ---------
    estimate : np.ndarray
        [time].
    reference : np.ndarray
        [time].
    sample_rate : int
        Not used; metrics share one signature.

    Returns
    -------
    float
        In dB, higher is better.

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
    """Perceptual evaluation of speech quality.

    Narrow band (ITU-T P.862) at 8 kHz, wide band (P.862.2) at 16 kHz. Raises
    what the package ``pesq`` raises, for instance where it finds no speech.

    Arguments
    ---------
    estimate : np.ndarray
        [time].
    reference : np.ndarray
        [time].
    sample_rate : int
        8000 or 16000 Hz.

    Returns
    -------
    float
        MOS-LQO, higher is better.
    """
    mode = {8000: "nb", 16000: "wb"}[sample_rate]
    return float(itu_pesq(sample_rate, reference, estimate, mode))


pesq.sample_rates = (8000, 16000)  # Hz; a metric without this takes any
METRICS = {
    "si_sdr": si_sdr,
    "sdr": sdr,
    "pesq": pesq,
    "stoi": stoi,
    "estoi": estoi,
}
# ======== intelligibility
"""STOI and extended STOI of one utterance, from one analysis of its signals.

The numbers are those of the package ``pystoi``, whose resampling, removal of
silent frames and third-octave bands are called here. Called twice, it would do
all of that twice, and it spends most of its time on transforming frames one by
one and on drawing random numbers: this takes less than half of the time.

Authors
 * The PolSESS recipe team 2026
"""

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from pystoi.utils import remove_silent_frames, resample_oct, thirdoct
from scipy.fft import rfft

SAMPLE_RATE = 10000  # Hz, of the analysis
FRAME = 256  # samples
TRANSFORM = 512  # samples
DYNAMIC_RANGE_DB = 40  # a frame of the reference further down is silent
SEGMENT = 30  # frames
CLIPPING = 1 + 10 ** (15 / 20)  # STOI: lower bound of -15 dB on the SDR
EPS = np.finfo(float).eps
SILENT = 1e-14  # norm; a band of a segment below it has no shape


def stoi(estimate, reference, sample_rate):
    """Short-time objective intelligibility.

    C. Taal et al., "An algorithm for intelligibility prediction of
    time-frequency weighted noisy speech", TASLP 2011. Where the reference is
    silent or has too little speech, ``pystoi`` returns a number without meaning:
    this raises ValueError.

    Arguments
    ---------
    estimate : np.ndarray
        [time].
    reference : np.ndarray
        [time].
    sample_rate : int
        In Hz.

    Returns
    -------
    float
        At most 1, higher is better.

    Example
    -------
    >>> signal = np.random.default_rng(0).standard_normal(8000)
    >>> round(stoi(2 * signal, signal, 8000), 6)
    1.0
    """
    estimate, reference = _analyse(estimate, reference, sample_rate)
    scale = _norm(reference) / (_norm(estimate) + EPS)
    limited = np.minimum(estimate * scale, CLIPPING * reference)
    limited, reference = _centred(limited), _centred(reference)
    limited = limited / (_norm(limited) + EPS)
    reference = reference / (_norm(reference) + EPS)
    segments, bands, _ = reference.shape
    return float((limited * reference).sum() / (segments * bands))


def estoi(estimate, reference, sample_rate):
    """Extended short-time objective intelligibility.

    J. Jensen, C. Taal, "An algorithm for predicting the intelligibility of
    speech masked by modulated noise maskers", TASLP 2016. ``pystoi`` fills
    bands that are silent during a segment with random numbers; here they
    contribute nothing. Raises as ``stoi``.

    Arguments
    ---------
    estimate : np.ndarray
        [time].
    reference : np.ndarray
        [time].
    sample_rate : int
        In Hz.

    Returns
    -------
    float
        At most 1, higher is better.

    Example
    -------
    >>> signal = np.random.default_rng(0).standard_normal(8000)
    >>> round(estoi(2 * signal, signal, 8000), 6)
    1.0
    """
    normalised = []
    for part in _analyse(estimate, reference, sample_rate):
        # Over time within a band, then over the bands of a frame.
        for axis in (2, 1):
            part = _centred(part, axis)
            norm = _norm(part, axis)
            part = np.divide(
                part, norm, out=np.zeros_like(part), where=norm > SILENT
            )
        normalised.append(part)
    product = normalised[0] * normalised[1]
    return float(product.sum() / (SEGMENT * len(product)))


def _norm(segments, axis=2):
    return np.sqrt(np.square(segments).sum(axis, keepdims=True))


def _centred(segments, axis=2):
    return segments - segments.mean(axis, keepdims=True)


def _analyse(estimate, reference, sample_rate):
    """Third-octave bands of both signals, [segment, band, frame]."""
    if not np.any(reference):
        raise ValueError("silent reference")
    # Bytes, since an array cannot be looked up.
    return _segments(
        np.asarray(estimate).tobytes(),
        np.asarray(reference).tobytes(),
        (np.asarray(estimate).dtype.str, np.asarray(reference).dtype.str),
        sample_rate,
    )


@lru_cache(maxsize=1)  # STOI and ESTOI of the same signals follow each other
def _segments(estimate, reference, types, sample_rate):
    signals = [
        np.frombuffer(content, type)
        for content, type in zip((estimate, reference), types)
    ]
    if sample_rate != SAMPLE_RATE:
        signals = [resample_oct(s, SAMPLE_RATE, sample_rate) for s in signals]
    estimate, reference = signals
    if len(reference) > FRAME:
        reference, estimate = remove_silent_frames(
            reference, estimate, DYNAMIC_RANGE_DB, FRAME, FRAME // 2
        )
    bands, _ = thirdoct(SAMPLE_RATE, TRANSFORM, 15, 150)
    window = np.hanning(FRAME + 2)[1:-1]
    parts = []
    for signal in (estimate, reference):
        frames = max(0, -(-(len(signal) - FRAME) // (FRAME // 2)))
        if frames < SEGMENT:
            raise ValueError(
                f"too little speech: {frames} frames of 12.8 ms without the "
                f"silent ones, {SEGMENT} are needed"
            )
        framed = sliding_window_view(signal, FRAME)[:: FRAME // 2][:frames]
        power = np.abs(rfft(window * framed, TRANSFORM)) ** 2
        levels = np.sqrt(bands @ power.T)
        parts.append(sliding_window_view(levels, SEGMENT, 1).swapaxes(0, 1))
    return tuple(parts)
