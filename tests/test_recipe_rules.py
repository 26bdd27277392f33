"""SpeechBrain's rules hold for the recipe, and each notices when it is broken."""

import os
import re
import shutil
import sys

import pytest
from recipe import ROOT

sys.path.append(str(ROOT / "tools"))

from recipe_docstrings import docstring_problems  # noqa: E402
from recipe_hygiene import hygiene_problems  # noqa: E402
from recipe_references import idle, missing, outward_links  # noqa: E402
from recipe_rules import (  # noqa: E402
    RECIPE,
    TABLE,
    files_of,
    rows_of,
    table_problems,
    yaml_problems,
)

from speechbrain.utils.run_opts import RunOptions  # noqa: E402

SEPARATION = f"{RECIPE}/separation"
YAML = f"{SEPARATION}/hparams/convtasnet.yaml"
RUN_OPTIONS = tuple(RunOptions().as_dict())


def hygiene(root):
    """Hygiene of all files of the recipe."""
    return hygiene_problems(root, files_of(root))


def links(root):
    """Links that lead out of the recipe."""
    return outward_links(root, files_of(root))


def keys(root):
    """Keys of YAMLs that are not used."""
    return yaml_problems(root, RUN_OPTIONS)


RULES = {
    "table": table_problems,
    "keys": keys,
    "docstrings": docstring_problems,
    "hygiene": hygiene,
    "missing": missing,
    "idle": idle,
    "links": links,
}


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """The recipe, its table and its samples in a folder of their own."""
    root = tmp_path_factory.mktemp("untouched")
    for name in files_of(ROOT):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, root / name, follow_symlinks=False)
    return root


@pytest.fixture
def copy(untouched, tmp_path):
    """A copy that a test may break."""
    return shutil.copytree(untouched, tmp_path / "copy", symlinks=True)


def edit(path, pattern, replacement):
    """Replaces the first match of a pattern in a file."""
    text = path.read_text(encoding="utf-8")
    text, count = re.subn(pattern, replacement, text, count=1, flags=re.M)
    assert count == 1, pattern
    path.write_text(text, encoding="utf-8", newline="")


@pytest.mark.parametrize("name", RULES)
def test_the_recipe_keeps_the_rule(name):
    assert RULES[name](ROOT) == []


EDITS = [
    # rule, file, what is replaced, by what, part of the complaint
    ("keys", YAML, r"\Z", "unused: 1\n", "nothing uses the key unused"),
    ("keys", YAML, r"^lr: .*", "lr: !PLACEHOLDER", "lr has no value"),
    ("table", TABLE, r",Script_file", ",Script", "its columns must be"),
    ("table", TABLE, r"^Separation", "", "Task is ''"),
    ("table", TABLE, r"prepare_polsess\.py", "gone.py", "no file"),
    ("table", TABLE, r"tests/samples/PolSESS", "tests/samples/No", "there is"),
    ("table", TABLE, r"file_exists=\[", "[", "expected file_exists"),
    ("table", TABLE, r",log\.txt", ", log.txt", "expected file_exists"),
    ("table", TABLE, r"performance_check", "check", "expected performance"),
    ("table", TABLE, r"^Separation,", "Separation ,", "Task is 'Separation '"),
    ("table", TABLE, r"convtasnet_small", "convtasnet", "listed twice"),
    (
        "docstrings",
        f"{SEPARATION}/losses.py",
        r'\A"""(.|\n)*?"""\n',
        "",
        "losses.py: no docstring that begins it",
    ),
    (
        "docstrings",
        f"{SEPARATION}/train.py",
        r'^    """Makes the datasets(.|\n)*?"""\n',
        "",
        "dataio_prep has no docstring",
    ),
    (
        "docstrings",
        f"{SEPARATION}/train.py",
        r"^    splits : tuple of str",
        "    split : tuple of str",
        "dataio_prep: the arguments are",
    ),
    (
        "docstrings",
        f"{SEPARATION}/train.py",
        r"^    Returns\n    -------",
        "    Gives\n    -----",
        "no section Returns",
    ),
    (
        "docstrings",
        f"{SEPARATION}/train.py",
        r"^    Arguments\n    ---------",
        "    Arguments\n    ---",
        "not underlined",
    ),
    (
        "docstrings",
        f"{SEPARATION}/audio.py",
        r"\Z",
        '\n\ndef outer():\n    """Holds another."""\n'
        "    def inner():\n        pass\n",
        "inner has no docstring",
    ),
    ("hygiene", YAML, r"$", " ", "ends with blanks"),
    ("hygiene", YAML, r"\n\Z", "", "does not end with a new line"),
    ("hygiene", YAML, r"\Z", "\n\n", "ends with empty lines"),
    ("hygiene", YAML, r"\n", "\r\n", "line ends of several kinds"),
    (
        "hygiene",
        f"{RECIPE}/extra_requirements.txt",
        r"\Z",
        "aaa>=1\n",
        "is not sorted",
    ),
    ("hygiene", YAML, r"\Z", "# " + "x" * 1024**2 + "\n", "1024 are allowed"),
    ("links", f"{SEPARATION}/README.md", r"\Z", "[a](../../../a.md)", "a.md"),
    ("links", f"{RECIPE}/README.md", r"\Z", "`make demo`", "make demo"),
    ("missing", f"{RECIPE}/README.md", r"\Z", "`gone.py`", "gone.py"),
    ("missing", f"{SEPARATION}/losses.py", r"\Z", "import gone", "gone.py"),
]


@pytest.mark.parametrize("rule, name, pattern, replacement, complaint", EDITS)
def test_a_broken_rule_is_noticed(
    copy, rule, name, pattern, replacement, complaint
):
    edit(copy / name, pattern, replacement)
    assert complaint in "\n".join(RULES[rule](copy))


def test_a_configuration_without_a_row_is_noticed(copy):
    shutil.copy(copy / YAML, copy / SEPARATION / "hparams/unlisted.yaml")
    assert "unlisted.yaml has no row" in "\n".join(table_problems(copy))


@pytest.mark.parametrize("target", ["/absolute", "nothing.py"])
def test_a_broken_link_is_noticed(copy, target):
    (copy / SEPARATION / "link.py").symlink_to(target)
    assert "link.py: is a" in "\n".join(hygiene(copy))


def test_a_file_that_nothing_names_is_noticed(copy):
    (copy / SEPARATION / "leftover.py").write_text('"""Of old."""\n')
    assert idle(copy) == [f"{SEPARATION}/leftover.py is named nowhere"]


def test_a_name_that_gitignore_swallows_is_noticed(copy):
    path = copy / RECIPE / "results/table.csv"
    path.parent.mkdir()
    path.write_text("a\n")
    assert "leaves out" in "\n".join(hygiene(copy))


def test_the_loss_of_any_file_is_noticed(copy):
    assert missing(copy) + table_problems(copy) == []
    unnoticed = []
    for name in files_of(copy):
        if not name.startswith(RECIPE):
            continue
        path = copy / name
        path.rename(copy / "aside")
        try:
            lost = not (missing(copy) or table_problems(copy))
            unnoticed += [name] if lost else []
        finally:
            os.rename(copy / "aside", path)
    assert len(files_of(copy)) > 100 and unnoticed == []


def test_every_row_states_what_it_leaves_behind():
    for row in rows_of(ROOT):
        for name in ("test_scores.csv", "test_summary.csv", "log.txt"):
            assert name in row["test_debug_checks"], row["Hparam_file"]
