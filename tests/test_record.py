"""What a run keeps so that it can be repeated."""

import hashlib
import json
import shutil
import zipfile
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest
from reliability.training import record
from hyperpyyaml import load_hyperpyyaml
from recipe import HPARAMS, SEPARATION, hparams_of
from reliability.record import code_archive, manifest_hashes, record_run

ARGUMENTS = ["train.py", "hparams/convtasnet.yaml", "--strata=[scene class]"]


@pytest.fixture
def start(tmp_path):
    """Records a start of a run in a folder of the test."""
    (tmp_path / "save").mkdir()
    (tmp_path / "save/train_SER.csv").write_bytes(b"ID\n1\n")

    def record_start(**overrides):
        """Returns what was written, and where."""
        overrides = {
            "data_folder": str(tmp_path),
            "output_folder": str(tmp_path),
            **overrides,
        }
        hparams = hparams_of(**overrides)
        path = record_run(
            hparams, HPARAMS / "convtasnet.yaml", overrides, ARGUMENTS, "cpu"
        )
        return json.loads(path.read_text()), path.parent

    return record_start


def test_a_run_can_be_repeated_from_its_folder(start, caplog):
    found, folder = start(lr=0.25)
    assert found["command"] == (
        "train.py hparams/convtasnet.yaml '--strata=[scene class]'"
    )
    assert found["packages"]["torch"] == version("torch")
    assert found["manifests"] == {
        "train_SER.csv": hashlib.sha256(b"ID\n1\n").hexdigest()
    }
    assert found["commit"] and found["device"].startswith("cpu")
    with open(folder / found["hyperparams"], encoding="utf-8") as file:
        assert load_hyperpyyaml(file)["lr"] == 0.25
    with zipfile.ZipFile(folder / found["code"]) as archive:
        for name in ("train.py", "mixer.py", "prepare_polsess.py", "page.html"):
            assert archive.read(name) == (SEPARATION / name).read_bytes()
        assert "audit/rows.py" in archive.namelist()
    assert not caplog.text.count("start before")


def test_starts_add_up_and_share_what_is_equal(start):
    first, folder = start()
    before = {path: path.read_bytes() for path in folder.iterdir()}
    second, _ = start(lr=0.25)
    assert first["code"] == second["code"]
    assert first["hyperparams"] != second["hyperparams"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [
            "start-0001.json",
            "start-0002.json",
            first["code"],
            first["hyperparams"],
            second["hyperparams"],
        ]
    )
    assert all(path.read_bytes() == before[path] for path in before)


def test_a_resume_with_other_code_or_packages_is_said(start, caplog):
    _, folder = start()
    first = folder / "start-0001.json"
    content = json.loads(first.read_text())
    content["packages"]["torch"] = "2.0"
    content["code"] = "code-of-another-day.zip"
    first.write_text(json.dumps(content))
    start()
    assert f"torch: 2.0 at the start before, {version('torch')} now" in (
        caplog.text
    )
    assert "code of the recipe: code-of-another-day.zip at" in caplog.text
    assert caplog.text.count("at the start before") == 2


@pytest.mark.parametrize("content", [b"", b"[1]", b"{}", b"\xff\0"])
def test_a_damaged_record_is_said_and_left_alone(start, caplog, content):
    _, folder = start()
    (folder / "start-0001.json").write_bytes(content)
    start()
    assert "start-0001.json is damaged" in caplog.text
    assert (folder / "start-0001.json").read_bytes() == content
    assert (folder / "start-0002.json").exists()


def test_the_archive_depends_on_the_code_alone(tmp_path, monkeypatch):
    copy = shutil.copytree(SEPARATION, tmp_path / "separation", symlinks=False)
    monkeypatch.setattr(record, "__file__", str(copy / "record.py"))
    (copy / "mixer.py").touch()
    same = code_archive()
    monkeypatch.undo()
    assert same == code_archive()
    monkeypatch.setattr(record, "__file__", str(copy / "record.py"))
    (copy / "mixer.py").write_text("another")
    assert code_archive() != same
    (copy / ".#mixer.py").symlink_to("an editor's lock")
    assert code_archive()


def test_only_manifests_are_hashed(tmp_path):
    for name in ("test_SE.csv", "audit.csv", "log.txt"):
        (tmp_path / name).write_text("")
    assert list(manifest_hashes(Path(tmp_path))) == ["test_SE.csv"]


def test_the_version_that_is_imported_counts(monkeypatch):
    versions = [{"torch": "2.11.0"}, {"torch": "9.9"}]
    found = [
        SimpleNamespace(metadata={"Name": name}, version=version)
        for names in versions
        for name, version in names.items()
    ]
    monkeypatch.setattr(record, "distributions", lambda: iter(found))
    assert record.installed_versions() == {"torch": "2.11.0"}
