"""test_metadata.csv: all that the corpus says of the test mixtures.

Authors
 * The PolSESS recipe team 2026
"""

from pathlib import Path

import pytest
from corpora import (
    COLUMNS,
    make_corpus,
    metadata_path,
    read_csv,
    wav_path,
    write_metadata,
)
from prepare_polsess import prepare_polsess

COUNTS = {"test": (2, 2)}


@pytest.fixture
def corpus(tmp_path):
    """A corpus of four test mixtures, and their rows."""
    root = tmp_path / "Tiny"
    rows = make_corpus(root, COUNTS, seconds=0.1)["test"]
    return root, rows


def prepared(root, folder, **options):
    """ID -> row of the metadata that a preparation writes."""
    prepare_polsess(root, folder, ["test"], **options)
    rows = read_csv(folder / "test_metadata.csv")
    ids = [row["ID"] for row in rows]
    assert ids == sorted(set(ids))
    # The same mixtures as in the manifests, C being of all.
    assert ids == [row["ID"] for row in read_csv(folder / "test_C.csv")]
    return {row.pop("ID"): row for row in rows}


def id_of(row):
    return Path(row["mixFile"]).stem


def without_nan(row):
    return {name: "" if cell == "NaN" else cell for name, cell in row.items()}


def test_metadata_is_that_of_the_corpus(corpus, tmp_path):
    root, rows = corpus
    found = prepared(root, tmp_path / "save")
    assert found == {id_of(row): without_nan(row) for row in rows}
    assert list(found[id_of(rows[0])]) == list(COLUMNS)


def test_mixture_with_the_name_na_lost_it(corpus, tmp_path):
    root, rows = corpus
    path = next(root.rglob("*final.csv"))
    name = rows[0]["mixFile"]
    path.write_text(path.read_text().replace(name, "NA.wav"))
    (root / "test/mix" / name).rename(root / "test/mix/NA.wav")
    assert "NA" in prepared(root, tmp_path / "save")


def test_metadata_is_the_same_in_any_order_of_rows(corpus, tmp_path):
    root, rows = corpus
    prepared(root, tmp_path / "first")
    write_metadata(metadata_path(root, "test"), rows[::-1])
    prepared(root, tmp_path / "second")
    first, second = (
        (tmp_path / name / "test_metadata.csv").read_bytes()
        for name in ("first", "second")
    )
    assert first == second


def test_metadata_comes_with_the_test_split_only(tmp_path):
    make_corpus(tmp_path / "Tiny", {"train": (1, 1)}, seconds=0.1)
    prepare_polsess(tmp_path / "Tiny", tmp_path / "save", ["train"])
    assert not (tmp_path / "save" / "test_metadata.csv").exists()


def test_removed_metadata_is_made_again(corpus, tmp_path):
    """Also for manifests that were prepared before there was any."""
    root, _ = corpus
    expected = prepared(root, tmp_path / "save")
    (tmp_path / "save" / "test_metadata.csv").unlink()
    assert prepared(root, tmp_path / "save") == expected


def test_rows_that_are_skipped_have_no_metadata(corpus, tmp_path):
    root, rows = corpus
    wav_path(root, rows[1], "mixFile").unlink()
    found = prepared(root, tmp_path / "save", on_bad_rows="skip")
    assert set(found) == {id_of(row) for row in rows} - {id_of(rows[1])}


@pytest.mark.parametrize("cells", [20, 40])
def test_rows_that_are_all_cut_or_too_long_stop_nothing(
    corpus, tmp_path, cells
):
    """A corpus whose every row is skipped, beside a good one."""
    root, rows = corpus
    make_corpus(tmp_path / "Good", COUNTS, seconds=0.1, seed=1)
    path = metadata_path(root, "test")
    header, *lines = path.read_text().splitlines()
    longer = [(line + ",x" * 10).split(",") for line in lines]
    lines = [",".join(row[:cells]) for row in longer]
    path.write_text("\n".join([header, *lines]) + "\n")
    roots = [root, tmp_path / "Good"]
    found = prepared(roots, tmp_path / "save", on_bad_rows="skip")
    assert len(found) == 4
    assert not set(found) & {id_of(row) for row in rows}


def test_corpora_with_equal_line_numbers_are_not_mixed_up(tmp_path):
    """Each has its own SSR in the same lines, and one a column more."""
    expected = {}
    for seed, name in enumerate(("A", "B")):
        rows = make_corpus(tmp_path / name, COUNTS, seconds=0.1, seed=seed)
        for number, row in enumerate(rows["test"]):
            row["SSR"] = str(10 * seed + number)
            row["note"] = f"{name}{number}"
            expected[id_of(row)] = row["SSR"], row["note"] if seed else ""
        columns = [*COLUMNS, "note"] if seed else COLUMNS
        path = metadata_path(tmp_path / name, "test")
        write_metadata(path, rows["test"], columns)
    found = prepared([tmp_path / "A", tmp_path / "B"], tmp_path / "save")
    assert expected == {
        name: (row["SSR"], row["note"]) for name, row in found.items()
    }


def test_older_corpora_without_some_columns(corpus, tmp_path):
    root, rows = corpus
    columns = [c for c in COLUMNS if not c.startswith("sceneRandom")]
    write_metadata(metadata_path(root, "test"), rows, columns)
    found = prepared(root, tmp_path / "save")
    assert list(found[id_of(rows[0])]) == columns


@pytest.mark.parametrize("name", ["metadata", "row", "ID", "split", "SSR", ""])
def test_columns_of_a_corpus_may_have_any_name(corpus, tmp_path, name):
    """Also that of a column before them: then the first one counts."""
    root, rows = corpus
    path = metadata_path(root, "test")
    header, *lines = path.read_text().splitlines()
    lines = [f"{line},theirs" for line in lines]
    path.write_text("\n".join([f"{header},{name}", *lines]) + "\n")
    found = prepared(root, tmp_path / "save")
    assert set(found) == {id_of(row) for row in rows}
    for row in rows:
        known = found[id_of(row)]
        assert known["SSR"] == row["SSR"]
        if name in ("metadata", "row", "split"):
            assert known[name] == "theirs"
        else:
            assert "theirs" not in known.values()


def test_polish_letters_of_any_encoding_are_kept(corpus, tmp_path):
    root, rows = corpus
    for row in rows:
        row["sceneClass"] = "kościół | łąka, żwir"
    path = metadata_path(root, "test")
    write_metadata(path, rows)
    first = prepared(root, tmp_path / "first")
    path.write_bytes(path.read_text(encoding="utf-8").encode("cp1250"))
    assert prepared(root, tmp_path / "second") == first
    classes = {row["sceneClass"] for row in first.values()}
    assert classes == {"kościół | łąka, żwir"}


def test_repeated_row_stands_once(corpus, tmp_path):
    root, rows = corpus
    write_metadata(metadata_path(root, "test"), [*rows, rows[0]])
    found = prepared(root, tmp_path / "save", on_bad_rows="skip")
    assert set(found) == {id_of(row) for row in rows}
