#!/usr/bin/env python3
"""Reports of a test, and comparisons of several.

train.py writes the report of its test stage. To write the tables of a run
again, with other strata or for a paper:
> python report.py tables RUN --strata decay scene_class --latex

To compare runs that were tested on the same mixtures, each with the first:
> python report.py compare RUN_A RUN_B --output comparison.csv

A RUN is the output folder of a training.

Authors
 * The PolSESS recipe team 2026
"""

import argparse
import os
import sys

from reporting.compare import compare, readable
from reporting.runs import read_scores, task_of, variants_of_test
from reporting.strata import CAVEATS, stratify
from summary import LABELS, cells, score_names, summarise, to_markdown


def write_tables(tables, output_folder):
    """Writes texts into files, each complete or absent.

    Arguments
    ---------
    tables : dict
        File name -> text.
    output_folder : str
        Where to write.
    """
    for name, text in tables.items():
        path = os.path.join(output_folder, name)
        with open(f"{path}.partial", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(f"{path}.partial", path)


def to_csv(table):
    """A table as text with comma-separated values.

    Arguments
    ---------
    table : pd.DataFrame
        Any.

    Returns
    -------
    str
        Numbers with six decimals (a p with four digits, however small), empty
        where there are none.
    """
    if "p_value" in table:
        p_value = table["p_value"].map("{:.4g}".format, na_action="ignore")
        table = table.assign(p_value=p_value)
    return table.to_csv(index=False, float_format="%.6f", lineterminator="\n")


def summary_markdown(summary):
    """The summary as two Markdown tables.

    Arguments
    ---------
    summary : pd.DataFrame
        What ``tables.summarise`` returns.

    Returns
    -------
    str
        Means with intervals and failures; medians and standard deviations.
    """
    return (
        to_markdown(cells(summary, "mean"))
        + "\nMean [95 % confidence interval]; n counts rows.\n\n"
        + to_markdown(cells(summary, "median"))
        + "\nMedian (standard deviation).\n"
    )


def strata_markdown(strata):
    """The strata as a Markdown table each.

    Arguments
    ---------
    strata : pd.DataFrame
        What ``strata.stratify`` returns.

    Returns
    -------
    str
        With headings, caveats and marks where n is below 10.
    """
    if strata.empty:
        return "There is no mixture that counts in a mean.\n"
    parts = []
    for name, table in strata.groupby("stratum", sort=False):
        text = to_markdown(cells(table.drop(columns="stratum"), "mean"))
        parts.append(f"## By {name}\n\n{text}")
        if name in CAVEATS:
            parts.append(f"{CAVEATS[name]}\n")
    parts.append("Means over rows [95 % confidence interval]; few: n < 10.\n")
    return "\n".join(parts)


def summary_latex(summary):
    """The summary as a LaTeX table, for the package booktabs.

    Arguments
    ---------
    summary : pd.DataFrame
        What ``tables.summarise`` returns.

    Returns
    -------
    str
        The tabular, without the scores of the mixtures.
    """
    text = cells(summary, "mean")
    text = text[[column for column in text if not column.endswith(" mix")]]
    return text.to_latex(index=False, escape=True)


def make_tables(scores, variants, task, strata, save_folder, latex):
    """All tables of a test.

    Raises ValueError where a stratum is unknown, see ``strata.stratify``.

    Arguments
    ---------
    scores : pd.DataFrame
        One row per (mixture, variant, source).
    variants : list of str
        The variants that were to be tested.
    task : str
        ES, EB or SB.
    strata : list of str
        What to stratify by.
    save_folder : str
        Folder of the manifests.
    latex : bool
        Whether to make a LaTeX table too.

    Returns
    -------
    summary : pd.DataFrame
        See ``tables.summarise``.
    by_strata : pd.DataFrame
        See ``strata.stratify``.
    texts : dict
        File name -> text.
    """
    # A sum depends on its order in the last digit, and the digits shown may too.
    scores = scores.sort_values(list(LABELS), ignore_index=True)
    summary = summarise(scores, variants, task)
    texts = {"test_summary.csv": to_csv(summary)}
    if latex:
        texts["test_summary.tex"] = summary_latex(summary)
    by_strata = stratify(scores, strata, task, save_folder)
    if strata:
        texts["test_strata.csv"] = to_csv(by_strata)
        texts["test_strata.md"] = strata_markdown(by_strata)
    texts["test_summary.md"] = summary_markdown(summary)
    return summary, by_strata, texts


def _tables_command(arguments):
    scores = read_scores(arguments.run)
    _, _, texts = make_tables(
        scores,
        variants_of_test(arguments.run, scores),
        task_of(scores),
        arguments.strata,
        arguments.save_folder or os.path.join(arguments.run, "save"),
        arguments.latex,
    )
    write_tables(texts, arguments.output_folder or arguments.run)
    print(texts["test_summary.md"])
    print(texts.get("test_strata.md", ""))


def _compare_command(arguments):
    runs = [os.path.normpath(run) for run in arguments.runs]
    if len(runs) < 2 or len(set(map(os.path.realpath, runs))) < len(runs):
        raise ValueError("name two different runs or more to compare")
    scores = {run: read_scores(run) for run in runs}
    first = set(score_names(scores[runs[0]]))
    for run in runs[1:]:
        apart = first ^ set(score_names(scores[run]))
        if apart:
            print(
                f"only in one of {runs[0]} and {run}: "
                f"{', '.join(sorted(apart))}",
                file=sys.stderr,
            )
    table = compare(scores)
    if arguments.output:
        folder, name = os.path.split(os.path.abspath(arguments.output))
        write_tables({name: to_csv(table)}, folder)
    print(f"Differences to {runs[0]} [95 % confidence interval]\n")
    print(to_markdown(readable(table)))


def main(arguments=None):
    """Runs a command.

    Arguments
    ---------
    arguments : list of str, optional
        Default: those of the command line.

    Returns
    -------
    exit_code : int
        0, or 1 with a message where there is no answer.
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True)
    tables = commands.add_parser("tables", help="tables of a run")
    tables.add_argument("run", help="output folder of a training")
    tables.add_argument("--strata", nargs="*", default=[])
    tables.add_argument("--save_folder", help="of the manifests: RUN/save")
    tables.add_argument("--output_folder", help="where to write: RUN")
    tables.add_argument("--latex", action="store_true")
    tables.set_defaults(function=_tables_command)
    comparison = commands.add_parser("compare", help="runs with the first")
    comparison.add_argument("runs", nargs="+", help="output folders")
    comparison.add_argument("--output", help="a CSV file")
    comparison.set_defaults(function=_compare_command)
    chosen = parser.parse_args(arguments)
    try:
        chosen.function(chosen)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
