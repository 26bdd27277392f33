"""Injects deliberate faults, one at a time, and writes down which test catches each.

Each fault of tests/mutations.yaml names a file, what goes wrong, a text that occurs
in the file once, its replacement, and the tests that have to fail. It is put into a
copy of the last commit; the checkout is not changed.

> python tools/mutations.py results/mutations

Some of them alone, by a part of what goes wrong or of the file:
> python tools/mutations.py results/mutations variants.py

Authors
 * The PolSESS recipe team 2026
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import yaml
from readme_section import ROOT, where

FAULTS = ROOT / "tests/mutations.yaml"
COLUMNS = ["file", "what", "tests", "caught by"]
TEXT = """# Deliberate faults, and what caught them

`make mutations` (`tools/mutations.py`) at commit {commit}, {machine}: {caught} of
{count} faults, injected one at a time, were caught by the tests of `make test`.

{table}"""


def find_catcher(fault, copy):
    """Runs the tests of a fault in a copy that has it.

    Arguments
    ---------
    fault : dict
        See the module.
    copy : pathlib.Path
        A copy of the repository, whole again afterwards.

    Returns
    -------
    str
        The first test that failed; "" if none did.
    """
    path = copy / fault["file"]
    text = path.read_text(encoding="utf-8")
    if text.count(fault["old"]) != 1:
        found = text.count(fault["old"])
        raise ValueError(
            f"{fault['file']}: expected once, found {found} times: {fault['old']}"
        )
    path.write_text(text.replace(fault["old"], fault["new"]), encoding="utf-8")
    options = ["-x", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *fault["tests"].split()],
        cwd=copy,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    path.write_text(text, encoding="utf-8")
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.M)
    if done.returncode not in (0, 1, 2) or bool(failed) != (
        done.returncode > 0
    ):
        raise RuntimeError(f"{fault['what']}:\n{done.stdout[-2000:]}")
    return failed[1] if failed else ""


def main(output_folder, part=""):
    """Tries the faults; writes README.md and cases.csv.

    Arguments
    ---------
    output_folder : str
        For the list.
    part : str
        Only faults in whose file or description it occurs; nothing is written.

    Returns
    -------
    int
        How many were not caught.
    """
    faults = yaml.safe_load(FAULTS.read_text(encoding="utf-8"))
    faults = [f for f in faults if part in f["file"] or part in f["what"]]
    commit, machine = where()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        copies = [pathlib.Path(folder) / str(n) for n in range(os.cpu_count())]
        for copy in copies:
            command = ["git", "clone", "-q", "--shared", ROOT, copy]
            subprocess.run(command, check=True)

        def try_faults(number):
            """Takes the share of one copy."""
            for fault in faults[number :: len(copies)]:
                caught_by = find_catcher(fault, copies[number])
                print(
                    f"{fault['what']}: {caught_by or 'NOT CAUGHT'}", flush=True
                )
                rows.append({**fault, "caught by": caught_by})

        with ThreadPoolExecutor(len(copies)) as pool:
            list(pool.map(try_faults, range(len(copies))))
    cases = pd.DataFrame(rows).reindex(columns=COLUMNS)
    cases = cases.sort_values(["file", "what"], ignore_index=True)
    is_caught = cases["caught by"] != ""
    if not part:
        output = pathlib.Path(output_folder)
        output.mkdir(parents=True, exist_ok=True)
        cases.to_csv(output / "cases.csv", index=False)
        lines = ["| Room | Fault | Caught by |", "| --- | --- | --- |"]
        for row in cases.to_dict("records"):
            room = row["file"].removeprefix("recipes/PolSESS/")
            test = row["caught by"] or "**nothing**"
            lines.append(f"| `{room}` | {row['what']} | `{test}` |")
        text = TEXT.format(
            commit=commit,
            machine=machine,
            caught=is_caught.sum(),
            count=len(cases),
            table="\n".join(lines) + "\n",
        )
        (output / "README.md").write_text(text, encoding="utf-8")
    return int((~is_caught).sum())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
