"""Copies the results of `make demo` to results/demo and into the READMEs.

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
from reporting.tables import cells, to_markdown

RESULTS = ROOT / "results/demo"
RECIPE_README = ROOT / "recipes/PolSESS/separation/README.md"
FILES = (
    "test_summary.md",
    "test_summary.csv",
    "test_strata.md",
    "train_log.txt",
)
SHOWN = ["variant", "setting", "n", "si sdr mix", "si sdr", "si sdri"]
SHOWN += ["sdr", "pesq", "stoi", "estoi"]
SCORES = {"si_sdr": "SI-SDR", "si_sdri": "SI-SDRi", "sdr": "SDR"}
SCORES.update(pesq="PESQ", stoi="STOI")


def row_of_the_recipe(summary, machine):
    """Makes the demo's row in the form of SpeechBrain's tables of results.

    Arguments
    ---------
    summary : pd.DataFrame
        test_summary.csv.
    machine : str
        Hardware of the training.

    Returns
    -------
    str
        A Markdown table.
    """
    mean = summary[summary["variant"] == "macro mean"].iloc[0]
    row = {
        "Release": datetime.date.today().isoformat(),
        "hyperparams file": "convtasnet.yaml, as `make demo` calls it",
        "task": "ES",
        "test set": f"simulated, {mean['mixtures']:g} mixtures",
        **{
            name: f"{mean[f'{score}_mean']:.{3 if score == 'stoi' else 2}f}"
            for score, name in SCORES.items()
        },
        "Model link": "not uploaded",
        "GPUs": f"none ({machine})",
    }
    lines = (row, ["---"] * len(row), row.values())
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def epoch_seconds(log):
    """Averages the seconds that an epoch's training took.

    Arguments
    ---------
    log : str
        train_log.txt, whose numbers above 100 have an exponent.

    Returns
    -------
    float
        Seconds of waiting for data and of computing.

    Example
    -------
    >>> log = "epoch: 1 - train waiting_seconds: 2.00e-01, "
    >>> epoch_seconds(log + "train computing_seconds: 1.20e+02 - valid n: 3")
    120.2
    """
    number = r"[\d.]+(?:e[+-]\d+)?"
    found = re.findall(rf"train (?:waiting|computing)_seconds: ({number})", log)
    return sum(map(float, found)) / log.count("epoch: ")


def main(run, seconds_file):
    """Writes results/demo and the sections of both READMEs.

    Arguments
    ---------
    run : str
        Output folder of the demo's training.
    seconds_file : str
        File with the seconds that the demo took.
    """
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copy(pathlib.Path(run) / name, RESULTS / name)
    seconds = pathlib.Path(seconds_file).read_text(encoding="utf-8").strip()
    commit, machine = where()
    sentence = (
        f"`make demo` (task ES, seed 1234) at commit {commit}: {seconds} s "
        f"from its start, the packages installed, to the table, on {machine}.\n"
    )
    (RESULTS / "README.md").write_text(
        f"# Results of the demo\n\n{sentence}", encoding="utf-8"
    )
    summary = pd.read_csv(RESULTS / "test_summary.csv")
    summary = summary.fillna({"setting": ""})
    table = to_markdown(cells(summary, "mean")[SHOWN])
    replace_section("demo results", f"{table}\n{sentence}")
    machine = machine.split(", Linux")[0].removeprefix("cpu, ")
    replace_section(
        "demo row", row_of_the_recipe(summary, machine), RECIPE_README
    )
    log = (RESULTS / "train_log.txt").read_text(encoding="utf-8")
    replace_section(
        "demo time",
        f"An epoch of the demo, 1,000 crops of 2 s, takes "
        f"{epoch_seconds(log):.0f} s to train on {machine}, without a GPU.\n",
        RECIPE_README,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
