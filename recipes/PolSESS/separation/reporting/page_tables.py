"""Rows and cells of the tables of report.html.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np
import pandas as pd

# Name and unit of the known scores; another one shows its column's name.
SCORES = {
    "si_sdri": ("SI-SDRi", "dB"),
    "si_sdr": ("SI-SDR", "dB"),
    "sdr": ("SDR", "dB"),
    "pesq": ("PESQ", "MOS"),
    "stoi": ("STOI", ""),
    "estoi": ("ESTOI", ""),
}


def rows_of(frame):
    """Rows of the summary, or of one stratum, as the template takes them.

    Arguments
    ---------
    frame : pd.DataFrame
        Named by ``variant`` and ``setting`` or by ``value``; with n, mixtures,
        and of each score its mean and what else is known.

    Returns
    -------
    dict
        metrics (scores without those of the mixture, SI-SDRi first) and rows,
        each with its cells by score, those of the mixture among them.
    """
    names = [name[: -len("_mean")] for name in frame if name.endswith("_mean")]
    metrics = [name for name in names if not name.endswith("_mix")]
    metrics.sort(key=lambda name: name != "si_sdri")
    scales = {name: _scale(frame, name) for name in metrics}
    rows = []
    for row in frame.to_dict("records"):
        name = str(row.get("variant", row.get("value")))
        setting = row.get("setting")
        cells = {n: _cell(row, n, scales.get(n)) for n in names}
        rows.append(
            {
                "name": name,
                "variant": row.get("variant"),
                "setting": "" if pd.isna(setting) else str(setting),
                "is_mean": "variant" in row and name.endswith(" mean"),
                "n": int(row["n"]),
                "mixtures": int(row["mixtures"]),
                "few": bool(row.get("few", False)),
                "cells": cells,
            }
        )
    return {"metrics": metrics, "rows": rows}


def _cell(row, name, scale):
    """One score of one row; None for what is not known."""
    cell = {}
    for key in ("failures", "mean", "median", "std", "ci_low", "ci_high"):
        value = row.get(f"{name}_{key}", np.nan)
        cell[key] = float(value) if np.isfinite(value) else None
    cell["places"] = {}
    if scale is not None:
        low, high = scale
        known = {key: cell[key] for key in ("mean", "ci_low", "ci_high")}
        known["start"] = row.get(f"{name}_mix_mean", 0.0)
        cell["places"] = {
            key: round(4 + 88 * (value - low) / (high - low), 1)
            for key, value in known.items()
            if value is not None and np.isfinite(value)
        }
    return cell


def _scale(frame, name):
    """Range of a score over the rows, for the small scale in each cell."""
    keys = ("mean", "ci_low", "ci_high", "mix_mean")
    columns = [f"{name}_{key}" for key in keys if f"{name}_{key}" in frame]
    values = frame[columns].to_numpy(dtype=float)
    values = values[np.isfinite(values)]
    if f"{name}_mix_mean" not in frame:
        values = np.append(values, 0.0)  # an improvement starts at 0
    if not len(values):
        return None
    return values.min(), max(values.max(), values.min() + 1e-6)


def number(value, name=""):
    """A score with the digits that it deserves, and a real minus sign.

    Arguments
    ---------
    value : float
        The score.
    name : str
        Its name.

    Returns
    -------
    str
        For readers.

    Example
    -------
    >>> number(-1.234, "si_sdr"), number(0.8126, "stoi"), number(-0.001)
    ('−1.23', '0.813', '0.00')
    """
    digits = 3 if "stoi" in name else 2
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def unit(name):
    """The unit of a score, empty where it has none or is not known."""
    return SCORES.get(name, ("", ""))[1]


def label(name):
    """A score's name for readers.

    Arguments
    ---------
    name : str
        Its column; a source may follow after a space.

    Returns
    -------
    str
        For readers.

    Example
    -------
    >>> label("si_sdri s1"), label("pesq_mix"), label("my_score")
    ('SI-SDRi s1', 'PESQ of the mixture', 'my score')
    """
    first, _, rest = name.partition(" ")
    known = SCORES.get(first.replace("_mix", ""))
    label = known[0] if known else first.replace("_mix", "").replace("_", " ")
    return f"{label}{' of the mixture' * first.endswith('_mix')} {rest}".strip()
