"""`make upstream` on a small stand-in for a SpeechBrain checkout."""

import subprocess
import sys

import pytest
from recipe import ROOT

sys.path.append(str(ROOT / "tools"))

import upstream  # noqa: E402
from upstream_checks import Bench, consistency_calls  # noqa: E402
from upstream_copy import (  # noqa: E402
    LINK,
    commit,
    files_to_give,
    git,
    lay_over,
    make_copy,
    write_patch,
)
from upstream_style import style_checks  # noqa: E402
from upstream_text import pull_request  # noqa: E402

FILES = {
    "README.md": "| Speech Separation      | [A](recipes/A) | [B](b) |\n",
    ".gitignore": "swallowed/\n",
    "pyproject.toml": (ROOT / "pyproject.toml").read_text(encoding="utf-8"),
    ".dict-speechbrain.txt": "bitte\n",
    ".pre-commit-config.yaml": (
        "repos:\n  - repo: https://github.com/astral-sh/ruff-pre-commit\n"
        "    rev: v0.12.4\n"
    ),
    "speechbrain/__init__.py": "",
    "tests/__init__.py": "",
    "tests/consistency/__init__.py": "",
    "tests/consistency/test_recipe.py": (
        "def test_recipe_list(recipe_folder):\n"
        "    print('\\tERROR: not listed')\n    assert False\n\n\n"
        "def test_recipe_files(recipe_folder):\n    assert True\n\n\n"
        "def test_mandatory_files(recipe_folder):\n    return False\n"
    ),
}
MISSPELT = "reci" + "eve"
TEMPLATE = """\
## What does this PR do?

<!--
Please include a summary.
-->

Fixes #<issue_number>

<!-- Does your PR introduce any breaking changes? -->

- [ ] Did you read the [contributor guideline](x)?
- [ ] Did you make sure your **PR does only one thing**, and no more?
- [ ] Did you verify new and **existing [tests](x) pass** locally?
"""


@pytest.fixture
def checkout(tmp_path):
    """A git checkout with a file that is not committed."""
    root = tmp_path / "checkout"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    git(tmp_path, "init", "-q", root)
    git(root, "add", "-A")
    author = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    git(root, *author, "commit", "-q", "-m", "all of it")
    (root / "README.md").write_text("changed, and not committed\n")
    return root


@pytest.fixture
def copy(checkout, tmp_path):
    """A copy with the recipe laid over."""
    copy = tmp_path / "work/speechbrain"
    copy.parent.mkdir()
    make_copy(checkout, copy)
    assert lay_over(ROOT, copy, files_to_give(ROOT)) == []
    return copy


def test_the_patch_holds_the_recipe_and_the_checkout_stays(
    checkout, copy, tmp_path
):
    before = git(checkout, "rev-parse", "HEAD"), git(checkout, "status", "-s")
    files = files_to_give(ROOT)
    assert commit(copy, ROOT, files) == []
    patch = tmp_path / "it.patch"
    assert write_patch(copy, patch) == []
    after = git(checkout, "rev-parse", "HEAD"), git(checkout, "status", "-s")
    assert before == after and "changed" in (checkout / "README.md").read_text()
    named = git(copy, "show", "--name-only", "--format=", "HEAD").split("\n")
    assert sorted(named) == sorted([*files, "README.md"])
    outside = [n for n in named if not n.startswith("recipes/PolSESS/")]
    assert all(
        name == "README.md"
        or name == "tests/recipes/PolSESS.csv"
        or name.startswith("tests/samples/PolSESS")
        for name in outside
    )
    assert (copy / "README.md").read_text() == (
        f"| Speech Separation      | [A](recipes/A), {LINK} | [B](b) |\n"
    )


def test_a_patch_that_gives_other_files_is_noticed(copy, tmp_path):
    commit(copy, ROOT, files_to_give(ROOT))
    (copy / ".gitattributes").write_text("*.wav -diff\n")
    patch = tmp_path / "it.patch"
    assert write_patch(copy, patch) == []
    (copy / "README.md").write_text("no row\n")
    problems = lay_over(ROOT, copy, ["recipes/PolSESS/gone.py"])
    assert problems == [
        "recipes/PolSESS/gone.py is tracked, but not there",
        "README.md has no row Speech Separation for the link",
    ]


def test_files_that_upstream_ignores_are_named(copy):
    (copy / "recipes/PolSESS/swallowed").mkdir()
    name = "recipes/PolSESS/swallowed/a.py"
    (copy / name).write_text("")
    problems = commit(copy, ROOT, [*files_to_give(ROOT), name])
    assert problems == [f"{name} is ignored by SpeechBrain's .gitignore"]


def test_calls_tell_what_was_complained_of(copy):
    bench = Bench(copy, "copy")
    found = bench.call(consistency_calls(bench.only))
    assert found["list of recipes"] == ["ERROR: not listed"]
    assert found["files of the list"] == []
    assert "returned False" in found["mandatory fields"][0]
    # What a checkout lacks fails, rather than to pass without a word.
    assert "has no attribute" in found["links of the README"][0]
    assert "No module named" in found["YAMLs load"][0]


@pytest.mark.parametrize("library", ["copy", "installed"])
def test_the_speechbrain_that_was_asked_for_is_imported(copy, library):
    bench = Bench(copy, library)
    code = "import speechbrain; print(speechbrain.__file__)"
    # As SpeechBrain starts a row: with a PYTHONPATH of its own.
    (copy.parent / "script.py").write_text(code + "\n")
    shown = bench.run(["sh", "-c", "PYTHONPATH=a python ../script.py"])
    is_copy = str(copy) in shown.stdout
    assert is_copy == (library == "copy"), shown.stdout + shown.stderr
    assert str(copy) in bench.call([])["speechbrain"] or not is_copy


def test_checks_of_style_use_the_configuration_of_the_copy(copy):
    name = "recipes/PolSESS/separation/losses.py"
    checks = dict(style_checks(copy, [name]))
    assert all(check() == [] for check in checks.values())
    with open(copy / name, "a") as file:
        file.write(f"import os # {MISSPELT} bitte\n")
    assert "F401" in "".join(checks["ruff check"]())
    assert name in "".join(checks["ruff format"]())
    complaints = "".join(checks["codespell"]())
    assert MISSPELT in complaints and "bitte" not in complaints
    path = copy / ".pre-commit-config.yaml"
    path.write_text(path.read_text().replace("v0.12.4", "v0.99.0"))
    assert "pins 0.99.0" in checks["versions of the linters"]()[0]


def outcomes(**changed):
    """Names and outcomes of some checks."""
    found = {"files": [], "READMEs": [], "list of recipes": [], **changed}
    return list(found.items())


def test_only_boxes_with_evidence_are_ticked():
    text = pull_request(TEMPLATE, ROOT, outcomes(), "Here.")
    assert "- [ ] Did you read" in text
    assert text.count("- [x]") == 2
    assert "Please include" not in text and "issue_number" not in text
    summary = (ROOT / "results/demo/test_summary.csv").read_text()
    assert "| macro mean | 209 | 2.84 | 8.54 | 5.71 |" in text
    assert "macro mean,,209,60,0,8.544148" in summary
    for results in (outcomes(row=None), outcomes(row=["broken | at 3"])):
        text = pull_request(TEMPLATE, ROOT, results, "Here.")
        assert "- [ ] Did you verify" in text
    assert "| row | FAILED: broken / at 3 |" in text


def test_a_check_that_raises_counts_as_failed(capsys):
    results = upstream.Results()
    results.add("good", [])
    results.add("left out", None)
    results.add("raises", lambda: 1 / 0)
    assert results.failed == ["raises"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "passed   good" and lines[1] == "not run  left out"
    assert lines[2].startswith("FAILED   raises: ZeroDivisionError")


def test_the_command_says_what_it_needs():
    command = [sys.executable, ROOT / "tools/upstream.py", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--rows" in shown.stdout and "--library" in shown.stdout
