"""Manifests are reused as long as nothing changed, and only then.

Authors
 * The PolSESS recipe team 2026
"""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from audit.full import audit as full
from corpora import (
    make_corpus,
    metadata_path,
    read_all,
    wav_path,
    write_metadata,
)
from prepare_polsess import CorpusError, prepare_polsess


@pytest.fixture
def corpus(tmp_path):
    """A corpus of 4 + 2 + 2 mixtures, and its rows."""
    return tmp_path / "Tiny", make_corpus(tmp_path / "Tiny", seconds=0.1)


def test_reused_when_nothing_changed(corpus, tmp_path, caplog):
    root, _ = corpus
    prepare_polsess(root, tmp_path / "save")
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "save").iterdir()}
    with caplog.at_level("INFO"):
        prepare_polsess(root, tmp_path / "save")
        prepare_polsess(root, tmp_path / "save", splits=["test"])
    assert caplog.text.count("up to date: reused") == 2
    assert times == {
        p: p.stat().st_mtime_ns for p in (tmp_path / "save").iterdir()
    }


def test_another_split_leaves_the_former_manifests(corpus, tmp_path):
    root, _ = corpus
    prepare_polsess(root, tmp_path / "save", ["train"])
    prepare_polsess(root, tmp_path / "save", ["test"])
    prepare_polsess(root, tmp_path / "both", ["train", "test"])
    both = read_all(tmp_path / "both")
    found = read_all(tmp_path / "save")
    del both["prepare.json"], found["prepare.json"]
    assert found == both


def change_metadata(root, rows, save):
    rows["train"][0]["SSR"] = "5"
    write_metadata(metadata_path(root, "train"), rows["train"])


def change_audio(root, rows, save):
    path = wav_path(root, rows["train"][0], "mixFile")
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))


def change_manifest(root, rows, save):
    with open(save / "train_SER.csv", "a") as file:
        file.write("mine\n")


def remove_manifest(root, rows, save):
    (save / "train_SER.csv").unlink()


def remove_audit(root, rows, save):
    (save / "audit.csv").unlink()


def spoil_records(root, rows, save):
    (save / "prepare.json").write_text('["something else"]')


def change_record(root, rows, save):
    (save / "prepare.json").write_text('{"train": {"inputs": "0"}}')


@pytest.mark.parametrize(
    "change",
    [
        change_metadata,
        change_audio,
        change_manifest,
        remove_manifest,
        remove_audit,
        spoil_records,
        change_record,
    ],
)
def test_rebuilt_when_something_changed(corpus, tmp_path, caplog, change):
    root, rows = corpus
    prepare_polsess(root, tmp_path / "save")
    change(root, rows, tmp_path / "save")
    with caplog.at_level("INFO"):
        prepare_polsess(root, tmp_path / "save")
    assert "up to date: reused" not in caplog.text
    prepare_polsess(root, tmp_path / "fresh")
    assert read_all(tmp_path / "save") == read_all(tmp_path / "fresh")


def test_rebuilt_with_other_options(corpus, tmp_path, caplog):
    root, _ = corpus
    for options in ({}, {"audit": full}, {"on_bad_rows": "skip"}):
        caplog.clear()
        with caplog.at_level("INFO"):
            prepare_polsess(root, tmp_path / "save", **options)
        assert "up to date: reused" not in caplog.text


def test_errors_void_the_former_preparation(corpus, tmp_path):
    root, rows = corpus
    prepare_polsess(root, tmp_path / "save")
    path = wav_path(root, rows["train"][0], "sceneFile")
    path.rename(tmp_path / "scene.wav")
    with pytest.raises(CorpusError):
        prepare_polsess(root, tmp_path / "save")
    (tmp_path / "scene.wav").rename(path)
    prepare_polsess(root, tmp_path / "save")
    assert (tmp_path / "save" / "audit.csv").read_text().count("\n") == 1


def test_skip_prep_and_other_files_are_left_alone(corpus, tmp_path):
    prepare_polsess(corpus[0], tmp_path / "save", skip_prep=True)
    assert not (tmp_path / "save").exists()
    (tmp_path / "save").mkdir()
    (tmp_path / "save" / "train_mine.csv").write_text("mine")
    prepare_polsess(corpus[0], tmp_path / "save")
    assert (tmp_path / "save" / "train_mine.csv").read_text() == "mine"


@pytest.mark.parametrize(
    "options", [{"splits": ["val"]}, {"splits": []}, {"on_bad_rows": "no"}]
)
def test_unknown_options_name_the_known_ones(tmp_path, options):
    with pytest.raises(ValueError, match="choose from"):
        prepare_polsess(tmp_path, tmp_path / "save", **options)


def test_two_preparations_at_once(corpus, tmp_path):
    root, _ = corpus
    prepare_polsess(root, tmp_path / "alone")
    with ThreadPoolExecutor(4) as executor:
        for result in [
            executor.submit(prepare_polsess, root, tmp_path / "save")
            for _ in range(4)
        ]:
            result.result()
    assert read_all(tmp_path / "save") == read_all(tmp_path / "alone")
