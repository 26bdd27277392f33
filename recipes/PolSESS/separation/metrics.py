"""Metrics of one utterance.

A metric is a pure function (estimate, reference, sample_rate) -> float. It
raises where it has no answer; ``score_utterance`` turns that into an empty cell
and reports it, so that a failure is neither lost nor averaged away.

Authors
 * The PolSESS recipe team 2026
"""

import warnings

import numpy as np
from pesq import pesq as itu_pesq
from pystoi import stoi as pystoi_stoi


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
    estimate = np.asarray(estimate, dtype=np.float64)
    reference = np.asarray(reference, dtype=np.float64)
    estimate = estimate - estimate.mean()
    reference = reference - reference.mean()
    energy = reference @ reference
    if energy == 0:
        raise ValueError("silent reference")
    target = (estimate @ reference) / energy * reference
    error = estimate - target
    ratios = (target @ target, error @ error)
    if min(ratios) == 0:
        raise ValueError("silent estimate, or estimate equal to the reference")
    return float(10 * np.log10(ratios[0] / ratios[1]))


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


def stoi(estimate, reference, sample_rate):
    """Short-time objective intelligibility.

    C. Taal et al., "An algorithm for intelligibility prediction of
    time-frequency weighted noisy speech", TASLP 2011. Where the reference is
    silent or has too little speech, ``pystoi`` returns a number without meaning:
    raises ValueError or RuntimeWarning.

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
    """
    if not np.any(reference):
        raise ValueError("silent reference")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        return float(pystoi_stoi(reference, estimate, sample_rate))


METRICS = {"si_sdr": si_sdr, "pesq": pesq, "stoi": stoi}
SAMPLE_RATES = {"pesq": (8000, 16000)}  # Hz; a metric not named takes any


def score_columns(metrics):
    """The columns of test_scores.csv that hold scores.

    Arguments
    ---------
    metrics : list of str
        Names out of METRICS; si_sdr comes first whether named or not.

    Returns
    -------
    list of str
        Each metric with the mixture's value, SI-SDR with its improvement.

    Example
    -------
    >>> score_columns(["stoi"])
    ['si_sdr', 'si_sdr_mix', 'si_sdri', 'stoi', 'stoi_mix']
    """
    columns = ["si_sdr", "si_sdr_mix", "si_sdri"]
    for name in metrics:
        if name != "si_sdr":
            columns += [name, f"{name}_mix"]
    return columns


def score_utterance(estimate, reference, mixture, sample_rate, metrics):
    """All metrics of the sources of one mixture.

    Arguments
    ---------
    estimate : np.ndarray
        In the order of the references, [time, source].
    reference : np.ndarray
        [time, source].
    mixture : np.ndarray
        [time].
    sample_rate : int
        In Hz.
    metrics : list of str
        Names out of METRICS.

    Returns
    -------
    rows : list of dict
        For each source, the columns of ``score_columns``; NaN where a metric
        failed.
    failures : list of str
        What failed, and why.

    Example
    -------
    >>> reference = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    >>> error = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    >>> rows, failures = score_utterance(
    ...     reference + 0.5 * error,
    ...     reference,
    ...     (reference + error)[:, 0],
    ...     8000,
    ...     [],
    ... )
    >>> {column: round(score, 2) for column, score in rows[0].items()}
    {'si_sdr': 6.02, 'si_sdr_mix': 0.0, 'si_sdri': 6.02}
    >>> score_utterance(error, 0 * error, error[:, 0], 8000, [])[1][0]
    "source 1, si_sdr: ValueError('silent reference')"
    """
    rows, failures = [], []
    for source in range(reference.shape[1]):
        row = {}
        for name in dict.fromkeys(["si_sdr", *metrics]):
            for column, signal in (
                (name, estimate[:, source]),
                (f"{name}_mix", mixture),
            ):
                try:
                    score = METRICS[name](
                        signal, reference[:, source], sample_rate
                    )
                    if not np.isfinite(score):
                        raise ValueError(f"the score is {score}")
                except Exception as error:
                    # The packages raise exceptions of many kinds.
                    score = np.nan
                    failures.append(f"source {source + 1}, {column}: {error!r}")
                row[column] = score
        row["si_sdri"] = row["si_sdr"] - row["si_sdr_mix"]
        rows.append({column: row[column] for column in score_columns(metrics)})
    return rows, failures
