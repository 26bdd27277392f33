"""The official table: reading, published and mended subsets, their counts."""

import collections
import csv
import gzip
import itertools
import sys

import pandas
import pytest
from official.report_official import (
    event_share,
    parse_arguments,
    report,
    same_person_share,
    shared_groups,
)
from official.splits import (
    VOICES,
    clean_rows,
    exact_rows,
    labels_of,
    read_event_classes,
)
from official.table import OfficialError, find_speaker_list, read_official
from official_trees import SPEAKERS, table_rows

CLASSES = read_event_classes()


@pytest.fixture
def rows(made):
    return read_official(made / "official.csv", made / "utt2spk")


def test_csv_gz_and_mat_are_read_alike(made, rows, tmp_path, monkeypatch):
    text = (made / "official.csv").read_bytes()
    with gzip.open(tmp_path / "official.csv.gz", "wb") as lines:
        lines.write(text)
    frame = pandas.DataFrame(table_rows())
    # As MATLAB's: categories that may be missing, cells of cells, numbers.
    frame["class"] = frame["class"].replace("", None).astype("category")
    frame["filePath"] = [[path] for path in frame["filePath"]]
    frame["duration"] = frame["duration"].astype(float)
    with pandas.option_context("future.infer_string", False):
        from matio import save_to_mat
    save_to_mat(str(tmp_path / "official.mat"), {"datasrc": frame})
    for name in [n for n in sys.modules if n.startswith("matio")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("official.csv.gz", "official.mat"):
        assert read_official(tmp_path / name, made / "utt2spk") == rows
    # Its import changes this option.
    assert not pandas.options.future.infer_string


def test_mat_without_the_package_and_other_tables_are_refused(
    made, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "matio", None)
    with pytest.raises(OfficialError, match="pip install mat-io"):
        read_official(tmp_path / "official.mat")
    table = tmp_path / "own.csv"
    table.write_text("subset,filePath\ntrain,a.wav\n")
    with pytest.raises(OfficialError, match="column.s. role, source, class"):
        read_official(table)
    text = (made / "official.csv").read_text()
    table.write_text(text.replace("\nval,", "\nvalid,"))
    with pytest.raises(OfficialError, match="row 5: subset 'valid', source"):
        read_official(table)
    short = tmp_path / "short"
    short.write_text("SES0001 SPK0001\n")
    with pytest.raises(OfficialError, match="lacks the sessions of 33 EMU"):
        read_official(made / "official.csv", short)


def test_the_list_of_speakers_is_found_beside_the_table_or_in_emu(tmp_path):
    table = tmp_path / "tables/official.csv"
    (tmp_path / "emu").mkdir()
    assert find_speaker_list(None, table, tmp_path / "emu") is None
    (tmp_path / "emu/utt2spk").touch()
    found = find_speaker_list(None, table, tmp_path / "emu")
    assert found == tmp_path / "emu/utt2spk"
    assert str(find_speaker_list("own", table, tmp_path / "emu")) == "own"


def test_without_a_list_a_session_is_a_speaker(made):
    found = read_official(made / "official.csv")
    groups = {row["group"] for row in found if row["source"] == "emu"}
    assert groups == set(SPEAKERS)


def test_exact_keeps_subsets_repeats_and_parts_of_words(rows):
    kept, left_out = exact_rows(rows, CLASSES)
    drawable = [row for row in rows if "ough" not in row["class"]]
    for column in ("subset", "filePath", "group"):
        assert [r[column] for r in kept] == [r[column] for r in drawable]
    assert sum(left_out.values()) == 2 == len(rows) - len(kept)
    found = {row["filePath"][-7:-4]: row["class"] for row in kept}
    assert found["201"] == "Crow" and found["A-0"] == "dog"
    assert shared_groups(kept) == {"emu": 6, "tau": 8, "esc50": 1}


def test_clean_shares_no_speaker_recording_or_place(rows):
    kept, left_out = clean_rows(rows, CLASSES)
    assert not shared_groups(kept)
    for one, other in itertools.combinations(("train", "val", "test"), 2):
        for column in ("filePath", "group"):
            sets = [
                {row[column] for row in kept if row["subset"] == subset}
                for subset in (one, other)
            ]
            assert sets[0] and not sets[0] & sets[1]
    paths = [row["filePath"] for row in kept]
    assert len(paths) == len(set(paths))
    assert left_out == {
        ("tut", "listed before"): 1,
        ("tau", "listed before"): 16,
        ("esc50", "no class of the match table"): 1,
        ("fsd50k", "no class of the match table"): 2,
        ("fsd50k", "a voice"): 1,
    }
    assert len(kept) == len(rows) - 21


def test_clean_moves_what_was_shared_and_nothing_else(rows):
    kept, _ = clean_rows(rows, CLASSES)
    published = collections.defaultdict(set)
    for row in rows:
        published[row["filePath"]].add(row["subset"])
    moved = [r for r in kept if published[r["filePath"]] != {r["subset"]}]
    assert {row["source"] for row in moved} == {"emu", "tau", "esc50"}
    upload = [r for r in kept if r["filePath"] == "2-100-A-0.wav"]
    assert [row["subset"] for row in upload] == ["test"]  # FSD50K's
    # Places: half of each class. Speakers: 24, 6 and 6 rows in sixes.
    sizes = collections.Counter(
        (row["subset"], row["source"], row["class"])
        for row in kept
        if row["source"] in ("emu", "tau")
    )
    for subset, n_emu in (("train", 24), ("val", 6), ("test", 6)):
        assert sizes[subset, "emu", ""] == n_emu
    for subset, scene in itertools.product(
        ("val", "test"), ("airport", "park")
    ):
        assert sizes[subset, "tau", scene] == 4


def test_shares_of_mixtures_by_enumeration(rows):
    kept, _ = exact_rows(rows, CLASSES)
    chosen = [row for row in kept if row["subset"] == "test"]
    speech = [row for row in chosen if row["role"] == "speech"]
    pairs = list(itertools.permutations(speech, 2))
    same = sum(a["group"] == b["group"] for a, b in pairs) / len(pairs)
    assert same_person_share(speech) == pytest.approx(same)
    labels = {row["filePath"]: labels_of(row) for row in rows}
    scenes = [row for row in chosen if row["role"] == "envScene"]
    total = 0.0
    for scene in scenes:
        drawn = [
            [r for r in chosen if name in r["class"].split(",")]
            for name, places in CLASSES.items()
            if scene["class"] in places
        ]
        parts = [
            sum(bool(labels[r["filePath"]] & VOICES) for r in found)
            / len(found)
            for found in drawn
            if found
        ]
        total += sum(parts) / len(parts)
    share = event_share(
        chosen, CLASSES, lambda row, _: bool(labels[row["filePath"]] & VOICES)
    )
    assert share == pytest.approx(total / len(scenes)) and 0 < share < 1


def test_the_report_counts_both_choices(made, rows):
    lines = report(rows)
    assert "| tau | val: files of places | 16 of 8 | 8 of 4 |" in lines
    assert "| emu: speakers in several subsets | 6 | 0 |" in lines
    assert "| fsd50k: left out, a voice | 0 | 1 |" in lines
    assert "| val mixtures with an event with a voice | 0.0% | 0.0% |" in lines
    words = [str(made / "official.csv"), "--emu_speakers=list"]
    assert parse_arguments(words).emu_speakers.name == "list"
    with open(made / "official.csv", encoding="utf-8") as table:
        assert len(rows) == len(list(csv.DictReader(table)))
