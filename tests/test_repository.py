"""The documents say what is there: commands, paths, keys, figures."""

import csv
import functools
import re
import subprocess
import sys

import pytest
from recipe import HPARAMS, ROOT, SEPARATION, SYSTEMS
from torch.distributed.run import get_args_parser

READMES = [
    ROOT / "README.md",
    ROOT / "recipes/PolSESS/README.md",
    SEPARATION / "README.md",
]


def keys_of(path):
    """Top-level keys of a YAML."""
    return re.findall(r"^(\w+):", path.read_text(encoding="utf-8"), re.M)


def commands_of(path):
    """Shell commands of a README, continued lines joined, comments left out."""
    text = path.read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", text, re.S)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split(" #")[0] for line in lines if not line.startswith("#")]


@functools.cache
def report_options():
    """All options of the commands of report.py."""
    shown = ""
    for command in ("tables", "compare"):
        shown += subprocess.run(
            [sys.executable, SEPARATION / "report.py", command, "--help"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    return set(re.findall(r"--(\w+)", shown))


@pytest.mark.parametrize(
    "path", READMES, ids=lambda p: str(p.relative_to(ROOT))
)
def test_links_of_readmes_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text)
    missing = [
        link
        for link in links
        if not link.startswith("http") and not (path.parent / link).exists()
    ]
    assert links and not missing


def test_paths_in_the_map_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.split("## Map")[1].split("##")[0]
    named = re.findall(r"`([^`]+)`", table)
    for name in named:
        found = [ROOT / name, SEPARATION / name]
        assert any(path.exists() for path in found), name


@pytest.mark.parametrize(
    "path", READMES, ids=lambda p: str(p.relative_to(ROOT))
)
def test_commands_of_readmes_name_real_scripts_options_and_keys(path):
    keys = set(keys_of(HPARAMS / "convtasnet.yaml"))
    options = {"test_only", "precision", "eval_precision"}
    of_torchrun = {
        a for o in get_args_parser()._actions for a in o.option_strings
    }
    commands = commands_of(path)
    assert commands
    for command in commands:
        words = command.split()
        if words[0] == "make":
            assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text()
        for word in words:
            if word.endswith((".py", ".yaml", "requirements.txt")):
                places = (path.parent, SEPARATION, ROOT)
                assert any((p / word).exists() for p in places), word
        if "report.py" in command:
            assert set(re.findall(r"--(\w+)", command)) <= report_options()
        for name in ("separate_file.py", "export.py"):
            if f" {name}" in command:
                text = (SEPARATION / name).read_text(encoding="utf-8")
                for option in re.findall(r"--\w+", command):
                    assert f'"{option}"' in text, command
        if "train.py" in command:
            launcher, script = command.split("train.py")
            assert set(re.findall(r"--[\w-]+", launcher)) <= of_torchrun
            given = re.findall(r"--(\w+)", script)
            assert set(given) <= keys | options, command


@pytest.mark.parametrize(
    "script", ["prepare_polsess.py", "simulate/make_corpus.py"]
)
def test_options_in_the_dataset_card_exist(script):
    path = ROOT / "recipes/PolSESS" / script
    shown = subprocess.run(
        [sys.executable, path, "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    commands = commands_of(ROOT / "recipes/PolSESS/README.md")
    used = [c for c in commands if f"{script} " in c]
    assert used
    for option in re.findall(r"--\w+", " ".join(used)):
        assert option in shown, option


def test_configurations_share_their_keys():
    expected = keys_of(HPARAMS / "convtasnet.yaml")
    for path in SYSTEMS:
        assert keys_of(path) == expected, path.name
    tests = set(HPARAMS.glob("*.yaml")) - set(SYSTEMS)
    assert {path.name[:5] for path in tests} == {"test_"}


def test_versions_are_said_once():
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert "torch==2.11.0\n" in pins and "torchaudio==2.11.0\n" in pins
    assert "-r requirements.txt" in (ROOT / "environment.yml").read_text()
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'requires-python = ">=3.10,<3.13"' in project
    assert (3, 10) <= sys.version_info[:2] <= (3, 12)


def test_readme_shows_the_figures_that_the_demo_wrote():
    path = ROOT / "results/demo/test_summary.md"
    written = path.read_text(encoding="utf-8").splitlines()
    shown = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = shown.split("<!-- demo results: begin -->\n")[1].split("\n\n")[0]
    tables = [
        [[cell.strip() for cell in line.split("|")] for line in lines]
        for lines in (written[: written.index("")], shown.splitlines())
    ]
    positions = [tables[0][0].index(name) for name in tables[1][0]]
    assert len(tables[1]) == len(tables[0]) > 10
    for whole, part in zip(tables[0][2:], tables[1][2:]):
        assert [whole[position] for position in positions] == part


def test_the_recipe_shows_the_figures_that_the_demo_wrote():
    with open(ROOT / "results/demo/test_summary.csv", newline="") as file:
        rows = {row["variant"]: row for row in csv.DictReader(file)}
    mean = rows["macro mean"]
    text = (SEPARATION / "README.md").read_text(encoding="utf-8")
    header, _, row = text.split("<!-- demo row: begin -->\n")[1].splitlines()[
        :3
    ]
    names = [cell.strip() for cell in header.strip("|").split("|")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    shown = dict(zip(names, cells))
    for name in ("SI-SDR", "SI-SDRi", "SDR", "PESQ", "STOI"):
        column = f"{name.lower().replace('-', '_')}_mean"
        digits = len(shown[name].split(".")[1])
        assert float(shown[name]) == round(float(mean[column]), digits) != 0
    log = (ROOT / "results/demo/train_log.txt").read_text(encoding="utf-8")
    spent = re.findall(r"(?:waiting|computing)_seconds: ([\d.]+)", log)
    seconds = sum(map(float, spent)) / len(log.splitlines())
    assert f"takes {seconds:.0f} s to train" in text


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


def test_the_picture_of_the_report_is_there_and_small():
    path = ROOT / "results/demo/report.png"
    assert 10_000 < path.stat().st_size < 1_000_000
    assert "(results/demo/report.png)" in (ROOT / "README.md").read_text()
