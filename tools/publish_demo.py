"""Copies what `make demo` wrote to results/demo and into the README.

The picture of the report is made by tools/screenshot.py.

> python tools/publish_demo.py demo/convtasnet_ES demo/seconds

Authors
 * The PolSESS recipe team 2026
"""

import datetime
import pathlib
import re
import shutil
import sys

import pandas as pd
from readme_section import ROOT, replace_section, where

RESULTS = ROOT / "results/demo"
RECIPE_README = ROOT / "recipes/PolSESS/separation/README.md"
SCORES = ("si_sdr", "si_sdri", "sdr", "pesq", "stoi")
FILES = (
    "test_summary.md",
    "test_summary.csv",
    "test_strata.md",
    "train_log.txt",
)


def short_table(summary):
    """The columns of the summary that fit into a README, as Markdown."""
    from summary import cells, to_markdown

    text = cells(summary, "mean")
    columns = ["variant", "setting", "n", "si sdr mix", "si sdr", "si sdri"]
    columns += ["sdr", "pesq", "stoi", "estoi"]
    return to_markdown(text[columns])


def sentence_on(seconds):
    """What was run, on what, in how long."""
    commit, machine = where()
    return (
        f"`make demo` (`hparams/convtasnet_demo.yaml`, task ES, seed 1234) at "
        f"commit {commit}: {seconds} s from its start, the packages installed, to the table, on "
        f"{machine}."
    )


def row_of_the_recipe(summary, release, machine):
    """The demo's row in the form of SpeechBrain's tables of results.

    Arguments
    ---------
    summary : DataFrame
        Of the test.
    release : str
        Date of the training.
    machine : str
        What it ran on.

    Returns
    -------
    str
        Markdown.
    """
    mean = summary[summary["variant"] == "macro mean"].iloc[0]
    names = [score.upper().replace("_", "-") for score in SCORES]
    names = [name.replace("SDRI", "SDRi") for name in names]
    values = []
    for score in SCORES:
        digits = 3 if score == "stoi" else 2
        values.append(f"{mean[f'{score}_mean']:.{digits}f}")
    header = ["Release", "hyperparams file", "task", "test set", *names]
    header += ["Model link", "GPUs"]
    row = [release, "convtasnet_demo.yaml", "ES"]
    row += [f"simulated, {mean['mixtures']:g} mixtures", *values]
    row += ["not uploaded", f"none ({machine})"]
    lines = (header, ["---"] * len(header), row)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def epoch_seconds(log):
    """Seconds of an epoch's training, its mean over a training log."""
    found = re.findall(r"train (?:waiting|computing)_seconds: ([\d.]+)", log)
    return sum(map(float, found)) / log.count("epoch: ")


def main(run, seconds_file):
    """Writes results/demo and the README's table.

    Arguments
    ---------
    run : str
        Output folder of the demo's training.
    seconds_file : str
        File with the seconds that the demo took.
    """
    RESULTS.mkdir(parents=True, exist_ok=True)
    seconds = pathlib.Path(seconds_file).read_text(encoding="utf-8").strip()
    sentence = sentence_on(seconds)
    for name in FILES:
        shutil.copy(pathlib.Path(run) / name, RESULTS / name)
    (RESULTS / "README.md").write_text(
        f"# Results of the demo\n\n{sentence}\n", encoding="utf-8"
    )
    summary = pd.read_csv(RESULTS / "test_summary.csv", keep_default_na=False)
    numbers = summary.columns[2:]
    summary[numbers] = summary[numbers].apply(pd.to_numeric)
    table = short_table(summary)
    replace_section("demo results", f"{table}\n{sentence}\n")
    publish_in_recipe(summary, datetime.date.today().isoformat(), where()[1])


def publish_in_recipe(summary, release, machine):
    """Writes the demo's row and the time of an epoch into the recipe's README.

    Arguments
    ---------
    summary : DataFrame
        Of the test.
    release : str
        Date of the training.
    machine : str
        With versions.
    """
    machine = machine.split(", Linux")[0].removeprefix("cpu, ")
    seconds = epoch_seconds((RESULTS / "train_log.txt").read_text("utf-8"))
    row = row_of_the_recipe(summary, release, machine)
    time = (
        f"An epoch of `convtasnet_demo.yaml`, 1,000 crops of 2 s, takes {seconds:.0f} s "
        f"to train on {machine}, without a GPU.\n"
    )
    replace_section("demo row", row, RECIPE_README)
    replace_section("demo time", time, RECIPE_README)


if __name__ == "__main__":
    main(*sys.argv[1:])
