"""Tables of a test: a row per variant and the means, with intervals.

Authors
 * The PolSESS recipe team 2026
"""

import re

import numpy as np
import pandas as pd
from intervals import mean_intervals
from mmipc import VARIANTS, counts_in_means
from scorer import LABELS

PARTS = ("failures", "mean", "median", "std", "ci_low", "ci_high")
FEW = 10  # rows; a stratum with fewer is marked


def score_names(table):
    """The scores of which a table consists.

    Arguments
    ---------
    table : pd.DataFrame
        test_scores.csv, test_summary.csv or test_strata.csv.

    Returns
    -------
    list of str
        For instance si_sdr, si_sdr_mix, si_sdri, pesq, pesq_mix.

    Example
    -------
    >>> score_names(pd.DataFrame(columns=["n", "pesq_mean", "pesq_std"]))
    ['pesq']
    """
    if "n" in table:
        return [c[: -len("_mean")] for c in table if c.endswith("_mean")]
    return [c for c in table if c not in LABELS]


def describe(rows, columns, strata=None):
    """Number, failures, mean, median, deviation and interval of the scores.

    Arguments
    ---------
    rows : pd.DataFrame
        Of test_scores.csv.
    columns : list of str
        The scores.
    strata : pd.Series
        Each row's variant: mean, median and standard deviation are then the
        means over the variants (macro mean). None: those of all rows.

    Returns
    -------
    dict
        n (rows), mixtures, and of each score ``_`` and the PARTS; NaN if unknown.

    Example
    -------
    >>> rows = pd.DataFrame({"ID": ["a", "b"], "setting": "indoor"})
    >>> found = describe(rows.assign(x=[1.0, np.nan]), ["x"])
    >>> [float(found[key]) for key in ("n", "x_failures", "x_mean", "x_std")]
    [2.0, 1.0, 1.0, nan]
    """
    one = pd.Series("", rows.index) if strata is None else strata
    groups = rows[columns].groupby(one)
    found = mean_intervals(rows, columns, strata).assign(
        failures=rows[columns].isna().sum(),
        median=groups.median().mean(),
        std=groups.std().mean(),
    )
    row = {"n": len(rows), "mixtures": rows["ID"].nunique()}
    for column in columns:
        for part in PARTS:
            row[f"{column}_{part}"] = found.loc[column, part]
    return row


def variant_strata(scores):
    """The stratum of each row in a macro mean: C indoor and outdoor apart.

    Arguments
    ---------
    scores : pd.DataFrame
        With ``variant`` and ``setting``.

    Returns
    -------
    pd.Series
        For instance SER, SE, C indoor.

    Example
    -------
    >>> scores = pd.DataFrame(
    ...     {"variant": ["S", "C"], "setting": ["outdoor", "outdoor"]}
    ... )
    >>> list(variant_strata(scores))
    ['S', 'C outdoor']
    """
    return scores["variant"].where(
        scores["variant"] != "C", "C " + scores["setting"]
    )


def groups_of(scores, variants, task):
    """The groups of rows that a table reports, in its order.

    ``macro mean`` is the mean over variants, ``micro mean`` that over rows,
    both of the variants that ``counts_in_means``.

    Arguments
    ---------
    scores : pd.DataFrame
        test_scores.csv.
    variants : list of str
        Those that were to be tested.
    task : str
        ES, EB or SB.

    Yields
    ------
    name : str
        The variant, or what the mean is.
    setting : str
        indoor, outdoor, dry, or empty for all.
    rows : pd.DataFrame
        Empty for a variant without a mixture.
    strata : pd.Series
        For a macro mean the variants of the rows.
    """
    for variant in [v for v in VARIANTS if v in variants]:
        rows = scores[scores["variant"] == variant]
        for setting in sorted(rows["setting"].unique()) or [""]:
            yield variant, setting, rows[rows["setting"] == setting], None
    counted = scores.loc[[counts_in_means(v, task) for v in scores["variant"]]]
    settings = sorted(counted["setting"].unique())
    for setting in [*settings, ""]:
        rows = counted[counted["setting"] == setting] if setting else counted
        name = f"{setting} ".lstrip()
        yield f"{name}macro mean", setting, rows, variant_strata(rows)
        yield f"{name}micro mean", setting, rows, None


def summarise(scores, variants, task):
    """One row per variant and the means, indoor, outdoor and overall.

    Arguments
    ---------
    scores : pd.DataFrame
        test_scores.csv.
    variants : list of str
        Those to be tested; one without a mixture has n = 0.
    task : str
        ES, EB or SB.

    Returns
    -------
    pd.DataFrame
        Columns variant, setting and those of ``describe``.
    """
    columns = score_names(scores)
    return pd.DataFrame(
        {"variant": name, "setting": setting, **describe(rows, columns, strata)}
        for name, setting, rows, strata in groups_of(scores, variants, task)
    )


def cells(table, style):
    """The scores of a summary as text, to be read.

    Arguments
    ---------
    table : pd.DataFrame
        What ``summarise`` or ``strata.stratify`` returns.
    style : str
        "mean": with its interval (the mixture's without) and how many failed;
        "median": with the standard deviation.

    Returns
    -------
    pd.DataFrame
        The label columns, n, and a column for each score.

    Example
    -------
    >>> table = pd.DataFrame({"variant": ["S"], "n": [3], "pesq_failures": [1]})
    >>> table[["pesq_mean", "pesq_ci_low", "pesq_ci_high"]] = 1.5, 1, 2
    >>> cells(table, "mean").loc[0].tolist()
    ['S', '3', '1.50 [1.00, 2.00] (1 failed)']
    """
    labels = list(table.columns[: table.columns.get_loc("n")])
    text = table[labels].astype(str)
    text["n"] = table["n"].map(lambda n: str(n or "0 (no mixtures)"))
    if "few" in table:
        text["mixtures"] = table["mixtures"].astype(str)
        text.loc[table["few"], "n"] += " (few)"
    for name in score_names(table):
        text[name.replace("_", " ")] = [
            _cell(row, name, style) for row in table.to_dict("records")
        ]
    return text


def _cell(row, name, style):
    digits = 3 if "stoi" in name else 2

    def number(key):
        """A part of the score; adding 0 makes 0.00 of -0.00."""
        return f"{round(row[f'{name}_{key}'], digits) + 0.0:.{digits}f}"

    def known(key):
        """Whether that part is a number."""
        return np.isfinite(row[f"{name}_{key}"])

    text = number(style) if known(style) else "-"
    if style == "median" and known("std"):
        text += f" ({number('std')})"
    if style == "mean" and known("ci_low") and not name.endswith("_mix"):
        text += f" [{number('ci_low')}, {number('ci_high')}]"
    failures = row[f"{name}_failures"]
    return f"{text} ({failures} failed)" if failures else text


def to_markdown(text):
    """A Markdown table.

    Arguments
    ---------
    text : pd.DataFrame
        Of texts, as ``cells`` returns.

    Returns
    -------
    str
        Escaped where a character means something in Markdown.

    Example
    -------
    >>> print(to_markdown(pd.DataFrame({"n": ["3"]})), end="")
    | n |
    | --- |
    | 3 |
    """
    lines = [list(text), ["---"] * text.shape[1], *text.to_numpy().tolist()]
    lines = [[" ".join(cell.split()) for cell in line] for line in lines]
    lines = [
        [re.sub(r"[\\|<*`]", r"\\\g<0>", c) for c in line] for line in lines
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
