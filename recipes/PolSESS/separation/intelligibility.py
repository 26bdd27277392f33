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
