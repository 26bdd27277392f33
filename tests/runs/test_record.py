"""The records of a run, from which it can be repeated."""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from types import SimpleNamespace

import pytest
import yaml
from hyperpyyaml import load_hyperpyyaml
from recipe import SEPARATION
from runs import record
from runs.record import commit, record_start, recorded_starts

ARGUMENTS = ["train.py", "hparams/convtasnet.yaml", "--variants=[S, E]"]
HEADER = "# Generated 2026-01-01 from:\n# /a/path\n# yamllint disable\n"


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Records a start of a run; returns what was written, and where."""
    (tmp_path / "save").mkdir()
    for name in ("train_SER.csv", "audit.csv", "log.txt"):
        (tmp_path / "save" / name).write_bytes(b"ID\n1\n")
    monkeypatch.setattr("sys.argv", ARGUMENTS)

    def record_it(header=HEADER, described="0123-dirty", **keys):
        monkeypatch.setattr(record, "commit", lambda: described)
        text = header + yaml.safe_dump({"lr": 0.5, **keys})
        (tmp_path / "hyperparams.yaml").write_text(text)
        hparams = {"output_folder": str(tmp_path)}
        hparams["save_folder"] = str(tmp_path / "save")
        brain = SimpleNamespace(
            hparams=SimpleNamespace(**hparams),
            device="cpu",
            precision="bf16",
            eval_precision="fp32",
        )
        path = record_start(brain)
        return json.loads(path.read_text()), path.parent

    return record_it


def test_a_run_can_be_repeated_from_its_folder(start, monkeypatch, caplog):
    monkeypatch.setenv("WORLD_SIZE", "2")
    found, folder = start(lr=0.25)
    assert found["command"] == (
        "train.py hparams/convtasnet.yaml '--variants=[S, E]'"
    )
    assert found["packages"]["torch"] == version("torch")
    assert found["python"] == platform.python_version()
    assert found["precision"] == "bf16" and found["eval_precision"] == "fp32"
    assert found["processes"] == 2 and found["folder"] == os.getcwd()
    assert found["manifests"] == {
        "train_SER.csv": hashlib.sha256(b"ID\n1\n").hexdigest()
    }
    assert found["device"].startswith("cpu, ")
    with open(folder / found["hyperparams"], encoding="utf-8") as file:
        assert load_hyperpyyaml(file)["lr"] == 0.25
    with zipfile.ZipFile(folder / found["code"]) as archive:
        for name in (
            "prepare_polsess.py",
            "audit/__init__.py",
            "separation/train.py",
            "separation/reliability/training.py",
            "separation/reporting/page.html",
        ):
            path = SEPARATION.parent / name
            assert archive.read(name) == path.read_bytes()
    assert recorded_starts(folder.parent) == [found]
    assert "start before" not in caplog.text


def test_starts_add_up_and_share_what_is_equal(start):
    first, folder = start()
    before = {path: path.read_bytes() for path in folder.iterdir()}
    again, _ = start(header=HEADER.replace("01-01", "02-02"))
    second, _ = start(lr=0.25)
    assert first["code"] == again["code"] == second["code"]
    assert first["hyperparams"] == again["hyperparams"]
    assert {path.name for path in folder.iterdir()} == {
        *(f"start-000{number}.json" for number in (1, 2, 3)),
        *(first["code"], first["hyperparams"], second["hyperparams"]),
    }
    assert all(path.read_bytes() == before[path] for path in before)
    assert recorded_starts(folder.parent) == [first, again, second]


@pytest.mark.parametrize(
    "described, is_kept", [("0123456789ab", False), ("unknown", True)]
)
def test_code_is_copied_unless_a_commit_describes_it(start, described, is_kept):
    found, folder = start(described=described)
    assert found["commit"] == described
    assert (folder / found["code"]).exists() == is_kept


def test_a_resume_with_other_code_or_packages_is_said(start, caplog):
    _, folder = start()
    first = folder / "start-0001.json"
    content = json.loads(first.read_text())
    content["packages"].update({"torch": "2.0", "pytest": "1.0"})
    content["code"] = "code-of-another-day.zip"
    first.write_text(json.dumps(content))
    start()
    assert f"torch: 2.0 at the start before, {version('torch')} now" in (
        caplog.text
    )
    assert "code of the recipe: code-of-another-day.zip at" in caplog.text
    assert caplog.text.count("at the start before") == 2
    start()  # which is compared with the second one
    assert caplog.text.count("at the start before") == 2


@pytest.mark.parametrize("content", [b"", b"[1]", b"{}", b"\xff\0"])
def test_a_damaged_record_is_said_and_left_alone(start, caplog, content):
    _, folder = start()
    (folder / "start-0001.json").write_bytes(content)
    second, _ = start()
    assert "start-0001.json is damaged" in caplog.text
    assert (folder / "start-0001.json").read_bytes() == content
    assert recorded_starts(folder.parent)[-1] == second


def test_the_archive_depends_on_the_code_alone(start, tmp_path, monkeypatch):
    ignore = shutil.ignore_patterns("results", "simulate")
    copy = shutil.copytree(SEPARATION.parent, tmp_path / "copy", ignore=ignore)
    monkeypatch.setattr(record, "RECIPE", copy)
    first = start()[0]["code"]
    (copy / "separation/mixtures.py").touch()
    run = copy / "separation/results/net/1234"
    run.mkdir(parents=True)
    (run / "train.py").write_text("a copy that SpeechBrain makes")
    (copy / "separation/.#train.py").symlink_to("an editor's lock")
    assert start()[0]["code"] == first
    (copy / "separation/fast/other.py").write_text("another")
    assert start()[0]["code"] != first


def test_the_version_that_is_imported_counts(start, monkeypatch):
    found = [
        SimpleNamespace(metadata={"Name": "torch"}, version=version)
        for version in ("2.11.0", "9.9")
    ]
    monkeypatch.setattr(record, "distributions", lambda: iter(found))
    assert start()[0]["packages"] == {"torch": "2.11.0"}


def test_commit_tells_changes_of_code_but_not_of_figures(tmp_path, monkeypatch):
    # Whatever git the user has configured.
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")

    def git(*arguments):
        who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(
            ["git", *who, *arguments],
            cwd=tmp_path,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    for folder in ("results", "recipe"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").write_text("1")
    (tmp_path / "README.md").write_text("1")
    git("init")
    assert commit(tmp_path / "recipe") == "unknown"
    git("add", ".")
    git("commit", "-m", "first")
    clean = commit(tmp_path / "recipe")
    assert len(clean) == 12
    (tmp_path / "results/file").write_text("2")
    (tmp_path / "README.md").write_text("2")
    assert commit(tmp_path / "recipe") == clean
    (tmp_path / "recipe/file").write_text("2")
    assert commit(tmp_path / "recipe") == clean + "-dirty"
    monkeypatch.setenv("PATH", "")
    assert commit(tmp_path / "recipe") == "unknown"


def test_a_user_without_home_and_name_has_caches():
    code = """
import os, pwd
def nobody(uid):
    raise KeyError(uid)
pwd.getpwuid = nobody
import reporting.media, getpass
print(getpass.getuser(), os.path.expanduser("~"))
"""
    names = "HOME", "USER", "LNAME", "LOGNAME", "USERNAME", "MPLCONFIGDIR"
    environment = {k: v for k, v in os.environ.items() if k not in names}
    environment["PYTHONPATH"] = str(SEPARATION)
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert ended.stdout.split() == [str(os.getuid()), "~"]
