"""The command report.py, and the report of a run.

Comparing runs needs neither PyTorch nor the plots, which load when a page is
written.

Authors
 * The PolSESS recipe team 2026
"""

import argparse
import contextlib
import os
import sys

from summary import score_names, summarise

from reporting.compare import compare, readable
from reporting.runs import read_curve, read_scores, task_of, variants_of_test
from reporting.strata import stratify
from reporting.tables import cells, texts_of, to_csv, to_markdown, write_texts

WRITTEN = (
    "test_summary.md",
    "test_summary.tex",
    "test_strata.csv",
    "test_strata.md",
    "report.html",
)


def make_tables(run, strata, save_folder, latex):
    """Makes all tables of a test.

    Raises ValueError where there are no scores or a stratum is unknown.

    Arguments
    ---------
    run : str
        Output folder of a training or a test.
    strata : list of str
        Columns to stratify by; None for those of a report.
    save_folder : str
        Folder of the manifests; None for the one in the run.
    latex : bool
        Whether to make a LaTeX table too.

    Returns
    -------
    scores, summary, by_strata : pd.DataFrame
        See ``runs.read_scores``, ``summary.summarise``, ``strata.stratify``.
    texts : dict
        File name -> text, see ``tables.texts_of``.
    """
    scores = read_scores(run)
    task = task_of(scores)
    save_folder = save_folder or os.path.join(run, "save")
    summary = summarise(scores, variants_of_test(run, scores), task)
    by_strata = stratify(scores, strata, task, save_folder)
    shown = None if strata == [] else by_strata
    return scores, summary, by_strata, texts_of(summary, shown, latex)


def clear_report(run):
    """Removes the report of an earlier test, but for its scores.

    Arguments
    ---------
    run : str
        Output folder of the run.
    """
    for name in WRITTEN:
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(run, name))


def write_report(
    run, strata=None, latex=False, save_folder=None, data_folder=None
):
    """Writes the tables and the page of a test into its folder.

    Where test_summary.md stands, all is complete: it comes last. Where the
    model or the corpus is gone, the page has no examples and says so.

    Arguments
    ---------
    run : str
        Output folder of a training or a test.
    strata, save_folder, latex
        See ``make_tables``.
    data_folder : str or list of str
        The corpus; None for the one in the run's YAML.

    Returns
    -------
    table : str
        The summary in Markdown.
    notes : list of str
        Warnings for the reader of the figures.
    """
    from reporting.examples import corpus_of, load_tested, make_examples
    from reporting.facts import read_yaml, run_facts
    from reporting.page import write_page

    scores, summary, by_strata, texts = make_tables(
        run, strata, save_folder, latex
    )
    yaml, settings = read_yaml(run)
    save_folder = save_folder or os.path.join(run, "save")
    notes = notes_on(scores, summary)
    trained, examples, reason = None, [], "no mixture has an SI-SDRi"
    try:
        trained = load_tested(run, save_folder, settings)
        data_folder = data_folder or corpus_of(run, settings)
        examples = make_examples(scores, save_folder, data_folder, trained)
    except (ValueError, OSError) as error:
        reason = str(error)
        notes.append(f"the page has no examples to hear: {reason}")
    curve = read_curve(os.path.join(run, "train_log.txt"))
    last = {"test_summary.md": texts.pop("test_summary.md")}
    clear_report(run)
    write_texts(texts, run)
    write_page(
        os.path.join(run, "report.html"),
        summary,
        scores,
        by_strata,
        curve,
        facts=run_facts(run, task_of(scores), settings, curve, trained),
        yaml=yaml,
        notes=notes,
        examples=examples,
        no_examples=reason,
    )
    write_texts(last, run)
    return to_markdown(cells(summary, "mean")), notes


def notes_on(scores, summary):
    """Lists what a reader has to know before the figures.

    Arguments
    ---------
    scores : pd.DataFrame
        test_scores.csv.
    summary : pd.DataFrame
        The result of ``summary.summarise``.

    Returns
    -------
    list of str
        Failed scores, and variants that no mixture has.
    """
    notes = []
    for name in score_names(scores):
        failures = int(scores[name].isna().sum())
        if failures and name != "si_sdri":
            notes.append(
                f"{failures} of {len(scores)} rows have no {name}: they are "
                "counted as failures and are no part of its mean; log.txt "
                "names them"
            )
    empty = summary.loc[summary["n"] == 0, "variant"]
    if len(empty):
        notes.append(f"no test mixture has the variant {', '.join(empty)}")
    return notes


def _page_command(arguments):
    table, notes = write_report(
        arguments.run,
        arguments.strata,
        arguments.latex,
        arguments.save_folder,
        arguments.data_folder,
    )
    print(table)
    for note in notes:
        print(note, file=sys.stderr)


def _tables_command(arguments):
    *_, texts = make_tables(
        arguments.run,
        arguments.strata,
        arguments.save_folder,
        arguments.latex,
    )
    write_texts(texts, arguments.output_folder or arguments.run)
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
        write_texts({name: to_csv(table)}, folder)
    print(f"Differences to {runs[0]} [95 % confidence interval]\n")
    print(to_markdown(readable(table)))


def main(arguments=None, description=None):
    """Runs a command.

    Arguments
    ---------
    arguments : list of str, optional
        Default: those of the command line.
    description : str, optional
        The first line of the help.

    Returns
    -------
    exit_code : int
        0, or 1 with a message where there is no answer.
    """
    parser = argparse.ArgumentParser(description=description)
    commands = parser.add_subparsers(required=True)
    page = commands.add_parser("page", help="tables and report.html of a run")
    page.add_argument("--data_folder", nargs="+", help="where the corpus moved")
    page.set_defaults(function=_page_command)
    tables = commands.add_parser("tables", help="tables of a run")
    tables.add_argument("--output_folder", help="where to write: RUN")
    tables.set_defaults(function=_tables_command)
    for command, strata in ((page, None), (tables, [])):
        command.add_argument("run", help="output folder of a training")
        command.add_argument("--strata", nargs="*", default=strata)
        command.add_argument("--save_folder", help="of the manifests: RUN/save")
        command.add_argument("--latex", action="store_true")
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
