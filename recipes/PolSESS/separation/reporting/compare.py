"""Paired comparison of runs that were tested on the same mixtures.

Authors
 * The PolSESS recipe team 2026
"""

import warnings

import numpy as np
import pandas as pd
from scipy import stats
from summary import LABELS, groups_of, mean_interval, score_names

from reporting.runs import task_of

SAME_DB = 0.01  # by how much the input SI-SDR of the same signals may differ


def compare(runs):
    """Compares the scores of runs with those of the first run.

    Differences are paired: computed row by row, then averaged, with the 95 %
    interval of ``summary.mean_interval``. The test is Wilcoxon's signed-rank
    test on what each mixture contributes to the mean difference, not corrected
    for the number of rows of the table. Raises ValueError when the runs do not
    have the same test rows.

    Arguments
    ---------
    runs : dict
        Name -> scores as ``runs.read_scores`` returns them; two or more.

    Returns
    -------
    pd.DataFrame
        Columns run, variant, setting, score, n (rows in which both runs have
        the score), left_out (the others), mixtures, mean_first, mean,
        difference, ci_low, ci_high, p_value.
    """
    (first_name, first), *others = runs.items()
    table = []
    for name, scores in others:
        _check_same_rows(first_name, first, name, scores)
        columns = [
            column
            for column in score_names(first)
            if column in scores and not column.endswith("_mix")
        ]
        both = _side_by_side(first, scores, columns)
        groups = groups_of(both, first["variant"].unique(), task_of(first))
        for variant, setting, rows, strata in groups:
            labels = {"run": name, "variant": variant, "setting": setting}
            for line in _differences(rows, columns, strata):
                table.append({**labels, **line})
    return pd.DataFrame(table)


def _side_by_side(first, scores, columns):
    """Scores of two runs and their differences, NaN where one has none."""
    both = first[list(LABELS)].copy()
    for column in columns:
        difference = scores[column] - first[column]
        both[f"{column}_first"] = first[column].where(difference.notna())
        both[column] = scores[column].where(difference.notna())
        # Without what the subtraction of decimal fractions adds
        both[f"{column}_difference"] = difference.round(9)
    return both


def _differences(rows, columns, strata):
    """The lines of the comparison for some rows, one for each score."""
    for column in columns:
        used = rows[rows[column].notna()]
        shares = used[f"{column}_difference"]
        if strata is not None:
            variant = strata[used.index]
            shares = shares / shares.groupby(variant).transform("size")
        by_mixture = shares.groupby(used["ID"]).sum()
        difference, low, high = mean_interval(
            rows, f"{column}_difference", strata
        )
        yield {
            "score": column,
            "n": len(used),
            "left_out": len(rows) - len(used),
            "mixtures": len(by_mixture),
            "mean_first": mean_interval(rows, f"{column}_first", strata)[0],
            "mean": mean_interval(rows, column, strata)[0],
            "difference": difference,
            "ci_low": low,
            "ci_high": high,
            "p_value": _p_value(by_mixture),
        }


def _p_value(contributions):
    """Wilcoxon's signed-rank test; NaN with fewer than two mixtures."""
    if len(contributions) < 2:
        return np.nan
    if not contributions.any():
        return 1.0
    with warnings.catch_warnings():
        # It warns where it takes the normal approximation because of ties.
        warnings.simplefilter("ignore")
        return float(stats.wilcoxon(contributions).pvalue)


def _check_same_rows(first_name, first, name, scores):
    """Raises ValueError unless two runs have the same test rows."""
    tasks = task_of(first), task_of(scores)
    if tasks[0] != tasks[1]:
        raise ValueError(
            f"the runs are of different tasks: {first_name} of {tasks[0]}, "
            f"{name} of {tasks[1]}"
        )
    _check_labels(first_name, first, name, scores)
    _check_labels(name, scores, first_name, first)
    apart = (first["si_sdr_mix"] - scores["si_sdr_mix"]).abs() > SAME_DB
    if apart.any():
        at = apart.idxmax()
        raise ValueError(
            f"the runs were not tested on the same signals: for {apart.sum()} "
            f"of {len(first)} rows the mixture's own SI-SDR differs, for "
            f"instance {first.loc[at, 'ID']} in {first.loc[at, 'variant']}: "
            f"{first.loc[at, 'si_sdr_mix']:.2f} dB in {first_name}, "
            f"{scores.loc[at, 'si_sdr_mix']:.2f} dB in {name}"
        )


def _check_labels(here, mine, there, its):
    """Raises ValueError if a run has rows that the other one lacks."""
    labels = list(LABELS)
    rows = pd.MultiIndex.from_frame(mine[labels])
    missing = rows.difference(pd.MultiIndex.from_frame(its[labels]))
    if not len(missing):
        return
    parts = [
        f"all rows of the {label} {value}"
        for label in ("setting", "variant", "source")
        for value in sorted(set(mine[label]) - set(its[label]))
    ]
    row = ", ".join(map(str, missing[0]))
    parts.append(f"for instance {row} ({', '.join(labels)})")
    raise ValueError(
        f"the runs were not tested on the same rows: {len(missing)} of "
        f"{len(mine)} rows of {here} are not in {there}, {', '.join(parts)}; "
        "test both with the same corpus, task, test_variants and n_test"
    )


def readable(table):
    """Formats the comparison for readers.

    Arguments
    ---------
    table : pd.DataFrame
        The result of ``compare``.

    Returns
    -------
    pd.DataFrame
        For each run and variant the number of rows, and for each score the
        difference, its interval and p, and how many of the rows are left out.
    """
    lines = {}
    for row in table.to_dict("records"):
        key = (row["run"], row["variant"], row["setting"])
        line = lines.setdefault(key, {"n": str(row["n"] + row["left_out"])})
        line[row["score"].replace("_", " ")] = _cell(row)
    return pd.DataFrame(
        {"run": run, "variant": variant, "setting": setting, **line}
        for (run, variant, setting), line in lines.items()
    )


def _cell(row):
    digits = 3 if "stoi" in row["score"] else 2
    difference, low, high = (
        f"{row[key]:+.{digits}f}" for key in ("difference", "ci_low", "ci_high")
    )
    text = difference if np.isfinite(row["difference"]) else "-"
    if np.isfinite(row["ci_low"]):
        text += f" [{low}, {high}]"
    if np.isfinite(row["p_value"]):
        text += f" p={row['p_value']:.2g}"
    return text + f" ({row['left_out']} left out)" * (row["left_out"] > 0)
