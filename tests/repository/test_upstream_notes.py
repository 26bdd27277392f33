"""The notes for SpeechBrain show what they say, with the installed version."""

import re

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
def test_scripts_show_the_defect_and_print_what_the_readme_says(
    server, tmp_path, name
):
    ended = server.call(tmp_path, NOTES / name)
    # Where a SpeechBrain has mended one, what works round it here can go.
    assert ended.code == 1 and ended.output.endswith(shown()[name])
