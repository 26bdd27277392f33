"""Runs the cases of faults and writes down which promises it kept.

A test is marked with the promise that it shows; a negative control shows that
the tests of a promise would fail if it were broken.

> python tools/fault_table.py results/faults

A part of it can be run again; the other cases stay as they are:
> python tools/fault_table.py results/faults tests/faults/test_soak.py

Authors
 * The PolSESS recipe team 2026
"""

import pathlib
import runpy
import sys

import pandas as pd
import pytest
from readme_section import ROOT, replace_section, where

OPTIONS = "-q -m promise --nightly -n auto --dist worksteal".split()
COLUMNS = ["promise", "control", "test", "outcome", "seconds", "commit"]


class Outcomes:
    """A plugin of pytest that keeps the outcome of each test of a promise."""

    def __init__(self, commit):
        self.commit = commit
        self.rows = {}
        self.lost = []  # of processes that died

    def pytest_runtest_logreport(self, report):
        """Keeps the worst outcome of setting up, running, tearing down.

        Arguments
        ---------
        report : pytest.TestReport
            Of one of the three; tests/conftest.py put the promises into it.
        """
        if not report.user_properties:
            self.lost.append(report.nodeid)
        for _, (promise, control) in report.user_properties:
            row = self.rows.setdefault(
                (promise, report.nodeid),
                [promise, control, report.nodeid, "passed", 0.0, self.commit],
            )
            if report.outcome != "passed":
                row[3] = report.outcome
            row[4] += report.duration


def promises():
    """All promises, in order."""
    found = runpy.run_path(str(ROOT / "tests/support/promises.py"))
    return [text for name, text in found.items() if name.isupper()]


def sentence_on(cases, machine):
    """How many cases of what, on what."""
    tests = cases.drop_duplicates("test")
    commits = ", ".join(
        f"{commit} ({len(rows)} cases)"
        for commit, rows in tests.groupby("commit")
    )
    return (
        f"`make faults` (`tools/fault_table.py`) at commit {commits}: "
        f"{tests['seconds'].sum() / 60:.0f} minutes of one core on {machine}; "
        "each case is in `results/faults/cases.csv`.\n"
    )


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
    order = {text: place for place, text in enumerate(promises())}
    cases = cases.sort_values("promise", key=lambda texts: texts.map(order))
    lines = [
        "| Promise | Cases that kept it | Negative controls that saw it broken |",
        "| --- | --- | --- |",
    ]
    for promise, rows in cases.groupby("promise", sort=False):
        control = rows["control"]
        counts = [count(rows[~control]), count(rows[control])]
        lines.append(f"| {promise} | {' | '.join(counts)} |")
    return "\n".join(lines) + "\n"


def main(output_folder, *selection):
    """Runs the matrix; writes README.md, cases.csv and the README's table.

    Arguments
    ---------
    output_folder : str
        For the figures.
    *selection : str
        Files of tests; without any, all of them.

    Returns
    -------
    int
        The exit code of pytest; nothing is written if tests were lost.
    """
    commit, machine = where()
    outcomes = Outcomes(commit)
    code = pytest.main(
        [*OPTIONS, *(selection or [str(ROOT / "tests")])], [outcomes]
    )
    if outcomes.lost or code not in (0, 1):
        print(f"nothing is written; lost: {outcomes.lost}")
        return code or 1
    cases = pd.DataFrame(outcomes.rows.values(), columns=COLUMNS)
    output = pathlib.Path(output_folder)
    output.mkdir(parents=True, exist_ok=True)
    if selection:
        others = pd.read_csv(output / "cases.csv")
        others = others[~others["test"].isin(cases["test"])]
        cases = pd.concat([others, cases])
    cases = cases.sort_values(["test", "promise"], ignore_index=True)
    cases.round({"seconds": 1}).to_csv(output / "cases.csv", index=False)
    table = f"{to_markdown(cases)}\n{sentence_on(cases, machine)}"
    text = f"# Faults: which promises were kept\n\n{table}"
    (output / "README.md").write_text(text, encoding="utf-8")
    replace_section("faults", table)
    print(table)
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
