"""The upstream tree: its derivation, the patch, and that it runs."""

import csv
import os
import re
import shutil
import subprocess
import sys

import pytest
from recipe import ROOT

sys.path.append(str(ROOT / "tools"))

from upstream import (  # noqa: E402
    Checks,
    git,
    lay_over,
    logged_epochs,
    pull_request,
    row_command,
    write_patch,
)
from upstream_tree import (  # noqa: E402
    REQUIREMENTS,
    SEPARATION,
    TABLE,
    TIER_1,
    build_tree,
    derive,
    imported,
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The derived files."""
    folder = tmp_path_factory.mktemp("upstream") / "tree"
    build_tree(ROOT, folder)
    return folder


@pytest.mark.parametrize(
    "text, expected",
    [
        (
            "a: 1\n\n# local: begin (why)\nb: 2\n# local: end\n\nc: 3\n",
            "a: 1\n\nc: 3\n",
        ),
        (
            "x:\n    - 1\n    # local: begin\n    - 2\n    # local: end\n",
            "x:\n    - 1\n",
        ),
        (
            "# A\n\n<!-- local: begin -->\nB\n<!-- local: end -->\n\nC\n",
            "# A\n\nC\n",
        ),
        ("a: !new:b.C # upstream: d.e.F\n", "a: !new:d.e.F\n"),
        ("- !name:b.c # upstream: d.e\n", "- !name:d.e\n"),
        ("a: !apply:b.c [1] # upstream: d.e\n", "a: !apply:d.e [1]\n"),
        ("a: !apply:b.c [] # upstream: fp32\n", "a: fp32\n"),
        ("a: !new:b.C # as upstream\n", "a: !new:b.C # as upstream\n"),
        ("# local: file\na: 1\n", None),
    ],
)
def test_derivation(text, expected):
    assert derive(text, "a.yaml") == expected


@pytest.mark.parametrize(
    "text, place",
    [
        ("a: 1\n# local: begin\nb: 2\n", "a.yaml:2"),
        ("a: 1\n# local: end\n", "a.yaml:2"),
        ("# local: begin\n# local: begin\n# local: end\n", "a.yaml:2"),
        ("a: 1\n# local: file\n", "a.yaml:2"),
    ],
)
def test_unbalanced_markers_are_named(text, place):
    with pytest.raises(ValueError, match=place):
        derive(text, "a.yaml")


def test_derived_code_needs_speechbrain_and_the_requirements_alone(tree):
    ours = {os.path.basename(name)[:-3] for name in TIER_1}
    given = {"speechbrain", "hyperpyyaml", "torch", "numpy", "joblib", "tqdm"}
    lines = (tree / REQUIREMENTS).read_text().splitlines()
    given |= {re.match(r"\w+", line)[0] for line in lines}
    for name in TIER_1:
        modules = imported((tree / name).read_text(encoding="utf-8"))
        assert modules - ours - given <= sys.stdlib_module_names, name


def test_derived_yaml_names_no_room(tree):
    rooms = {
        path.parent.name for path in (ROOT / SEPARATION).glob("*/__init__.py")
    }
    assert "reliability" in rooms
    for path in (tree / SEPARATION / "hparams").glob("*.yaml"):
        used = re.findall(r"!\w+:(\w+)\.", path.read_text(encoding="utf-8"))
        assert used and not set(used) & rooms


def test_derived_samples_are_small_and_complete(tree):
    files = [p for p in (tree / "tests/samples").rglob("*") if p.is_file()]
    assert 0 < sum(path.stat().st_size for path in files) <= 2**20
    names = {path.name for path in files if path.suffix == ".wav"}
    named = set()
    for path in (tree / "tests/samples").rglob("corpus_*.csv"):
        with open(path, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                for column, cell in row.items():
                    if re.match(r"\w+File$|reverbFor", column):
                        named |= {cell} - {"", "NaN"}
    assert named == names


@pytest.fixture
def checkout(tmp_path):
    """A git repository that has of SpeechBrain what the patch touches."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "README.md").write_text("| Speech Separation | [A](a) | B |\n")
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, *identity, "commit", "-q", "-m", "a")
    return folder


def test_the_patch_applies_and_gives_the_tree(tree, checkout, tmp_path):
    lay_over(checkout, tree, tmp_path / "clone")
    write_patch(tmp_path / "clone", tmp_path / "polsess.patch")
    assert git(checkout, "status", "--short") == ""
    git(checkout, "apply", tmp_path / "polsess.patch")
    link = "| Speech Separation | [A](a), [PolSESS](recipes/PolSESS) | B |\n"
    assert (checkout / "README.md").read_text() == link
    for name in (TABLE, f"{SEPARATION}/prepare_polsess.py"):
        assert (checkout / name).read_bytes() == (tree / name).read_bytes()
    assert (checkout / f"{SEPARATION}/prepare_polsess.py").is_symlink()


def test_a_readme_without_the_row_is_an_error(tree, checkout, tmp_path):
    (checkout / "README.md").write_text("| Speech Enhancement | A | B |\n")
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    git(checkout, *identity, "commit", "-q", "-a", "-m", "b")
    with pytest.raises(ValueError, match="Speech Separation"):
        lay_over(checkout, tree, tmp_path / "clone")


@pytest.mark.parametrize(
    "library",
    ["copy", pytest.param("installed", marks=pytest.mark.nightly)],
)
def test_checks_import_the_chosen_speechbrain(
    tree, checkout, tmp_path, library, capsys
):
    (checkout / "speechbrain").mkdir()
    (checkout / "speechbrain/__init__.py").write_text("print('a copy')\n")
    (checkout / "tests").mkdir()
    (checkout / "tests/one.py").write_text(
        "def is_false():\n    return False\n"
    )
    shutil.copytree(checkout, tmp_path / "clone")
    shutil.copytree(tree, tmp_path / "clone", dirs_exist_ok=True, symlinks=True)
    checks = Checks(tmp_path / "clone", tmp_path / "logs", library)
    checks.run_test("no", "tests.one", "is_false()")
    checks.run_test("yes", "tests.one", "is_false() in (False, True)")
    checks.run(
        "script",
        ["python", "-c", "import sys; sys.path.pop(0); import speechbrain"],
    )
    assert checks.results == {"no": "FAIL", "yes": "PASS", "script": "PASS"}
    for name in ("yes", "script"):
        log = (tmp_path / f"logs/{name}.log").read_text()
        assert ("a copy" in log) == (library == "copy")
    assert f"FAIL no: AssertionError [{tmp_path}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "end, ticks", [("PASS", 2), ("NOT RUN", 1), ("FAIL", 1)]
)
def test_boxes_are_ticked_on_evidence(end, ticks):
    template = (
        "<!-- say -->\n- [ ] Did you read it?\n- [ ] It does only one thing\n"
        "- [ ] They **pass** locally\n"
    )
    results = {"ruff": "PASS", "row": end}
    text = pull_request(template, results, lines=1900, where="Here")
    assert text.count("- [x]") == ticks and "- [ ] Did you read" in text
    assert f"| row | {end} |" in text and "1900 lines" in text
    assert "@" not in text and "macro mean |" in text


@pytest.mark.nightly
def test_the_derived_recipe_trains_resumes_and_tests(tree, tmp_path):
    output = tmp_path / "run"
    environment = {**os.environ, "PYTHONPATH": "", "OMP_NUM_THREADS": "1"}
    for epochs in (2, 3):
        done = subprocess.run(
            [sys.executable, *row_command(tree, output, epochs)],
            cwd=tree,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert logged_epochs(output) == list(range(1, epochs + 1))
        for name in ("test_scores.csv", "test_summary.csv"):
            assert (output / name).stat().st_size > 100
            (output / name).unlink()
