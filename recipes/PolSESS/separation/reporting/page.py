"""report.html: one page with the figures and the sound of a test.

The page needs no other file and no network.

Authors
 * The PolSESS recipe team 2026
"""

import os
from dataclasses import dataclass

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from summary import score_names

from reporting import media, plots
from reporting.strata import CAVEATS
from reporting.tables import write_texts

KEPT = {"S": "scene", "E": "event", "R": "reverberation", "C": "clean"}
# Name and unit of the known scores; another one shows its column's name.
SCORES = {
    "si_sdri": ("SI-SDRi", "dB"),
    "si_sdr": ("SI-SDR", "dB"),
    "sdr": ("SDR", "dB"),
    "pesq": ("PESQ", "MOS"),
    "stoi": ("STOI", ""),
    "estoi": ("ESTOI", ""),
}


@dataclass
class Example:
    """One mixture of the test, to be heard and seen.

    Arguments
    ---------
    mixture_id : str
        ID of the mixture.
    variant : str
        For instance SER.
    setting : str
        indoor, outdoor or dry.
    rule : str
        Why it was chosen: median or worst.
    scores : dict
        Name to score, for instance "si_sdri s1": 6.1; may be NaN.
    signals : dict
        Name to signal, [time], at the scale and in the order to be played.
    sample_rate : int
        In Hz.
    """

    mixture_id: str
    variant: str
    setting: str
    rule: str
    scores: dict
    signals: dict
    sample_rate: int


def write_page(path, summary, scores, strata, curve, **texts):
    """Writes the page, complete or not at all.

    Arguments
    ---------
    path : str or Path
        The HTML file.
    summary : pd.DataFrame
        The result of ``summary.summarise``.
    scores : pd.DataFrame
        test_scores.csv.
    strata : pd.DataFrame
        The result of ``strata.stratify``.
    curve : pd.DataFrame
        The result of ``runs.read_curve``.
    **texts : dict
        facts (name -> text, in the order to be shown; "System" and "Task" are
        in the title), yaml (text), notes (list of texts to be read first),
        examples (list of Example) and no_examples (the reason why there are
        none).
    """
    environment = Environment(
        loader=FileSystemLoader(os.path.dirname(os.path.abspath(__file__))),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, label=label, unit=unit)
    table = _rows_of(summary)
    groups = [
        (row["variant"], row["setting"])
        for row in table["rows"]
        if not row["is_mean"]
    ]
    tables = [
        (name, _rows_of(rows), plots.strata(rows))
        for name, rows in strata.groupby("stratum", sort=False)
    ]
    texts["examples"] = [media.prepare(e) for e in texts["examples"]]
    text = environment.get_template("page.html").render(
        **texts,
        table=table,
        distribution=plots.distribution(scores, groups),
        scatter=plots.improvement_against_input(scores),
        curves=plots.learning_curves(curve),
        strata=tables,
        max_strata=plots.MAX_STRATA,
        caveats=CAVEATS,
        kept=KEPT,
        legend=media.legend(),
        range_db=media.RANGE_DB,
    )
    folder, name = os.path.split(path)
    write_texts({name: text}, folder)


def _rows_of(frame):
    """A summary or stratum for the template: metrics, SI-SDRi first, and rows.

    Each row has its cells by score, those of the mixture among them.
    """
    names = score_names(frame)
    metrics = [name for name in names if not name.endswith("_mix")]
    metrics.sort(key=lambda name: name != "si_sdri")
    scales = {name: _scale(frame, name) for name in metrics}
    rows = []
    for row in frame.to_dict("records"):
        name = str(row.get("variant", row.get("value")))
        rows.append(
            {
                "name": name,
                "variant": row.get("variant"),
                "setting": row.get("setting", ""),
                "is_mean": "variant" in row and name.endswith(" mean"),
                "n": row["n"],
                "mixtures": row["mixtures"],
                "few": row.get("few", False),
                "cells": {n: _cell(row, n, scales.get(n)) for n in names},
            }
        )
    return {"metrics": metrics, "rows": rows}


def _cell(row, name, scale):
    """One score of one row; None for what is not known."""
    cell = {"places": {}}
    for key in ("failures", "mean", "median", "std", "ci_low", "ci_high"):
        value = row[f"{name}_{key}"]
        cell[key] = float(value) if np.isfinite(value) else None
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
    """Formats a score, with two or three digits and a real minus sign.

    Example
    -------
    >>> number(-1.234, "si_sdr"), number(0.8126, "stoi"), number(-0.001)
    ('−1.23', '0.813', '0.00')
    """
    digits = 3 if "stoi" in name else 2
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def unit(name):
    """Names the unit of a score; empty where it has none or is unknown."""
    return SCORES.get(name, ("", ""))[1]


def label(name):
    """Names a column of scores, which a source may follow, for readers.

    Example
    -------
    >>> label("si_sdri s1"), label("pesq_mix"), label("my_score")
    ('SI-SDRi s1', 'PESQ of the mixture', 'my score')
    """
    first, _, rest = name.partition(" ")
    score = first.removesuffix("_mix")
    known = SCORES.get(score, (score.replace("_", " "), ""))[0]
    of_mixture = " of the mixture" * first.endswith("_mix")
    return f"{known}{of_mixture} {rest}".strip()
