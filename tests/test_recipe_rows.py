"""The rows of tests/recipes/PolSESS.csv, as SpeechBrain runs them, and controls.

SpeechBrain starts each row from the root of the repository, with the folder of the
script as PYTHONPATH, and looks into its output folder afterwards.
"""

import os
import re
import subprocess
import sys

import pytest
from recipe import ROOT

sys.path.append(str(ROOT / "tools"))

from recipe_rules import rows_of  # noqa: E402

pytestmark = pytest.mark.slow
ROWS = {os.path.basename(row["Hparam_file"]): row for row in rows_of(ROOT)}


def run_row(row, output_folder, *options):
    """Runs the command of a row, with some of its flags replaced."""
    given = {option.split("=")[0] for option in options}
    flags = row["test_debug_flags"].split()
    flags = [flag for flag in flags if flag.split("=")[0] not in given]
    done = subprocess.run(
        [
            sys.executable,
            row["Script_file"],
            row["Hparam_file"],
            *flags,
            "--device=cpu",
            f"--output_folder={output_folder}",
            *options,
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT / os.path.dirname(row["Script_file"])),
            "XDG_CACHE_HOME": str(output_folder / "cache"),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]


def performance(row, output_folder):
    """The number that is checked, and the least that is asked for."""
    file, name, least, epoch = re.search(
        r"performance_check=\[(.*?), (.*?), >=(.*?), (.*?)\]",
        row["test_debug_checks"],
    ).groups()
    lines = (output_folder / file).read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if f"{epoch}," in line]
    # As SpeechBrain reads it: a number without a point is not found.
    number = re.search(rf"{re.escape(name)}\s*:\s*([-+]?\d*\.\d+)", line)
    return float(number[1]), float(least)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_leaves_what_it_promises(name, tmp_path):
    row = ROWS[name]
    run_row(row, tmp_path)
    files = re.search(r"file_exists=\[(.*?)\]", row["test_debug_checks"])[1]
    missing = [f for f in files.split(",") if not (tmp_path / f).exists()]
    assert missing == []
    if "performance_check" in row["test_debug_checks"]:
        reached, least = performance(row, tmp_path)
        assert reached >= least


@pytest.mark.parametrize("options", [["--lr=0.0"]], ids=["untrained"])
def test_a_model_that_does_not_learn_fails(options, tmp_path):
    row = ROWS["convtasnet_small.yaml"]
    run_row(row, tmp_path, *options)
    reached, least = performance(row, tmp_path)
    assert reached < least - 1
