"""Tables as text: Markdown, CSV, LaTeX.

Authors
 * The PolSESS recipe team 2026
"""

import os
import re

import numpy as np
from summary import score_names

from reporting.strata import CAVEATS, FEW


def cells(table, style):
    """Formats the scores of a table for readers.

    Arguments
    ---------
    table : pd.DataFrame
        The result of ``summary.summarise`` or ``strata.stratify``.
    style : str
        "mean": with its interval (without one for the mixture) and the number
        of failures; "median": with the standard deviation.

    Returns
    -------
    pd.DataFrame
        The label columns, n, and a column of texts for each score.

    Example
    -------
    >>> import pandas as pd
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
        """Formats a part of the score; adding 0 turns -0.00 into 0.00."""
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
    >>> import pandas as pd
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


def texts_of(summary, by_strata=None, latex=False):
    """Writes the tables of a test as the texts of their files.

    Arguments
    ---------
    summary : pd.DataFrame
        The result of ``summary.summarise``.
    by_strata : pd.DataFrame
        The result of ``strata.stratify``; None for no such table.
    latex : bool
        Whether to write a LaTeX tabular (booktabs) too.

    Returns
    -------
    dict
        File name -> text, test_summary.md last.
    """
    texts = {"test_summary.csv": to_csv(summary)}
    means = cells(summary, "mean")
    if latex:
        names = [name for name in means if not name.endswith(" mix")]
        text = means[names].to_latex(index=False, escape=True)
        texts["test_summary.tex"] = text
    if by_strata is not None:
        texts["test_strata.csv"] = to_csv(by_strata)
        texts["test_strata.md"] = _strata_markdown(by_strata)
    texts["test_summary.md"] = (
        f"{to_markdown(means)}\n"
        "Mean [95 % confidence interval]; n counts rows.\n\n"
        f"{to_markdown(cells(summary, 'median'))}\n"
        "Median (standard deviation).\n"
    )
    return texts


def _strata_markdown(by_strata):
    """A table for each stratum, with its caveat."""
    if by_strata.empty:
        return "There is no mixture that counts in a mean.\n"
    parts = []
    for name, table in by_strata.groupby("stratum", sort=False):
        text = to_markdown(cells(table.drop(columns="stratum"), "mean"))
        parts.append(f"## By {name}\n\n{text}")
        if name in CAVEATS:
            parts.append(f"{CAVEATS[name]}\n")
    means = f"Means over rows [95 % confidence interval]; few: n < {FEW}.\n"
    return "\n".join([*parts, means])


def to_csv(table):
    """Writes a table as comma-separated values.

    Arguments
    ---------
    table : pd.DataFrame
        Numbers get six decimals, p-values four digits; NaN is empty.

    Returns
    -------
    str
        As in test_summary.csv.
    """
    if "p_value" in table:
        p_value = table["p_value"].map("{:.4g}".format, na_action="ignore")
        table = table.assign(p_value=p_value)
    return table.to_csv(index=False, float_format="%.6f", lineterminator="\n")


def write_texts(texts, output_folder):
    """Writes texts into files, each complete or absent.

    Arguments
    ---------
    texts : dict
        File name -> text, written in this order.
    output_folder : str
        An existing folder.
    """
    for name, text in texts.items():
        path = os.path.join(output_folder, name)
        with open(f"{path}.partial", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(f"{path}.partial", path)
