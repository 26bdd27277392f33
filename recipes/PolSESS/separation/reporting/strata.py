"""Scores by strata: by SSR, scene class, level of the input and the like.

Authors
 * The PolSESS recipe team 2026
"""

import os
import re

import numpy as np
import pandas as pd
from summary import describe, score_names
from variants import VARIANTS, counts_in_means

# Of a report, as far as the corpus has them
DEFAULT = ("ssr_db", "scene_class", "event_class", "si_sdr_mix")
FEW = 10  # rows; a stratum with fewer is marked
BIN_DB = 5  # width of the bins of SI-SDR
MOST_VALUES = 12  # a number with more different values is cut into quarters
NONE = "(none)"
# Names, although some look like numbers.
NAMES = ("ID", "speaker1", "speaker2")
NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")
CAVEATS = {
    "event_class": (
        "The event class is a label by which recordings were searched, as a "
        "part of its name; it is not always what is heard."
    )
}
CAVEATS["eventClass"] = CAVEATS["event_class"]


def stratify(scores, names, task, save_folder):
    """Averages the scores within strata of the test mixtures.

    Raises ValueError when a name is not a column of the scores, the manifests
    or the metadata, or when a manifest is missing or lacks a mixture.

    Arguments
    ---------
    scores : pd.DataFrame
        test_scores.csv.
    names : list of str
        Columns, see ``strata_of``. None for those of DEFAULT for which a
        mixture has a value.
    task : str
        ES, EB or SB; C is not part of the means of ES and EB.
    save_folder : str
        Folder of the manifests.

    Returns
    -------
    pd.DataFrame
        Columns stratum (its name), value, n, mixtures, few (less than 10
        rows), and those of ``summary.describe``, means over rows; the intervals
        take indoor and outdoor mixtures of a stratum as one sample.
    """
    scores = scores.loc[[counts_in_means(v, task) for v in scores["variant"]]]
    columns = score_names(scores)
    table = []
    for name in dict.fromkeys(DEFAULT if names is None else names):
        values = strata_of(scores, name, save_folder)
        if names is None and (values == NONE).all():
            continue
        for value, rows in scores.groupby(values, observed=True):
            row = {"stratum": name, "value": value}
            # It is chance how many of a stratum's mixtures are indoors.
            row.update(describe(rows.assign(setting="any"), columns))
            table.append(row)
    first = ["stratum", "value", *describe(scores[:0], columns)]
    frame = pd.DataFrame(table, columns=first)
    frame.insert(4, "few", frame["n"] < FEW)
    return frame


def strata_of(scores, name, save_folder):
    """Finds the stratum of each row of the scores.

    Arguments
    ---------
    scores : pd.DataFrame
        test_scores.csv.
    name : str
        A column of the scores (SI-SDR is cut into bins of 5 dB), of the test
        manifests (setting, ssr_db, scene_class, event_class, ...) or of the
        metadata of the corpus (SSR, decay, highCut, ...). Other numbers with
        more than 12 different values are cut into quarters. A bin begins with
        its lower bound and ends before its upper one, the last with it.
    save_folder : str
        Folder of the manifests.

    Returns
    -------
    pd.Series
        A text for each row, an ordered categorical; "(none)" comes last.

    Example
    -------
    >>> scores = pd.DataFrame({"si_sdr_mix": [-7.0, 2.0, 2.5]})
    >>> list(strata_of(scores, "si_sdr_mix", ""))
    ['-10 to -5 dB', '0 to 5 dB', '0 to 5 dB']
    """
    if name in scores:
        values = scores[name]
    else:
        values = scores["ID"].map(_column(scores, name, save_folder))
    filled = values[values.notna() & (values.astype(str) != "")]
    is_number = filled.map(lambda v: bool(NUMBER.fullmatch(str(v))))
    if name in NAMES or not is_number.all():
        labels = filled.astype(str)
        order = VARIANTS if name == "variant" else sorted(set(labels))
    else:
        labels, order = _bins(filled.astype(float), name)
    categories = list(dict.fromkeys([*order, NONE]))
    labels = labels.reindex(values.index, fill_value=NONE)
    dtype = pd.CategoricalDtype(categories, ordered=True)
    return labels.astype(dtype).rename("value")


def _bins(numbers, name):
    """Labels numbers by their bins; returns the labels in their order too."""
    if name.startswith("si_sdr") and len(numbers):
        low = BIN_DB * np.floor(numbers.min() / BIN_DB)
        edges = np.arange(low, numbers.max() + 2 * BIN_DB, BIN_DB) + 0.0
        order = [f"{x:g} to {x + BIN_DB:g} dB" for x in edges[:-1]]
    elif numbers.nunique() <= MOST_VALUES:
        labels = numbers.map(lambda x: f"{x + 0.0:.12g}")
        return labels, labels[numbers.sort_values().index].unique()
    else:
        edges = np.unique(np.quantile(numbers, [0, 0.25, 0.5, 0.75, 1])) + 0.0
        for digits in (4, 12):
            texts = [f"{edge:.{digits}g}" for edge in edges]
            if len(set(texts)) == len(edges):
                break
        order = [f"{low} to {high}" for low, high in zip(texts, texts[1:])]
        edges[-1] = np.inf  # the last bin includes its upper bound
    bins = pd.cut(numbers, edges, right=False, labels=order)
    return bins.astype(str), order


def _column(scores, name, save_folder):
    """Mixture ID -> value of a column of the manifests or the metadata."""
    table = pd.concat(
        _read(save_folder, f"test_{variant}.csv")
        for variant in VARIANTS
        if variant in set(scores["variant"])
    )
    known = [*scores, *table]
    if name not in table:
        table = _read(save_folder, "test_metadata.csv")
        known += list(table)
    if name not in table:
        known = [c for c in known if c != "ID" and not c.endswith("_wav")]
        raise ValueError(
            f"strata: {name!r} is not a column of the scores, the manifests or "
            f"the metadata; choose from {', '.join(dict.fromkeys(known))}"
        )
    table = table.drop_duplicates("ID").set_index("ID")
    missing = sorted(set(scores["ID"]) - set(table.index))
    if missing:
        raise ValueError(
            f"strata: {len(missing)} tested mixtures are not in the files of "
            f"{save_folder}, for instance {missing[0]}; these are of another "
            "corpus"
        )
    return table[name]


def _read(save_folder, name):
    path = os.path.join(save_folder, name)
    if not os.path.isfile(path):
        raise ValueError(
            f"strata: {path} is missing; prepare the corpus again (train.py "
            "without --skip_prep), or do without strata (--strata with no name)"
        )
    return pd.read_csv(path, dtype=str, keep_default_na=False)
