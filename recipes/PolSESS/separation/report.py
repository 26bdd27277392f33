"""Tables of a test: a row per variant and the means, with confidence intervals.

Authors
 * The PolSESS recipe team 2026
"""

import os

import numpy as np
import pandas as pd
from mmipc import VARIANTS, counts_in_means
from scipy import stats

LABELS = ("ID", "variant", "setting", "source")


def mean_interval(rows, column, strata, confidence=0.95):
    """Mean over strata of the means within them, with a confidence interval.

    The variants and the sources of one mixture are not independent, so the
    variance is computed from what each mixture contributes to the mean as a
    whole (the linearised cluster estimator of survey statistics). Where there
    are several strata, indoor and outdoor mixtures are separate samples.

    Arguments
    ---------
    rows : pd.DataFrame
        Rows of test_scores.csv, with ``ID`` and ``setting``.
    column : str
        The score.
    strata : pd.Series
        Label of each row's stratum; one label for all gives the plain mean.
    confidence : float
        Level of the interval.

    Returns
    -------
    mean : float
        NaN without a row.
    half_width : float
        The interval is mean +- half_width; NaN with fewer than two mixtures
        of a sample.

    Example
    -------
    >>> rows = pd.DataFrame(
    ...     {"ID": list("abcd"), "setting": "indoor", "x": [1.0, 2, 3, 6]}
    ... )
    >>> one = pd.Series("all", index=rows.index)
    >>> [round(value, 3) for value in mean_interval(rows, "x", one)]
    [3.0, 3.437]
    """
    rows = rows[["ID", "setting", column]].assign(stratum=strata).dropna()
    if rows.empty:
        return np.nan, np.nan
    group = rows.groupby("stratum")[column]
    mean = float(group.mean().mean())
    deviation = rows[column] - group.transform("mean")
    share = deviation / group.transform("size") / group.ngroups
    sample = rows["setting"] if group.ngroups > 1 else rows["stratum"]
    by_mixture = share.groupby([sample, rows["ID"]]).sum()
    mixtures = by_mixture.groupby(level=0).size()
    if mixtures.min() < 2:
        return mean, np.nan
    squares = (by_mixture**2).groupby(level=0).sum()
    error = np.sqrt((squares * mixtures / (mixtures - 1)).sum())
    quantile = stats.t.ppf((1 + confidence) / 2, mixtures.sum() - len(mixtures))
    return mean, float(quantile * error)


def strata_of(scores):
    """The stratum of each row: its variant, C for indoor and outdoor apart.

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
    >>> list(strata_of(scores))
    ['S', 'C outdoor']
    """
    return scores["variant"].where(
        scores["variant"] != "C", "C " + scores["setting"]
    )


def _row(name, setting, rows, strata, columns):
    row = {"variant": name, "setting": setting, "n": len(rows)}
    row["mixtures"] = rows["ID"].nunique()
    for column in columns:
        mean, half_width = mean_interval(rows, column, strata)
        row[f"{column}_failures"] = int(rows[column].isna().sum())
        row[f"{column}_mean"] = mean
        row[f"{column}_ci_low"] = mean - half_width
        row[f"{column}_ci_high"] = mean + half_width
    return row


def summarise(scores, variants, task):
    """One row per variant and the means.

    ``macro mean`` is the mean over the variants, each with the same weight;
    ``micro mean`` the mean over all rows; see ``counts_in_means``.

    Arguments
    ---------
    scores : pd.DataFrame
        test_scores.csv.
    variants : list of str
        The variants that were to be tested; one without a mixture has n = 0.
    task : str
        ES, EB or SB.

    Returns
    -------
    pd.DataFrame
        Columns variant, setting, n (rows), mixtures, and for every score its
        failures, mean and 95 % confidence interval.
    """
    columns = [c for c in scores.columns if c not in LABELS]
    strata = strata_of(scores)
    table = []
    for variant in [v for v in VARIANTS if v in variants]:
        rows = scores[scores["variant"] == variant]
        settings = sorted(rows["setting"].unique()) if len(rows) else [""]
        for setting in settings:
            part = rows[rows["setting"] == setting]
            table.append(
                _row(variant, setting, part, strata[part.index], columns)
            )
    counts = scores["variant"].map(lambda v: counts_in_means(v, task))
    part = scores[counts]
    one = pd.Series("all", index=part.index)
    table.append(_row("macro mean", "", part, strata[part.index], columns))
    table.append(_row("micro mean", "", part, one, columns))
    return pd.DataFrame(table)


def to_markdown(summary):
    """The summary as a Markdown table: mean and half-width of the interval.

    Arguments
    ---------
    summary : pd.DataFrame
        What ``summarise`` returns.

    Returns
    -------
    str
        A table; a score that failed for k of n rows is marked (k failed).
    """
    names = [c[: -len("_mean")] for c in summary if c.endswith("_mean")]
    head = ["variant", "setting", "n"] + [
        name.replace("_", " ") for name in names
    ]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for _, row in summary.iterrows():
        cells = [row["variant"], row["setting"], str(row["n"])]
        for name in names:
            digits = 3 if name.startswith("stoi") else 2
            cell = "-"
            if np.isfinite(row[f"{name}_mean"]):
                half_width = row[f"{name}_ci_high"] - row[f"{name}_mean"]
                cell = f"{row[f'{name}_mean']:.{digits}f}"
                if np.isfinite(half_width):
                    cell += f" ± {half_width:.{digits}f}"
            if row[f"{name}_failures"]:
                cell += f" ({row[f'{name}_failures']} failed)"
            cells.append(cell)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def write_report(scores, variants, task, output_folder):
    """Writes test_scores.csv, test_summary.csv and test_summary.md.

    Arguments
    ---------
    scores : pd.DataFrame
        One row per (mixture, variant, source).
    variants : list of str
        The variants that were to be tested.
    task : str
        ES, EB or SB.
    output_folder : str
        Where to write.

    Returns
    -------
    pd.DataFrame
        The summary.
    """
    summary = summarise(scores, variants, task)
    # The Markdown table comes last: where it stands, the test is complete.
    for name, text in (
        ("test_scores.csv", _to_csv(scores)),
        ("test_summary.csv", _to_csv(summary)),
        ("test_summary.md", to_markdown(summary)),
    ):
        path = os.path.join(output_folder, name)
        with open(f"{path}.partial", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(f"{path}.partial", path)
    return summary


def _to_csv(table):
    return table.to_csv(index=False, float_format="%.6f", lineterminator="\n")
