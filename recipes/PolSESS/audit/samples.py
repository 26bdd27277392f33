"""Checks the samples of PolSESS mixtures: levels, sums of components.

A defect is a tuple (index of the row, check, file, expected, found); findings.py
explains the checks.

Authors
 * The PolSESS recipe team 2026
"""

import os
import zlib

import numpy as np

from audit.metadata import FILES
from audit.threads import in_threads
from speechbrain.dataio import audio_io

SAMPLED_ROWS_PER_SPLIT = 200

# Rounding of the mixture and of its components, seven, four, or at most three,
# in steps of 16 bit (measured on published corpora). More: one was limited.
LSB = 2.0**-15
ROUNDING_LSB = {"indoor": 3, "outdoor": 2, "dry": 2}

# A mixture that differs by more, relative to its level, is not the sum of its
# components: subtracting one of them would add it with the opposite sign.
MAX_RESIDUE_DB = -40

FULL_SCALE = 1 - LSB
SILENCE = LSB  # peak
NEAR_SILENT_SPEECH_DB = -50  # RMS against full scale


def check_samples(rows, base, level, n_jobs=None):
    """Reads the samples of rows and compares mixtures with their sums.

    Arguments
    ---------
    rows : pandas.DataFrame
        Rows without defects.
    base : Path
        The folder that ``$data_root`` stands for.
    level : str
        "full" for all rows, "quick" for 200 per split.
    n_jobs : int, optional
        Number of threads.

    Returns
    -------
    defects : list of tuple
        See above.
    """
    if level == "quick":
        # A draw that depends on nothing but the IDs, not on their order.
        draw = rows["ID"].map(lambda name: zlib.crc32(name.encode()))
        split = rows["split"].loc[draw.sort_values(kind="stable").index]
        rows = rows.loc[split.groupby(split).head(SAMPLED_ROWS_PER_SPLIT).index]
    tasks = [
        (base, row.setting, {c: getattr(row, c) for c in FILES})
        for row in rows.itertuples()
    ]
    results = in_threads(inspect_samples, tasks, n_jobs, "Reading samples", 8)
    return [
        (index, *defect)
        for index, defects in zip(rows.index, results)
        for defect in defects
    ]


def inspect_samples(task):
    """Reads the samples of one row.

    Arguments
    ---------
    task : tuple
        Data root, setting (indoor or outdoor) and the paths by column.

    Returns
    -------
    defects : list of tuple of str
        Check, file, expected, found.
    """
    base, setting, files = task
    defects, signals = [], {}
    for column, file in files.items():
        if not file:
            continue
        try:
            signal, _ = audio_io.load(os.path.join(base, file))
        except RuntimeError as error:
            defects.append(("unreadable file", file, "a WAV file", str(error)))
            continue
        samples = signal.squeeze(0).numpy().astype(np.float64)
        n_bad = np.count_nonzero(~np.isfinite(samples))
        if n_bad:
            check = "NaN or infinite samples"
            defects.append((check, file, "finite samples", f"{n_bad} samples"))
            continue
        defects += _check_level(column, file, samples)
        signals[column] = samples
    if len(signals) == sum(map(bool, files.values())):
        mixture = signals.pop("mix_wav")
        residue = mixture - sum(signals.values())
        defects += _check_residue(setting, files["mix_wav"], mixture, residue)
    return defects


def _check_level(column, file, samples):
    """Warnings about one file: clipped, silent, near-silent speech."""
    peak = np.abs(samples).max()
    rms_db = 10 * np.log10(np.mean(samples**2) + 1e-20)
    if peak >= FULL_SCALE:
        n_clipped = np.count_nonzero(np.abs(samples) >= FULL_SCALE)
        yield "clipped", file, "below full scale", f"{n_clipped} samples"
    if peak <= SILENCE:
        yield "silent", file, "a signal", f"peak {peak / LSB:.0f} LSB"
    elif column in ("s1_wav", "s2_wav") and rms_db < NEAR_SILENT_SPEECH_DB:
        expected = f"at least {NEAR_SILENT_SPEECH_DB} dB"
        yield "near-silent speech", file, expected, f"{rms_db:.1f} dB"


def _check_residue(setting, file, mixture, residue):
    """Compares a mixture with the sum of its components."""
    peak_lsb = np.abs(residue).max() / LSB
    limit = ROUNDING_LSB[setting]
    if peak_lsb <= limit + 0.01:
        return []
    with np.errstate(divide="ignore"):
        residue_db = 10 * np.log10(np.sum(residue**2) / np.sum(mixture**2))
    if residue_db > MAX_RESIDUE_DB:
        expected = f"residue below {MAX_RESIDUE_DB} dB"
        found = f"{residue_db:.1f} dB"
        return [("mixture is not the sum", file, expected, found)]
    found = f"{peak_lsb:.0f} LSB, {residue_db:.1f} dB"
    return [("beyond rounding", file, f"at most {limit} LSB", found)]
