"""Manifests are reused as long as nothing changed, and only then."""

import importlib.util
import os

import prepare_polsess
import pytest
from audit.full import audit as full
from corpora import MadeCorpus, read_all

REUSED = "up to date: reused"


def test_reused_when_nothing_changed(tmp_path, caplog):
    corpus = MadeCorpus(tmp_path)
    corpus.prepare()

    def times():
        """When each file was written."""
        files = (corpus.folder / "save").iterdir()
        return {path: path.stat().st_mtime_ns for path in files}

    before = times()
    with caplog.at_level("INFO"):
        corpus.prepare()
        corpus.prepare("test")
    assert caplog.text.count(REUSED) == 2
    assert times() == before


def test_another_split_leaves_the_former_manifests(tmp_path):
    corpus = MadeCorpus(tmp_path)
    corpus.prepare("train")
    found = corpus.prepare("test")
    both = corpus.prepare("train", "test", save="both")
    del both["prepare.json"], found["prepare.json"]
    assert found == both


def metadata(corpus, save):
    corpus.rows["train"][0]["SSR"] = "9"
    corpus.write()


def time_of_audio(corpus, save):
    path = corpus.path("mixFile")
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))


def size_of_audio(corpus, save):
    path = corpus.path("reverbForEvent")
    status = path.stat()
    path.write_bytes(path.read_bytes() + b"junk\2\0\0\0ab")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def manifest(corpus, save):
    with open(save / "train_SER.csv", "a") as file:
        file.write("mine\n")


def without(name):
    """A file that was written is lost."""
    return lambda corpus, save: (save / name).unlink()


def record(text):
    """The file by which manifests are known holds something else."""
    return lambda corpus, save: (save / "prepare.json").write_text(text)


CHANGES = {
    "metadata": metadata,
    "time of audio": time_of_audio,
    "size of audio": size_of_audio,
    "manifest": manifest,
    **{
        f"no {name}": without(name)
        for name in (
            *("valid_C.csv", "test_metadata.csv", "audit.csv", "excluded.csv"),
            "prepare.json",
        )
    },
    "record of another kind": record('["something else"]'),
    "record of another hash": record('{"train": {"inputs": "0"}}'),
    "record that is cut": record('{"train'),
}


@pytest.mark.parametrize("change", CHANGES)
def test_made_again_when_something_changed(tmp_path, caplog, change):
    corpus = MadeCorpus(tmp_path)
    corpus.prepare()
    CHANGES[change](corpus, corpus.folder / "save")
    with caplog.at_level("INFO"):
        found = corpus.prepare()
    assert REUSED not in caplog.text
    assert found == corpus.prepare(save="fresh")


def test_made_again_with_other_options(tmp_path, caplog):
    corpus = MadeCorpus(tmp_path)
    with caplog.at_level("INFO"):
        for options in ({}, {"audit": full}, {"on_bad_rows": "skip"}):
            corpus.prepare(**options)
    assert REUSED not in caplog.text


def test_made_again_by_another_version(tmp_path, caplog):
    corpus = MadeCorpus(tmp_path)
    path = corpus.folder / "another_version.py"
    with open(prepare_polsess.__file__, encoding="utf-8") as file:
        path.write_text(file.read() + "\n# more\n", encoding="utf-8")
    specification = importlib.util.spec_from_file_location(path.stem, path)
    another = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(another)
    corpus.prepare()
    caplog.set_level("INFO")
    for is_reused in (False, True):
        caplog.clear()
        another.prepare_polsess(corpus.root, corpus.folder / "save")
        assert (REUSED in caplog.text) == is_reused


def test_errors_void_the_former_preparation(tmp_path):
    corpus = MadeCorpus(tmp_path)
    before = corpus.prepare()
    path = corpus.path("sceneFile")
    path.rename(corpus.folder / "scene.wav")
    with pytest.raises(prepare_polsess.CorpusError):
        corpus.prepare()
    (corpus.folder / "scene.wav").rename(path)
    assert len(corpus.read("audit")) == 1
    assert corpus.prepare() == before


def test_skip_prep_and_other_files_are_left_alone(tmp_path):
    corpus = MadeCorpus(tmp_path)
    save = corpus.folder / "save"
    save.mkdir()
    (save / "train_mine.csv").write_text("mine")
    assert list(corpus.prepare(skip_prep=True)) == ["train_mine.csv"]
    assert corpus.prepare()["train_mine.csv"] == b"mine"
    assert read_all(save).keys() == {path.name for path in save.iterdir()}
