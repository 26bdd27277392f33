"""The sources table: reading, refusals, built-in plan.

Authors
 * The PolSESS recipe team 2026
"""

import csv
import pathlib

import numpy as np
import pytest
import soundfile
from simulate.acoustics import (
    INDOOR_SCENES,
    OUTDOOR_SCENES,
    REVERB_RANGES,
    SCENE_CLASSES,
    SUBSETS,
    event_scenes,
)
from simulate.builtin import plan_sources
from simulate.events import EVENTS
from simulate.pool import SourcePool
from simulate.sources import COLUMNS, SourcesError, read_sources

RATE = 44100
SECONDS = 3.0


def speech_like(rng, n):
    """Noise in syllables, never silent for long."""
    time = np.arange(n) / RATE
    envelope = 0.2 + np.abs(np.sin(2 * np.pi * rng.uniform(2, 4) * time))
    return 0.12 * envelope * rng.standard_normal(n)


def write_sources(folder):
    """A user's own sources: 44.1 kHz stereo, 5 recordings a subset."""
    rng = np.random.default_rng(0)
    n = round(SECONDS * RATE)
    rows = []
    for subset in SUBSETS:
        for role, label, speaker in (
            ("speech", "speech", f"{subset}_anna"),
            ("speech", "speech", f"{subset}_jan"),
            ("envScene", "office", ""),
            ("envScene", "park", ""),
            ("events", "Keys_jangling", ""),
        ):
            name = f"audio/{subset}/{speaker or label}/1.wav"
            path = pathlib.Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            left = speech_like(rng, n)
            right = 0.5 * left + 0.01 * rng.standard_normal(n)
            soundfile.write(path, np.stack([left, right], 1), RATE, "PCM_16")
            values = [subset, name, role, "own", label]
            values += [RATE, SECONDS, 2, speaker]
            rows.append(dict(zip(COLUMNS, values)))
    table = pathlib.Path(folder) / "sources.csv"
    write_table(table, rows)
    return table


def write_table(table, rows, columns=COLUMNS):
    with open(table, "w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def read_table(table):
    with open(table, encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_reads_a_users_table(tmp_path):
    recordings = read_sources(write_sources(tmp_path))
    assert len(recordings) == 15
    assert {r.sample_rate for r in recordings} == {RATE}
    assert {r.frames for r in recordings} == {round(SECONDS * RATE)}


def test_accepts_byte_order_mark_and_windows_line_ends(tmp_path):
    table = write_sources(tmp_path)
    text = table.read_text(encoding="utf-8").replace("\n", "\r\n")
    table.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert len(read_sources(table)) == 15


@pytest.mark.parametrize(
    "row, column, value, message",
    [
        (0, "subset", "valid", "subset 'valid', expected one of train"),
        (0, "role", "noise", "role 'noise', expected one of speech"),
        (0, "speaker", "", "speech without a speaker"),
        (0, "sampleRate", "16000", "the table says 16000, the file 44100"),
        (0, "channels", "1", "the table says 1, the file 2"),
        (0, "duration", "9.5", "the table says 9.5 s, the file 3.000 s"),
        (0, "duration", "long", "duration 'long', expected a positive"),
        (0, "filePath", "no/such.wav", "no such file"),
        (0, "filePath", "sources.csv", "unreadable audio"),
        (2, "class", "moon", "scene class 'moon', expected one of airport"),
        (4, "class", "", "event without a class"),
        (5, "speaker", "train_jan", "speaker train_jan is in val, but in tr"),
    ],
)
def test_row_at_fault_is_named(tmp_path, row, column, value, message):
    table = write_sources(tmp_path)
    rows = read_table(table)
    rows[row][column] = value
    write_table(table, rows)
    with pytest.raises(SourcesError) as caught:
        read_sources(table)
    assert message in str(caught.value)
    assert f"line {row + 2} (" in str(caught.value)


def test_all_faults_are_reported_at_once(tmp_path):
    table = write_sources(tmp_path)
    rows = read_table(table)
    rows[0]["channels"], rows[1]["speaker"], rows[7]["class"] = "1", "", "x"
    write_table(table, rows)
    with pytest.raises(SourcesError) as caught:
        read_sources(table)
    assert len(caught.value.problems) == 3


def test_recording_in_two_subsets_is_refused(tmp_path):
    table = write_sources(tmp_path)
    rows = read_table(table)
    # The same file under another spelling of its path.
    rows[7]["filePath"] = "audio/../audio/train/office/1.wav"
    write_table(table, rows)
    with pytest.raises(SourcesError, match="also in line 4 .train."):
        read_sources(table)


def test_missing_column_table_and_rows(tmp_path):
    table = write_sources(tmp_path)
    rows = read_table(table)
    write_table(table, rows, columns=COLUMNS[:-1])
    with pytest.raises(SourcesError, match=r"missing column\(s\) speaker"):
        read_sources(table)
    write_table(table, [])
    with pytest.raises(SourcesError, match="no rows"):
        read_sources(table)
    with pytest.raises(SourcesError, match="no such file"):
        read_sources(tmp_path / "none.csv")


def pool_problems(recordings, folder, segment_seconds=2.0, indoor_ratio=0.5):
    pool = SourcePool(recordings, "train", folder, segment_seconds)
    return "\n".join(pool.problems(indoor_ratio))


def test_what_a_subset_lacks_is_named(tmp_path):
    recordings = read_sources(write_sources(tmp_path))
    assert not pool_problems(recordings, tmp_path)
    assert "0 speaker(s)" in pool_problems(recordings, tmp_path, 3.5)
    one = [r for r in recordings if r.speaker != "train_jan"]
    assert "1 speaker(s)" in pool_problems(one, tmp_path)
    indoor = [r for r in recordings if r.labels != ("park",)]
    assert "no outdoor scene" in pool_problems(indoor, tmp_path)
    assert not pool_problems(indoor, tmp_path, indoor_ratio=1.0)
    silent = [r for r in recordings if r.role != "events"]
    problems = pool_problems(silent, tmp_path)
    assert "compatible with the scene class office" in problems
    assert "compatible with the scene class park" in problems


def test_event_with_several_labels_is_found_by_each(tmp_path):
    table = write_sources(tmp_path)
    rows = read_table(table)
    rows[4]["class"] = "Dog, Animal,Door"
    write_table(table, rows)
    pool = SourcePool(read_sources(table), "train", tmp_path, 2.0)
    assert pool.event_classes == {"office": ["Door"], "park": ["Animal", "Dog"]}


def test_the_24_scene_classes_and_their_rooms():
    assert len(INDOOR_SCENES) == 16 and len(OUTDOOR_SCENES) == 8
    assert set(REVERB_RANGES) == set(INDOOR_SCENES)
    assert len(event_scenes()) == 193
    assert set().union(*event_scenes().values()) == set(SCENE_CLASSES)
    assert REVERB_RANGES["car"]["decay"] == (0.95, 0.99)
    assert REVERB_RANGES["airport"]["pre_delay"] == (0.01, 0.5)


def test_built_in_sources_cover_everything_and_share_nothing():
    rows = plan_sources(12.0)
    assert len({row["filePath"] for row in rows}) == len(rows)
    for subset in SUBSETS:
        scenes = {
            r["class"]
            for r in rows
            if r["subset"] == subset and r["role"] == "envScene"
        }
        assert scenes == set(SCENE_CLASSES)
    subset_of = {}
    for row in rows:
        if row["role"] == "speech":
            subset_of.setdefault(row["speaker"], set()).add(row["subset"])
    assert len(subset_of) >= 40
    assert all(len(subsets) == 1 for subsets in subset_of.values())


def test_every_scene_has_compatible_built_in_events():
    assert len(EVENTS) >= 14
    for scene_class in SCENE_CLASSES:
        compatible = [e for e in EVENTS if scene_class in event_scenes()[e]]
        assert len(compatible) >= 3, scene_class
