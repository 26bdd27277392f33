"""Corpora that cannot be used: what is wrong is said, and what to do."""

import re
import shutil

import pytest
from corpora import COLUMNS, MadeCorpus, make_corpus, read_all, write_metadata
from prepare_polsess import CorpusError, data_root, prepare_polsess


def two_that_differ(path, rows):
    write_metadata(path.with_name("corpus_A_train_final.csv"), rows)
    write_metadata(path.with_name("corpus_B_train_final.csv"), rows[:1])
    path.unlink()


METADATA = {
    "expected corpus_Tiny_train_final.csv, found none": (
        lambda path, rows: path.unlink()
    ),
    "found no sceneFile; export": lambda path, rows: write_metadata(
        path, rows, [c for c in COLUMNS if c != "sceneFile"]
    ),
    "expected a row per mixture, found no rows": (
        lambda path, rows: write_metadata(path, [])
    ),
    "expected a row per mixture, found no mixFile, ": (
        lambda path, rows: path.write_bytes(b"")
    ),
    "train/corpus_A_train_final.csv, train/corpus_B": two_that_differ,
    "train: expected a folder, found none": (
        lambda path, rows: shutil.rmtree(path.parent)
    ),
}


@pytest.mark.parametrize("message", METADATA)
def test_unusable_metadata_stop_even_when_skipping(tmp_path, message):
    corpus = MadeCorpus(tmp_path)
    METADATA[message](corpus.metadata(), corpus.rows["train"])
    with pytest.raises(CorpusError, match=message):
        corpus.prepare(on_bad_rows="skip")


def test_nothing_left_is_an_error_even_when_skipping(tmp_path):
    corpus = MadeCorpus(tmp_path)
    for number in range(2):
        corpus.path("sceneFile", number, "test").unlink()
    with pytest.raises(CorpusError, match="no rows left: test\n"):
        corpus.prepare(on_bad_rows="skip")


@pytest.mark.parametrize("folder", ["", None, [], "nowhere", ["nowhere"]])
def test_a_missing_corpus_says_how_to_get_one(tmp_path, folder):
    for function in (data_root, lambda f: prepare_polsess(f, tmp_path / "s")):
        with pytest.raises(CorpusError, match="no such folder") as caught:
            function(folder)
        for part in ("--data_folder", "POLSESS_DATA_ROOT"):
            assert part in str(caught.value)


def test_all_missing_folders_are_named_and_nothing_is_written(tmp_path):
    corpus = MadeCorpus(tmp_path)
    before = corpus.prepare()
    (corpus.folder / "file").touch()
    names = ("Tiny", "file", "lost/corpus")
    folders = [corpus.folder / name for name in names]
    other = corpus.folder / "Other"
    make_corpus(other, {"train": (0, 1)}, seconds=0.1, seed=1)
    for roots, parts in (
        (folders, [f"{folders[1]}, {folders[2]}"]),
        (
            [corpus.root, other],
            [f"{other / subset}: expected a" for subset in ("val", "test")],
        ),
    ):
        with pytest.raises(CorpusError) as caught:
            prepare_polsess(roots, corpus.folder / "save")
        assert all(part in str(caught.value) for part in parts)
    assert read_all(corpus.folder / "save") == before


def test_a_parent_of_corpora_names_them(tmp_path):
    names = [tmp_path / name for name in ("PolSESS_C_in", "PolSESS_C_out")]
    for name in names:
        make_corpus(name, {"test": (1, 1)}, seconds=0.1)
    message = f"pass the corpora below as [{names[0]}, {names[1]}]"
    with pytest.raises(CorpusError, match=re.escape(message)):
        prepare_polsess(tmp_path, tmp_path / "save")


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("B", {"sample_rate": 16000, "seed": 1}, "sample rate differs: 10, "),
        ("Copy", {}, "conflicting rows: 4(.*\n)+.*Copy/test/corpus"),
        # SpeechBrain would replace what follows a $.
        ("A$B", {"seed": 1}, "expected a path without"),
    ],
)
def test_corpora_that_do_not_go_together(tmp_path, name, options, message):
    one = MadeCorpus(tmp_path, {"test": (0, 3)}, "A")
    other = MadeCorpus(tmp_path, {"test": (0, 2)}, name, **options)
    with pytest.raises(CorpusError, match=message):
        prepare_polsess([one.root, other.root], tmp_path / "save", "test")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"splits": ["val"]}, "choose from train, valid, test"),
        ({"splits": []}, "choose from train, valid, test"),
        ({"on_bad_rows": "no"}, "choose from error, skip"),
        ({"n_jobs": 0}, "expected 1 or more threads"),
    ],
)
def test_unknown_options_name_the_known_ones(tmp_path, options, message):
    corpus = MadeCorpus(tmp_path)
    with pytest.raises(ValueError, match=message):
        prepare_polsess(corpus.root, corpus.folder / "save", **options)
