"""The command report.py, and the report of a run.

Comparing runs needs the packages of neither metrics nor plots, which load when a
page is written.

Authors
 * The PolSESS recipe team 2026
"""

import argparse
import os
import sys
from pathlib import Path

import pandas as pd
from metrics import SILENT_DB
from paths import expand_home
from summary import count_silent, score_names, summarise

from reporting.compare import compare, readable
from reporting.runs import TASK_NAMES, read_curve, read_scores, task_of
from reporting.tables import FEW, cells, stratify, to_markdown, write_texts

CSV = {"index": False, "float_format": "%.6f", "lineterminator": "\n"}


def _make_tables(run, save_folder, strata, latex=False):
    """Scores, summary, strata (None: those of a report), texts of files."""
    scores = read_scores(run)
    task = task_of(scores)
    variants = set(scores["variant"])
    path = os.path.join(run, "test_summary.csv")
    if os.path.isfile(path):  # it names those that no mixture has
        variants.update(pd.read_csv(path)["variant"])
    summary = summarise(scores, variants, task)
    by_strata = stratify(scores, strata, task, save_folder)
    means = cells(summary, "mean")
    texts = {"test_summary.csv": summary.to_csv(**CSV)}
    if latex:
        names = [name for name in means if not name.endswith(" mix")]
        text = means[names].to_latex(index=False, escape=True)
        texts["test_summary.tex"] = text
    if strata != []:
        texts["test_strata.csv"] = by_strata.to_csv(**CSV)
        texts["test_strata.md"] = _strata_markdown(by_strata)
    texts["test_summary.md"] = (
        f"{to_markdown(means)}\n"
        "Mean [95 % confidence interval]; n counts rows.\n\n"
        f"{to_markdown(cells(summary, 'median'))}\n"
        "Median (standard deviation).\n"
    )
    return scores, summary, by_strata, texts


def _strata_markdown(by_strata):
    """A table for each stratum."""
    none = ["There is no mixture that counts in a mean.\n"]
    parts = [
        f"## By {name}\n\n"
        + to_markdown(cells(table.drop(columns="stratum"), "mean"))
        for name, table in by_strata.groupby("stratum", sort=False)
    ]
    note = f"Means over rows [95 % confidence interval]; few: n < {FEW}.\n"
    return "\n".join([*(parts or none), note])


def clear_report(run):
    """Removes the report of an earlier test, but for its scores.

    Arguments
    ---------
    run : str
        Output folder of the run.
    """
    for pattern in ("report.html", "test_strata.*", "test_summary.[mt]*"):
        for path in Path(run).glob(pattern):
            path.unlink(missing_ok=True)


def write_report(run, strata=None, save_folder=None, data_folder=None):
    """Writes the tables and the page of a test into its folder.

    Where test_summary.md stands, all is complete: it comes last. Where the
    model or the corpus is gone, the page has no examples and says so.

    Raises ValueError without scores or with an unknown stratum.

    Arguments
    ---------
    run : str
        Output folder of a training or a test.
    strata : list of str
        Columns to stratify by; None for those of a report.
    save_folder : str
        Folder of manifests and checkpoints; None for the one in the run.
    data_folder : str or list of str
        The corpus; None for the one in the run's YAML.

    Returns
    -------
    table : str
        The summary in Markdown.
    notes : list of str
        Warnings for the reader of the figures.
    """
    from inference.trained import load_trained, read_run_yaml
    from runs.record import recorded_starts

    from reporting.examples import make_examples
    from reporting.page import write_page

    save_folder = save_folder or os.path.join(run, "save")
    scores, summary, by_strata, texts = _make_tables(run, save_folder, strata)
    notes = _notes_on(scores, summary)
    start = (recorded_starts(run) or [{}])[-1]
    yaml, settings, trained, examples = "", {}, None, []
    reason = "no mixture has an SI-SDRi"
    try:
        yaml, settings = read_run_yaml(run)
        trained = load_trained(_tested(start, settings, save_folder))
        data_folder = data_folder or _corpus_of(start, settings)
        examples = make_examples(scores, save_folder, data_folder, trained)
    except (ValueError, OSError) as error:
        reason = str(error)
        notes.append(f"the page has no examples to hear: {reason}")
    curve = read_curve(os.path.join(run, "train_log.txt"))
    facts = _facts(run, scores, start, settings, curve, trained)
    tables = summary, scores, by_strata, curve
    clear_report(run)
    write_page(
        os.path.join(run, "report.html"),
        *tables,
        facts=facts,
        yaml=yaml,
        notes=notes,
        examples=examples,
        no_examples=reason,
    )
    write_texts(texts, run)
    return to_markdown(cells(summary, "mean")), notes


def _tested(start, settings, save_folder):
    """Where the tested model is: init_from where the run trained none."""
    model = settings.get("init_from")
    if model and not list(Path(save_folder).glob("CKPT*")):
        return os.path.join(start.get("folder", ""), model)
    return save_folder


def _corpus_of(start, settings):
    """The corpus, from the folder in which the run was started."""
    found = settings.get("data_folder", os.environ.get("POLSESS_DATA_ROOT"))
    if not found:
        raise ValueError("name the corpus by --data_folder")
    folders = [found] if isinstance(found, str) else found
    return [os.path.join(start.get("folder", ""), f) for f in folders]


def _facts(run, scores, start, settings, curve, trained):
    """Name -> text of what was run, how and where, as far as it is known."""
    known = {**settings, **start}
    versions = {"Python": start.get("python"), **start.get("packages", {})}
    names = [n for n in ("Python", "torch", "speechbrain") if versions.get(n)]
    facts = {
        "System": "/".join(os.path.abspath(run).split(os.sep)[-2:]),
        "Task": TASK_NAMES[task_of(scores)],
        "Command": start.get("command"),
        "Commit": start.get("commit"),
        "Device": start.get("device"),
        "Versions": ", ".join(f"{name} {versions[name]}" for name in names),
        "Model": settings.get("init_from"),
        "Test precision": known.get("eval_precision", known.get("precision")),
    }
    if trained is not None:
        weights = trained.separator.parameters()
        facts["Parameters"] = f"{sum(w.numel() for w in weights):,}"
        facts["Weights"] = trained.weights
    if len(curve):
        facts["Training precision"] = known.get("precision")
        facts["Seed"] = known.get("seed")
        limit = known.get("number_of_epochs", "?")
        facts["Epochs"] = f"{curve['epoch'].max():g} of {limit}"
        best = {} if trained is None else trained.meta
        if "si_sdri" in best:
            si_sdri = f"validation SI-SDRi {best['si_sdri']:.2f} dB"
            facts["Best epoch"] = f"{best['epoch']}, {si_sdri}"
    return {k: str(fact) for k, fact in facts.items() if fact not in (None, "")}


def _notes_on(scores, summary):
    """Names failed scores, and variants that no mixture has."""
    failures = scores[score_names(scores)].isna().sum().drop("si_sdri")
    notes = [
        f"{count} of {len(scores)} rows have no {name}: they are counted as "
        "failures and are no part of its mean; log.txt names them"
        for name, count in failures[failures > 0].items()
    ]
    if silent := count_silent(scores):
        notes.append(
            f"{silent} of {len(scores)} rows have a silent estimate, or one that "
            f"is not finite: every mean holds them at {SILENT_DB:g} dB SI-SDR; "
            "the scatter leaves them out"
        )
    empty = summary.loc[summary["n"] == 0, "variant"]
    if len(empty):
        notes.append(f"no test mixture has the variant {', '.join(empty)}")
    return notes


def _page_command(arguments):
    table, notes = write_report(
        arguments.run, arguments.strata, data_folder=arguments.data_folder
    )
    print(table)
    for note in notes:
        print(note, file=sys.stderr)


def _tables_command(arguments):
    save_folder = os.path.join(arguments.run, "save")
    *_, texts = _make_tables(
        arguments.run, save_folder, arguments.strata, arguments.latex
    )
    write_texts(texts, arguments.run)
    print(texts["test_summary.md"])
    print(texts.get("test_strata.md", ""))


def _compare_command(arguments):
    runs = [os.path.normpath(run) for run in arguments.runs]
    if len(runs) < 2 or len(set(map(os.path.realpath, runs))) < len(runs):
        raise ValueError("name two different runs or more to compare")
    scores = {run: read_scores(run) for run in runs}
    first = set(score_names(scores[runs[0]]))
    for run in runs[1:]:
        apart = sorted(first ^ set(score_names(scores[run])))
        if apart:
            names = f"{runs[0]} and {run}: {', '.join(apart)}"
            print(f"only in one of {names}", file=sys.stderr)
    table = compare(scores)
    if arguments.output:
        folder, name = os.path.split(os.path.abspath(arguments.output))
        # Significant digits: however small a p is, it is not written as 0.
        text = table.to_csv(index=False, float_format="%.6g")
        write_texts({name: text}, folder)
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
    tables.add_argument("--latex", action="store_true")
    tables.set_defaults(function=_tables_command)
    for command, strata in ((page, None), (tables, [])):
        command.add_argument("run", help="output folder of a training")
        command.add_argument("--strata", nargs="*", default=strata)
    comparison = commands.add_parser("compare", help="runs with the first")
    comparison.add_argument("runs", nargs="+", help="output folders")
    comparison.add_argument("--output", help="a CSV file")
    comparison.set_defaults(function=_compare_command)
    chosen = parser.parse_args(expand_home(arguments))
    try:
        chosen.function(chosen)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
