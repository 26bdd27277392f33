"""Runs the complete matrix of faults and writes down which promises it kept.

A test is marked with the promise that it shows; a negative control shows that
the tests of a promise would fail if it were broken.

> python tools/fault_table.py results/faults

Authors
 * The PolSESS recipe team 2026
"""

import pathlib
import sys
import time

import pandas as pd
import pytest
from readme_section import ROOT, replace_section, where

# Files at the same time, as many as there are cores.
OPTIONS = "-q -m promise --matrix -n auto --dist loadfile".split()
COLUMNS = ["promise", "control", "test", "outcome", "seconds"]


class Outcomes:
    """A plugin of pytest that keeps the outcome of each test of a promise."""

    def __init__(self):
        self.rows = {}

    def pytest_runtest_logreport(self, report):
        """Keeps the worst outcome of setting up, running, tearing down.

        Arguments
        ---------
        report : pytest.TestReport
            Of one of the three; tests/conftest.py put the promises into it.
        """
        for _, (promise, control) in report.user_properties:
            row = self.rows.setdefault(
                (promise, report.nodeid),
                [promise, control, report.nodeid, "passed", 0.0],
            )
            if report.outcome != "passed":
                row[3] = report.outcome
            row[4] += report.duration


def count(rows):
    """How many passed, as text; skipped ones are told."""
    if not len(rows):
        return "–"
    passed = (rows["outcome"] == "passed").sum()
    skipped = (rows["outcome"] == "skipped").sum()
    text = f"{passed} of {len(rows)}"
    return f"{text} ({skipped} could not run here)" if skipped else text


def to_markdown(cases):
    """The table, promise by promise."""
    lines = [
        "| Promise | Cases that kept it | Negative controls that saw it broken |",
        "| --- | --- | --- |",
    ]
    for promise, rows in cases.groupby("promise", sort=False):
        control = rows["control"]
        counts = [count(rows[~control]), count(rows[control])]
        lines.append(f"| {promise} | {' | '.join(counts)} |")
    return "\n".join(lines) + "\n"


def main(output_folder):
    """Runs the matrix; writes README.md, cases.csv and the README's table.

    Arguments
    ---------
    output_folder : str
        For the figures.

    Returns
    -------
    int
        The exit code of pytest.
    """
    commit, machine = where()
    outcomes, start = Outcomes(), time.time()
    code = pytest.main([*OPTIONS, str(ROOT / "tests")], [outcomes])
    cases = pd.DataFrame(outcomes.rows.values(), columns=COLUMNS)
    cases = cases.sort_values("test", ignore_index=True)
    minutes = (time.time() - start) / 60
    sentence = (
        f"`make faults` (`tools/fault_table.py`) at commit {commit}: "
        f"{cases['test'].nunique()} cases in {minutes:.0f} minutes on {machine}.\n"
    )
    table = f"{to_markdown(cases)}\n{sentence}"
    output = pathlib.Path(output_folder)
    output.mkdir(parents=True, exist_ok=True)
    cases["seconds"] = cases["seconds"].round(1)
    cases.to_csv(output / "cases.csv", index=False)
    text = f"# Faults: which promises were kept\n\n{table}"
    (output / "README.md").write_text(text, encoding="utf-8")
    replace_section("faults", table)
    print(table)
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
