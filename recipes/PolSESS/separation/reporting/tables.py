"""Tables of a test as text, and scores by strata of the test mixtures.

Authors
 * The PolSESS recipe team 2026
"""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
from metrics import SILENT_DB
from paths import replacing
from summary import describe, score_names
from variants import VARIANTS, counts_in_means

# Of a report, as far as the corpus has them
DEFAULT = ("ssr_db", "scene_class", "event_class", "si_sdr_mix")
FEW = 10  # rows; a stratum with fewer is marked
BIN_DB = 5  # width of the bins of SI-SDR
MOST_VALUES = 12  # a number with more different values is cut into quarters
NONE = "(none)"
NAMES = ("ID", "speaker1", "speaker2")  # although some look like numbers
NUMBER = r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?"


def stratify(scores, names, task, save_folder):
    """Averages the scores within strata of the test mixtures.

    Raises ValueError when a name is not a column of the scores, the manifests
    or the metadata, or when a manifest is missing or lacks a mixture.

    Arguments
    ---------
    scores : pd.DataFrame
        test_scores.csv.
    names : list of str
        Columns of the scores (SI-SDR is cut into bins of 5 dB, with their lower
        bound), of the test manifests or of the metadata of the corpus. Other
        numbers with more than 12 different values are cut into quarters. None
        for those of DEFAULT for which a mixture has a value.
    task : str
        ES, EB or SB; C is not part of the means of ES and EB.
    save_folder : str
        Folder of the manifests.

    Returns
    -------
    pd.DataFrame
        Columns stratum (its name), value ("(none)" comes last), n, mixtures,
        few (less than 10 rows), and those of ``summary.describe``, means over
        rows; the intervals take indoor and outdoor mixtures as one sample.
    """
    scores = scores.loc[[counts_in_means(v, task) for v in scores["variant"]]]
    columns = score_names(scores)
    table = []
    for name in dict.fromkeys(DEFAULT if names is None else names):
        values = _strata_of(scores, name, save_folder)
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


def _strata_of(scores, name, save_folder):
    """The stratum of each row of the scores, an ordered categorical."""
    if name in scores:
        values = scores[name]
    else:
        values = scores["ID"].map(_column(scores, name, save_folder))
    texts = values.dropna().astype(str)
    texts = texts[texts != ""]
    if name in NAMES or not texts.str.fullmatch(NUMBER).all():
        order = VARIANTS if name == "variant" else sorted(set(texts))
    else:
        texts, order = _bins(texts.astype(float), name)
    texts = texts.reindex(values.index, fill_value=NONE)
    categories = list(dict.fromkeys([*order, NONE]))
    return texts.astype(pd.CategoricalDtype(categories, ordered=True))


def _bins(numbers, name):
    """Labels numbers by their bins; returns the labels in their order too."""
    bins = numbers
    if name.startswith("si_sdr"):
        bins = BIN_DB * np.floor(numbers / BIN_DB) + 0.0
        labels = bins.map(lambda low: f"{low:g} to {low + BIN_DB:g} dB")
    elif numbers.nunique() <= MOST_VALUES:
        labels = numbers.map(lambda number: f"{number + 0.0:.12g}")
    else:
        bins = pd.qcut(numbers, 4, labels=False, duplicates="drop")
        labels = numbers.groupby(bins).transform(
            lambda part: f"{part.min() + 0.0:.8g} to {part.max() + 0.0:.8g}"
        )
    return labels, labels[bins.sort_values().index].unique()


def _column(scores, name, save_folder):
    """Mixture ID -> value of a column of the manifests or the metadata."""
    known = list(scores)
    for files in (scores["variant"].unique(), ["metadata"]):
        table = pd.concat(_read(save_folder, file) for file in files)
        known += [column for column in table if not column.endswith("_wav")]
        if name in table:
            break
    else:
        raise ValueError(
            f"strata: {name!r} is not a column of the scores, the manifests or "
            f"the metadata; choose from {', '.join(dict.fromkeys(known))}"
        )
    missing = sorted(set(scores["ID"]) - set(table["ID"]))
    if missing:
        raise ValueError(
            f"strata: {len(missing)} tested mixtures are not in the files of "
            f"{save_folder}, for instance {missing[0]}; these are of another "
            "corpus"
        )
    return table.drop_duplicates("ID").set_index("ID")[name]


def _read(save_folder, name):
    """A manifest, or the metadata, as texts."""
    path = os.path.join(save_folder, f"test_{name}.csv")
    if not os.path.isfile(path):
        raise ValueError(
            f"strata: {path} is missing; prepare the corpus again (train.py "
            "without --skip_prep), or do without strata (--strata with no name)"
        )
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def number(value, name, sign=""):
    """Formats a score, with two digits or those of a STOI.

    Arguments
    ---------
    value : float
        The score.
    name : str
        Its name, for instance si_sdr.
    sign : str
        "+" for a difference.

    Returns
    -------
    str
        A hyphen for NaN and infinities.

    Example
    -------
    >>> (
    ...     number(-0.001, "si_sdr"),
    ...     number(0.8126, "stoi_mix"),
    ...     number(1, "x", "+"),
    ... )
    ('0.00', '0.813', '+1.00')
    """
    digits = 3 if "stoi" in name else 2
    if not np.isfinite(value):
        return "-"
    return f"{round(value, digits) + 0.0:{sign}.{digits}f}"


def cells(table, style):
    """Formats the scores of a table for readers.

    Arguments
    ---------
    table : pd.DataFrame
        The result of ``summary.summarise`` or ``stratify``.
    style : str
        "mean": with its interval (without one for the mixture) and the number
        of failures; "median": with the standard deviation.

    Returns
    -------
    pd.DataFrame
        The label columns, n, and a column of texts for each score.

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
    if "silent" in table:  # of no earlier version
        note = f" silent: {SILENT_DB:g} dB)"
        text["n"] += [f" ({n}{note}" * (n > 0) for n in table["silent"]]
    if "few" in table:
        text["mixtures"] = table["mixtures"].astype(str)
        text.loc[table["few"], "n"] += " (few)"
    for name in score_names(table):
        text[name.replace("_", " ")] = [
            _cell(row, name, style) for row in table.to_dict("records")
        ]
    return text


def _cell(row, name, style):
    """A score of a row."""
    text, low, high, deviation = (
        number(row.get(f"{name}_{part}", np.nan), name)
        for part in (style, "ci_low", "ci_high", "std")
    )
    if style == "median" and deviation != "-":
        text += f" ({deviation})"
    if style == "mean" and low != "-" and not name.endswith("_mix"):
        text += f" [{low}, {high}]"
    failures = row[f"{name}_failures"]
    return f"{text} ({failures} failed)" if failures else text


def to_markdown(text):
    """Writes a Markdown table, with characters escaped that Markdown reads.

    Arguments
    ---------
    text : pd.DataFrame
        Texts, for instance the result of ``cells``.

    Returns
    -------
    str
        A line for each row.

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


def write_texts(texts, output_folder):
    """Writes texts into files, all of them or none.

    Arguments
    ---------
    texts : dict
        File name -> text.
    output_folder : str
        An existing folder.
    """
    with replacing(*(Path(output_folder, name) for name in texts)) as new:
        for path, text in zip(new, texts.values()):
            path.write_text(text, encoding="utf-8")
