"""The notes for SpeechBrain show what they say, with the installed version."""

import os
import re
import subprocess
import sys

import pytest
from recipe import ROOT

NOTES = ROOT / "results/upstream-notes"
SCRIPTS = sorted(path.name for path in NOTES.glob("*.py"))


def shown():
    """Name of a script -> its output in the README."""
    text = (NOTES / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```\n\$ python (\S+)\n(.*?)```", text, re.S)
    return dict(blocks)


def test_every_script_is_in_the_readme():
    assert len(SCRIPTS) >= 2 and set(shown()) == set(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_show_the_defect_and_print_what_the_readme_says(name):
    done = subprocess.run(
        [sys.executable, NOTES / name],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=120,
        check=False,
    )
    # Where a SpeechBrain has mended one, what works round it here can go.
    assert done.returncode == 1, done.stderr[-2000:]
    assert done.stdout == shown()[name]
