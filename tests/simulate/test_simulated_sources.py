"""The sources table: reading, refusals, built-in plan.

Authors
 * The PolSESS recipe team 2026
"""

import pytest
from simulate.acoustics import (
    INDOOR_SCENES,
    OUTDOOR_SCENES,
    REVERB_RANGES,
    SCENE_CLASSES,
    SUBSETS,
    event_scenes,
)
from simulate.builtin import plan_sources
from simulate.sounds import read_sounds
from simulate.sources import COLUMNS, SimulationError, read_pools, read_sources
from sources import (
    RATE,
    SECONDS,
    pool_of,
    read_table,
    write_sources,
    write_table,
)


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
        (0, "duration", "9.5", "the table says 9.5, the file 3"),
        (0, "duration", "long", "the table says long, the file 3"),
        (0, "filePath", "no/such.wav", "no such file"),
        (0, "filePath", "sources.csv", "unreadable audio"),
        (2, "class", "moon", "class 'moon', expected one of airport"),
        (4, "class", "", "event without a class"),
        (5, "speaker", "train_jan", "speaker train_jan is in val, but in tr"),
    ],
)
def test_row_at_fault_is_named(tmp_path, row, column, value, message):
    table = write_sources(tmp_path)
    rows = read_table(table)
    rows[row][column] = value
    write_table(table, rows)
    with pytest.raises(SimulationError) as caught:
        read_sources(table)
    assert message in str(caught.value)
    assert f"line {row + 2} (" in str(caught.value)


def test_all_faults_are_reported_at_once(tmp_path):
    table = write_sources(tmp_path)
    rows = read_table(table)
    rows[0]["channels"], rows[1]["speaker"], rows[7]["class"] = "1", "", "x"
    write_table(table, rows)
    with pytest.raises(SimulationError) as caught:
        read_sources(table)
    assert str(caught.value).startswith(f"{table}: 3 problem(s)")


def test_recording_in_two_subsets_is_refused(tmp_path):
    table = write_sources(tmp_path)
    rows = read_table(table)
    # The same file under another spelling of its path.
    rows[7]["filePath"] = "audio/../audio/train/office/1.wav"
    write_table(table, rows)
    with pytest.raises(SimulationError, match="also in line 4 .train."):
        read_sources(table)


def test_missing_column_table_and_rows(tmp_path):
    table = write_sources(tmp_path)
    rows = read_table(table)
    write_table(table, rows, columns=COLUMNS[:-1])
    with pytest.raises(SimulationError, match=r"missing column\(s\) speaker"):
        read_sources(table)
    write_table(table, [])
    with pytest.raises(SimulationError, match="no rows"):
        read_sources(table)
    with pytest.raises(SimulationError, match="no such file"):
        read_sources(tmp_path / "none.csv")


def test_what_a_subset_lacks_is_named(tmp_path):
    table = write_sources(tmp_path)
    recordings = read_sources(table)

    def problems(recordings, segment_seconds=2.0, indoor_ratio=0.5):
        """Problems of a pool with these recordings."""
        pool = pool_of(table, recordings, segment_seconds)
        return "\n".join(pool.problems(indoor_ratio))

    assert not problems(recordings)
    assert "0 speaker(s)" in problems(recordings, 3.5)
    one = [r for r in recordings if r.speaker != "train_jan"]
    assert "1 speaker(s)" in problems(one)
    indoor = [r for r in recordings if r.labels != ("park",)]
    assert "no outdoor scene" in problems(indoor)
    assert not problems(indoor, indoor_ratio=1.0)
    silent = [r for r in recordings if r.role != "events"]
    for scene_class in ("office", "park"):
        expected = f"compatible with the scene class {scene_class}"
        assert expected in problems(silent)


def test_subsets_that_lack_something_are_named_together(tmp_path):
    table = write_sources(tmp_path)
    options = {"sample_rate": 8000, "segment_seconds": 9, "indoor_ratio": 0.5}
    with pytest.raises(SimulationError) as caught:
        read_pools(table, ["train", "test"], options)
    assert "train: 0 speaker(s)" in str(caught.value)
    assert "test: 0 speaker(s)" in str(caught.value)


def test_event_with_several_labels_is_found_by_each(tmp_path):
    table = write_sources(tmp_path)
    rows = read_table(table)
    rows[4]["class"] = "Dog, Animal,Door"
    write_table(table, rows)
    pool = pool_of(table)
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
    events = read_sounds()["events"]
    assert len(events) == 21
    for scene_class in SCENE_CLASSES:
        compatible = [e for e in events if scene_class in event_scenes()[e]]
        assert len(compatible) >= 3, scene_class
