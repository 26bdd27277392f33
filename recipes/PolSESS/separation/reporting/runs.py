"""Reads what a run left behind: its scores, its training log.

Authors
 * The PolSESS recipe team 2026
"""

import os

import pandas as pd
from variants import SETTINGS, TASKS, VARIANTS, source_names
from summary import LABELS, score_names

FIRST_COLUMNS = [*LABELS, "si_sdr", "si_sdr_mix", "si_sdri"]


def read_scores(run):
    """The scores of a run, checked.

    Raises ValueError where there are none, or where the file is not what this
    version writes.

    Arguments
    ---------
    run : str
        Output folder of a training.

    Returns
    -------
    pd.DataFrame
        test_scores.csv, sorted by its labels.
    """
    path = os.path.join(run, "test_scores.csv")
    if not os.path.isfile(path):
        raise ValueError(
            f"{path} is missing; test the run first (train.py ... --test_only)"
        )
    try:
        # An ID may well be NA, or 007.
        scores = pd.read_csv(
            path, dtype={"ID": str}, keep_default_na=False, na_values=[""]
        )
        problem = _problem(scores)
    except ValueError as error:  # of pandas: no CSV, or no text at all
        problem = str(error)
    if problem:
        raise ValueError(
            f"{path}: {problem}; it is empty, damaged or from another version: "
            "test the run again (train.py ... --test_only)"
        )
    return scores.sort_values(list(LABELS), ignore_index=True)


def _problem(scores):
    """What is wrong with scores; empty if nothing is."""
    found = list(scores)
    if found[: len(FIRST_COLUMNS)] != FIRST_COLUMNS:
        return (
            f"expected the columns {', '.join(FIRST_COLUMNS)} first, found "
            f"{', '.join(found) or 'none'}"
        )
    if scores.empty:
        return "expected a row for each mixture, found none"
    for name in score_names(scores):
        pair = name.removesuffix("_mix") if name.endswith("_mix") else name
        if name != "si_sdri" and not {pair, f"{pair}_mix"} <= set(found):
            return f"expected {pair} and {pair}_mix, found only one of them"
        if not pd.api.types.is_numeric_dtype(scores[name]):
            return f"expected numbers in the column {name}, found texts"
    unnamed = scores[list(LABELS)].isna().any(axis=1)
    if unnamed.any():
        line = unnamed.idxmax() + 2
        return f"expected {', '.join(LABELS)} in each row, not so in row {line}"
    for column, known in (("variant", VARIANTS), ("setting", SETTINGS)):
        odd = sorted(set(scores[column].astype(str)) - set(known))
        if odd:
            return (
                f"expected {column}s out of {', '.join(known)}, found {odd[0]}"
            )
    if task_of(scores) is None:
        return f"no task has the sources {sorted(set(scores['source']))}"
    repeated = scores[scores.duplicated(list(LABELS))]
    if len(repeated):
        first = ", ".join(map(str, repeated.iloc[0][list(LABELS)]))
        return f"expected one row for each source, found two of {first}"
    return ""


def variants_of_test(run, scores):
    """The variants that were to be tested, also those without a mixture.

    Arguments
    ---------
    run : str
        Output folder of a training.
    scores : pd.DataFrame
        Its test_scores.csv.

    Returns
    -------
    list of str
        Those of the scores, and of test_summary.csv where there is one.
    """
    variants = set(scores["variant"])
    path = os.path.join(run, "test_summary.csv")
    if os.path.isfile(path):
        variants |= set(pd.read_csv(path)["variant"]) & set(VARIANTS)
    return [variant for variant in VARIANTS if variant in variants]


def task_of(scores):
    """The task of which scores are, as its sources tell.

    Arguments
    ---------
    scores : pd.DataFrame
        test_scores.csv.

    Returns
    -------
    str
        ES, EB or SB; None if it is none of them.

    Example
    -------
    >>> task_of(pd.DataFrame({"source": ["s2", "s1"]}))
    'SB'
    """
    sources = set(scores["source"])
    for task in TASKS:
        if set(source_names(task)) == sources:
            return task
    return None


def read_curve(path):
    """The epochs of a training log.

    Arguments
    ---------
    path : str
        train_log.txt, a line for each epoch.

    Returns
    -------
    pd.DataFrame
        Columns epoch, lr, train_loss (dB), si_sdri, ci_low and ci_high (dB,
        validation), as far as the log has them; an epoch that was trained
        again after an interruption counts once. Empty without a log.
    """
    names = {
        "epoch": "epoch",
        "lr": "lr",
        "train loss": "train_loss",
        "valid SI-SDRi": "si_sdri",
        "valid ci_low": "ci_low",
        "valid ci_high": "ci_high",
    }
    rows = []
    if os.path.isfile(path):
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                text = line.strip().replace(" - ", ", ")
                pairs = [item.split(": ") for item in text.split(", ")]
                found = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
                if "epoch" in found:
                    rows.append({n: found[n] for n in names if n in found})
    curve = pd.DataFrame(rows).rename(columns=names)
    if rows:
        curve = curve.apply(pd.to_numeric, errors="coerce")
        curve = curve.dropna(subset="epoch")
        curve = curve.drop_duplicates("epoch", keep="last")
        curve = curve.sort_values("epoch", ignore_index=True)
    return curve
