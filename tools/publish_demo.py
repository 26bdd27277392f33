"""Copies what `make demo` wrote to results/demo and into the README.

The picture of the report is made by tools/screenshot.py.

> python tools/publish_demo.py demo/convtasnet_ES demo/seconds

Authors
 * The PolSESS recipe team 2026
"""

import pathlib
import shutil
import sys

import pandas as pd
from readme_section import ROOT, replace_section, where

RESULTS = ROOT / "results/demo"
FILES = (
    "test_summary.md",
    "test_summary.csv",
    "test_strata.md",
    "train_log.txt",
)


def short_table(summary):
    """The columns of the summary that fit into a README, as Markdown."""
    from tables import cells, to_markdown

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


if __name__ == "__main__":
    main(*sys.argv[1:])
