"""Scores by strata: by SSR, scene class, level of the input and the like.

Authors
 * The PolSESS recipe team 2026
"""

import os
import re

import numpy as np
import pandas as pd
from variants import VARIANTS, counts_in_means
from scoring import find_metrics, score_columns
from summary import FEW, LABELS, describe, score_names

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
    """Means of the scores within strata of the test mixtures.

    Raises ValueError when a name is no column of the scores, the manifests or
    the metadata, or when a manifest is missing or lacks a mixture.

    Arguments
    ---------
    scores : pd.DataFrame
        test_scores.csv.
    names : list of str
        What to stratify by; see ``strata_of``.
    task : str
        ES, EB or SB; C is no part of the means of ES and EB.
    save_folder : str
        Folder of the manifests.

    Returns
    -------
    pd.DataFrame
        Columns stratum (its name), value, n, mixtures, few (less than 10
        rows), and those of ``tables.describe``, means over rows; the intervals
        take indoor and outdoor mixtures of a stratum as one sample.
    """
    scores = scores.loc[[counts_in_means(v, task) for v in scores["variant"]]]
    columns = score_names(scores)
    table = []
    for name in dict.fromkeys(names):
        values = strata_of(scores, name, save_folder)
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
    """The stratum of each row of the scores.

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
    values = values.astype(object).where(values.notna(), "")
    filled = values[values != ""]
    if name in NAMES or not all(NUMBER.fullmatch(str(v)) for v in filled):
        labels, order = filled.astype(str), filled.astype(str)
        if name == "variant":
            order = labels.map(VARIANTS.index)
    else:
        labels, order = _bins(filled.astype(float), name)
    ordered = [*labels[order.sort_values(kind="stable").index].unique(), NONE]
    categories = pd.CategoricalDtype(dict.fromkeys(ordered), ordered=True)
    labels = labels.reindex(values.index, fill_value=NONE)
    return labels.astype(categories).rename("value")


def _bins(numbers, name):
    """A label for each number, and by what the labels are ordered."""
    if name.startswith("si_sdr"):
        low = np.floor(numbers / BIN_DB) * BIN_DB + 0.0  # not -0
        return low.map(lambda x: f"{x:g} to {x + BIN_DB:g} dB"), low
    if numbers.nunique() <= MOST_VALUES:
        return numbers.map(lambda x: f"{x + 0.0:.12g}"), numbers
    edges = np.unique(np.quantile(numbers, [0, 0.25, 0.5, 0.75, 1])) + 0.0
    for digits in (4, 12):
        texts = [f"{edge:.{digits}g}" for edge in edges]
        if len(set(texts)) == len(edges):
            break
    labels = [f"{low} to {high}" for low, high in zip(texts, texts[1:])]
    quarter = np.searchsorted(edges[1:-1], numbers, side="right")
    quarter = pd.Series(quarter, numbers.index)
    return quarter.map(dict(enumerate(labels))), quarter


def _column(scores, name, save_folder):
    """Mixture ID -> value of a column of the manifests or the metadata."""
    variants = scores["variant"].unique()
    table = _table_with(name, variants, list(scores), save_folder)
    missing = sorted(set(scores["ID"]) - set(table.index))
    if missing:
        raise ValueError(
            f"strata: {len(missing)} tested mixtures are not in the files of "
            f"{save_folder}, for instance {missing[0]}; these are of another "
            "corpus"
        )
    return table[name]


def _table_with(name, variants, score_columns, save_folder):
    """The test manifests or else the metadata, whichever has the column."""
    manifest = pd.concat(
        _read(save_folder, f"test_{variant}.csv")
        for variant in VARIANTS
        if variant in variants
    )
    manifest = manifest.drop_duplicates("ID").set_index("ID")
    if name in manifest:
        return manifest
    metadata = _read(save_folder, "test_metadata.csv")
    metadata = metadata.drop_duplicates("ID").set_index("ID")
    if name in metadata:
        return metadata
    known = [c for c in score_columns if c != "ID"]
    known += [c for c in [*manifest, *metadata] if not c.endswith("_wav")]
    raise ValueError(
        f"strata: {name!r} is no column of the scores, the manifests or the "
        f"metadata; choose from {', '.join(dict.fromkeys(known))}"
    )


def _read(save_folder, name):
    path = os.path.join(save_folder, name)
    if not os.path.isfile(path):
        raise ValueError(
            f"strata: {path} is missing; prepare the corpus again (run without "
            "--skip_prep), or do without strata (--strata='[]' of train.py)"
        )
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def check_strata(hparams):
    """Refuses strata that a test could not report, before anything is trained.

    Raises ValueError, see ``stratify``.

    Arguments
    ---------
    hparams : dict
        The loaded YAML, after the preparation of the test split.
    """
    columns = [*LABELS, *score_columns(find_metrics(hparams["metrics"]))]
    for name in hparams["strata"]:
        if name not in columns:
            _table_with(
                name, hparams["test_variants"], columns, hparams["save_folder"]
            )
