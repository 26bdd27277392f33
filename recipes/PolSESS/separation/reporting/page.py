"""report.html: one page with the figures and the sound of a test.

The page needs no other file and no network.

Authors
 * The PolSESS recipe team 2026
"""

import os
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
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
    """

    mixture_id: str
    variant: str
    setting: str
    rule: str
    scores: dict
    signals: dict


@dataclass
class PageContent:
    """The content of the page.

    Arguments
    ---------
    facts : dict
        Name to text, in the order to be shown; the title takes "System" and
        "Task".
    yaml : str
        The resolved YAML.
    summary : pd.DataFrame
        The result of ``summary.summarise``.
    scores : pd.DataFrame
        test_scores.csv.
    sample_rate : int
        Sample rate of the examples, in Hz.
    strata : pd.DataFrame
        The result of ``strata.stratify``.
    curve : pd.DataFrame
        The result of ``runs.read_curve``.
    examples : list of Example
        In the order to be shown.
    no_examples : str
        The reason why there are none.
    notes : list of str
        What the reader has to know first, for instance failed metrics.
    """

    facts: dict
    yaml: str
    summary: pd.DataFrame
    scores: pd.DataFrame
    sample_rate: int
    strata: pd.DataFrame = field(default_factory=pd.DataFrame)
    curve: pd.DataFrame = field(default_factory=pd.DataFrame)
    examples: list = field(default_factory=list)
    no_examples: str = ""
    notes: list = field(default_factory=list)


def write_page(path, report):
    """Writes the page, complete or not at all.

    Arguments
    ---------
    path : str or Path
        The HTML file.
    report : PageContent
        Its content.
    """
    environment = Environment(
        loader=FileSystemLoader(os.path.dirname(os.path.abspath(__file__))),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, label=label, unit=unit)
    table = rows_of(report.summary)
    groups = [
        (row["variant"], row["setting"])
        for row in table["rows"]
        if not row["is_mean"]
    ]
    strata = []
    if len(report.strata):
        for name, rows in report.strata.groupby("stratum", sort=False):
            strata.append((name, rows_of(rows), plots.strata(rows)))
    text = environment.get_template("page.html").render(
        report=report,
        table=table,
        distribution=plots.distribution(report.scores, groups),
        scatter=plots.improvement_against_input(report.scores),
        curves=plots.learning_curves(report.curve),
        strata=strata,
        max_strata=plots.MAX_STRATA,
        caveats=CAVEATS,
        kept=KEPT,
        examples=[
            media.prepare(example, report.sample_rate)
            for example in report.examples
        ],
        legend=media.legend(),
        range_db=media.RANGE_DB,
    )
    folder, name = os.path.split(path)
    write_texts({name: text}, folder)


def rows_of(frame):
    """Arranges the summary, or one stratum, as the template takes it.

    Arguments
    ---------
    frame : pd.DataFrame
        Rows named by ``variant`` and ``setting`` or by ``value``, with n,
        mixtures and the columns of ``summary.describe``.

    Returns
    -------
    dict
        metrics (scores without those of the mixture, SI-SDRi first) and rows,
        each with its cells by score, those of the mixture among them.
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
    """Names the unit of a score; empty where it has none or is unknown."""
    return SCORES.get(name, ("", ""))[1]


def label(name):
    """Names a score for readers.

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
    score = first.removesuffix("_mix")
    known = SCORES.get(score, (score.replace("_", " "), ""))[0]
    of_mixture = " of the mixture" * first.endswith("_mix")
    return f"{known}{of_mixture} {rest}".strip()
