"""The documents name what exists; imports follow the architecture."""

import re
import sys

import pytest
from recipe import HPARAMS, ROOT, SEPARATION, committed

sys.path.append(str(ROOT / "tools"))

from upstream_tree import TIER_1, imported  # noqa: E402

READMES = [
    ROOT / "README.md",
    ROOT / "recipes/PolSESS/README.md",
    SEPARATION / "README.md",
]
RECIPE = SEPARATION.parent
# No room may import the training.
TIER_1_NAMES = {name.rpartition("/")[2][:-3] for name in TIER_1} - {"train"}
# The reader of recordings, beside the preparation; it imports nothing of ours.
READER = "recordings"
# Room -> what it may import of ours.
ROOMS = {
    "runs": TIER_1_NAMES,
    "checkpoints": {"runs"} | TIER_1_NAMES,
    "reliability": {"runs", "checkpoints"} | TIER_1_NAMES,
    "inference": {"runs", "checkpoints", "networks", READER} | TIER_1_NAMES,
    "streaming": {"inference", "networks"} | TIER_1_NAMES,
    "reporting": {"inference", "runs", "checkpoints"} | TIER_1_NAMES,
    "exporting": {"reporting", "inference", "runs", "checkpoints"}
    | TIER_1_NAMES,
    "augmentation": TIER_1_NAMES,
    "tuning": {"reporting", "reliability", "runs", "paths"},
    "fast": {"networks"},  # checks of sizes
    "optimization": {"runs", "checkpoints"} | TIER_1_NAMES,
    # Its registry names classes, fast ones too, and imports what a run needs.
    "networks": set(),
    "audit": {"prepare_polsess", READER},
    "official": {"paths"},
    "simulate": {"prepare_polsess", "official", "paths", READER},
    "sources": {"simulate", "paths", READER},
}
COMMANDS = {
    "separate_file": "inference",
    "export": "exporting",
    "report": "reporting",
    "tune": "tuning",
}


@pytest.mark.parametrize(
    "path", READMES, ids=lambda path: str(path.relative_to(ROOT))
)
def test_links_of_readmes_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text)
    files = [link for link in links if not link.startswith("http")]
    missing = [link for link in files if not (path.parent / link).exists()]
    assert links and not missing


def test_paths_in_the_map_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    tree, table = text.split("## Map")[1].split("\n## ")[0].split("```")[1:]
    names = re.findall(r"^(?:[├└]─ )?([\w./-]+)", tree, re.M)
    names += re.findall(r"^\| `([^`]+)`", table, re.M)
    assert len(names) > 10
    missing = [
        x for x in names if not any((y / x).exists() for y in (ROOT, RECIPE))
    ]
    assert not missing


def test_the_demo_sets_keys_of_the_yaml():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    flags = re.search(r"DEMO_FLAGS := (.*?)\n(?!\t)", text, re.S)[1]
    yaml = (HPARAMS / "convtasnet.yaml").read_text(encoding="utf-8")
    set_there = set(re.findall(r"--(\w+)=", flags))
    assert "N" in set_there
    assert set_there <= set(re.findall(r"^(\w+):", yaml, re.M))


def test_no_file_names_a_path_of_a_machine():
    homes = re.compile(r"(?<![\w.])/(?:home|root|Users|work)/\w")
    for path in committed(ROOT, "**"):
        if path.suffix in (".wav", ".ckpt", ".png") or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        assert not homes.search(text), path


def imports_of(folder):
    """Modules that the files of a folder import."""
    files = committed(folder, "**/*.py")
    assert files, folder
    texts = (path.read_text(encoding="utf-8") for path in files)
    return set().union(*map(imported, texts))


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_in_one_direction(room):
    of_the_corpus = ("audit", "official", "simulate", "sources")
    parent = RECIPE if room in of_the_corpus else SEPARATION
    ours = set(ROOMS) | TIER_1_NAMES | set(COMMANDS) | {READER}
    assert imports_of(parent / room) & ours <= ROOMS[room] | {room}


def test_tier_1_imports_no_room():
    for name in TIER_1:
        modules = imported((ROOT / name).read_text(encoding="utf-8"))
        assert not modules & (set(ROOMS) | set(COMMANDS) | {READER}), name


def test_commands_are_the_only_other_files_beside_tier_1():
    files = {path.stem: path for path in committed(SEPARATION, "*.py")}
    links = {name for name, path in files.items() if path.is_symlink()}
    top = TIER_1_NAMES | {"train"} | set(COMMANDS)
    assert set(files) - links == top - links
    for name, room in COMMANDS.items():
        text = files[name].read_text(encoding="utf-8")
        assert room in imported(text) and len(text.splitlines()) <= 120, name


@pytest.mark.parametrize(
    "title",
    [
        "Installing extra dependencies",
        "Data",
        "How to run",
        "How to run on test sets only",
        "Results",
        "Training time",
        "About SpeechBrain",
        "Citing PolSESS and SpeechBrain",
    ],
)
def test_the_recipe_has_the_sections_of_other_recipes(title):
    text = (SEPARATION / "README.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert section and len(section[1].split()) > 3


def test_requirements_are_stated_once():
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert re.search(r"^torch==[\d.]+$", pins, re.M)
    assert "-r requirements.txt" in (ROOT / "environment.yml").read_text()
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', project)
    assert int(found[1]) <= sys.version_info.minor < int(found[2])
