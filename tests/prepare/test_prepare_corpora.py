"""Corpora that cannot be used: all that is wrong is reported together.

Authors
 * The PolSESS recipe team 2026
"""

import shutil

import pytest
from audit.full import audit as full
from corpora import (
    COLUMNS,
    make_corpus,
    metadata_path,
    read_all,
    read_csv,
    wav_path,
    write_metadata,
)
from prepare_polsess import CorpusError, data_root, prepare_polsess


@pytest.fixture
def corpus(tmp_path):
    """A corpus of 4 + 2 + 2 mixtures, and its rows."""
    return tmp_path / "Tiny", make_corpus(tmp_path / "Tiny", seconds=0.1)


def test_all_errors_are_reported_together(corpus, tmp_path):
    root, rows = corpus
    wav_path(root, rows["train"][0], "eventFile").unlink()
    wav_path(root, rows["train"][1], "mixFile").write_bytes(b"")
    wav_path(root, rows["test"][0], "sceneFile").unlink()
    with pytest.raises(CorpusError) as caught:
        prepare_polsess(root, tmp_path / "save")
    message = str(caught.value)
    assert message.startswith("errors in the corpus: 3,")
    for part in (
        "missing file: 2",
        "unreadable file: 1",
        rows["train"][0]["eventFile"],
        rows["train"][1]["mixFile"],
        rows["test"][0]["sceneFile"],
    ):
        assert part in message


def test_many_errors_are_capped_but_counted_and_listed(tmp_path):
    rows = make_corpus(tmp_path / "Tiny", {"test": (0, 9)}, seconds=0.1)["test"]
    for row in rows[:8]:
        wav_path(tmp_path / "Tiny", row, "sceneFile").unlink()
    with pytest.raises(CorpusError, match="missing file: 8") as caught:
        prepare_polsess(tmp_path / "Tiny", tmp_path / "save", ["test"])
    assert str(caught.value).count("expected a WAV file") == 5
    assert len(read_csv(tmp_path / "save" / "audit.csv")) == 8


def test_nothing_left_is_an_error_even_when_skipping(tmp_path):
    rows = make_corpus(tmp_path / "Tiny", {"test": (1, 0)})["test"]
    wav_path(tmp_path / "Tiny", rows[0], "sceneFile").unlink()
    with pytest.raises(CorpusError, match="no rows left"):
        prepare_polsess(
            tmp_path / "Tiny", tmp_path / "save", "test", on_bad_rows="skip"
        )


def no_metadata(path, rows):
    path.unlink()


def no_column(path, rows):
    write_metadata(path, rows, [c for c in COLUMNS if c != "sceneFile"])


def header_only(path, rows):
    write_metadata(path, [])


def no_bytes(path, rows):
    path.write_bytes(b"")


def two_that_differ(path, rows):
    write_metadata(path.with_name("corpus_A_train_final.csv"), rows)
    path.rename(path.with_name("corpus_B_train_final.csv"))
    write_metadata(path.with_name("corpus_B_train_final.csv"), rows[:1])


def no_subset(path, rows):
    shutil.rmtree(path.parent)


@pytest.mark.parametrize(
    "spoil, parts",
    [
        (no_metadata, ["expected corpus_Tiny_train_final.csv, found none"]),
        (no_column, ["found no sceneFile; export"]),
        (header_only, ["expected a row per mixture, found no rows"]),
        (no_bytes, ["expected a row per mixture, found no mixFile, "]),
        (two_that_differ, ["train/corpus_A_train_final.csv, train/corpus_B"]),
        (no_subset, ["train: expected a folder, found none"]),
    ],
)
@pytest.mark.parametrize("on_bad_rows", ["error", "skip"])
def test_unusable_metadata_always_stops(
    corpus, tmp_path, spoil, parts, on_bad_rows
):
    root, rows = corpus
    spoil(metadata_path(root, "train"), rows["train"])
    with pytest.raises(CorpusError) as caught:
        prepare_polsess(root, tmp_path / "save", on_bad_rows=on_bad_rows)
    for part in parts:
        assert part in str(caught.value)


def test_missing_corpus_says_how_to_get_one(tmp_path):
    for folder in (tmp_path / "nowhere", "", None, []):
        with pytest.raises(CorpusError) as caught:
            prepare_polsess(folder, tmp_path / "save")
        for part in ("--data_folder", "POLSESS_DATA_ROOT"):
            assert part in str(caught.value)


def test_all_missing_folders_are_named_and_nothing_is_written(corpus, tmp_path):
    root, _ = corpus
    prepare_polsess(root, tmp_path / "save")
    before = read_all(tmp_path / "save")
    (tmp_path / "file").touch()
    folders = [tmp_path / name for name in ("Tiny", "file", "lost/corpus")]
    for function in (
        data_root,
        lambda f: prepare_polsess(f, tmp_path / "save"),
    ):
        with pytest.raises(CorpusError) as caught:
            function(folders)
        assert f"{folders[1]}, {folders[2]}" in str(caught.value)
    make_corpus(tmp_path / "Other", {"train": (0, 1)}, seconds=0.1, seed=1)
    with pytest.raises(CorpusError) as caught:
        prepare_polsess([root, tmp_path / "Other"], tmp_path / "save")
    for subset in ("val", "test"):
        assert f"{tmp_path / 'Other' / subset}: expected a" in str(caught.value)
    assert read_all(tmp_path / "save") == before


def test_parent_of_corpora_names_them(tmp_path):
    for name in ("PolSESS_C_in", "PolSESS_C_out"):
        make_corpus(tmp_path / name, {"test": (1, 1)}, seconds=0.1)
    with pytest.raises(CorpusError) as caught:
        prepare_polsess(tmp_path, tmp_path / "save")
    expected = f"{tmp_path / 'PolSESS_C_in'}, {tmp_path / 'PolSESS_C_out'}"
    assert f"pass the corpora below as [{expected}]" in str(caught.value)


def test_root_subsets_and_files_may_be_links_that_stay(corpus, tmp_path):
    root, rows = corpus
    (root / "train").rename(tmp_path / "disk2")
    (root / "train").symlink_to(tmp_path / "disk2")
    path = wav_path(root, rows["val"][0], "sceneFile")
    (root / ".store").mkdir()
    path.rename(root / ".store" / "scene.wav")
    path.symlink_to("../../.store/scene.wav")
    (tmp_path / "link").symlink_to(root)
    prepare_polsess(tmp_path / "link", tmp_path / "save", audit=full)
    assert len(read_csv(tmp_path / "save" / "train_C.csv")) == 4


def test_different_rows_of_one_mixture(corpus, tmp_path):
    root, rows = corpus
    other = {**rows["train"][0], "eventFile": rows["train"][1]["eventFile"]}
    write_metadata(metadata_path(root, "train"), [*rows["train"], other])
    with pytest.raises(CorpusError, match="conflicting rows: 2"):
        prepare_polsess(root, tmp_path / "save")
    prepare_polsess(root, tmp_path / "save", on_bad_rows="skip")
    excluded = read_csv(tmp_path / "save" / "excluded.csv")
    assert [row["row"] for row in excluded] == ["2", "6"]


def test_one_mixture_in_two_corpora(corpus, tmp_path):
    root, rows = corpus
    shutil.copytree(root, tmp_path / "Copy")
    with pytest.raises(
        CorpusError, match="conflicting rows: 8(.*\n)+.*Copy/train/corpus"
    ):
        prepare_polsess([root, tmp_path / "Copy"], tmp_path / "save", ["train"])
