"""The sources table: reading, refusals, built-in plan."""

import pytest
from own_sources import RATE, SECONDS, pool_of, read_table, write_table
from simulate.acoustics import REVERB_RANGES, SCENE_CLASSES, event_scenes
from simulate.builtin import plan_sources
from simulate.sounds import read_sounds
from simulate.sources import COLUMNS, read_pools, read_sources
from simulate.tables import SimulationError, list_causes


@pytest.fixture
def table(own, tmp_path):
    """A table of its own, with absolute paths of the shared recordings."""
    rows = read_table(own)
    for row in rows:
        row["filePath"] = str(own.parent / row["filePath"])
    return write_table(tmp_path / "sources.csv", rows)


def change(table, number, **values):
    """Changes a row of a table."""
    rows = read_table(table)
    rows[number].update(values)
    write_table(table, rows, list(dict.fromkeys([*COLUMNS, *values])))


def problems_of(table):
    """The lines of the error in which reading a table ends."""
    with pytest.raises(SimulationError) as caught:
        read_sources(table)
    return str(caught.value).splitlines()


def test_a_users_table_of_relative_and_absolute_paths(own, table):
    change(table, 0, subset=" train ", duration="3.04")  # rounded
    text = table.read_text(encoding="utf-8").replace("\n", "\r\n")
    table.write_bytes(b"\xef\xbb\xbf" + text.encode())
    for recordings in (read_sources(own), read_sources(table)):
        assert len(recordings) == 15
        assert {r.sample_rate for r in recordings} == {RATE}
        assert {r.frames for r in recordings} == {SECONDS * RATE}


@pytest.mark.parametrize(
    "number, column, value, message",
    [
        (
            0,
            "subset",
            "valid",
            "unknown subset, expected one of train, val, test",
        ),
        (0, "role", "noise", "one of speech, envScene, events: line 2 ("),
        (0, "speaker", "", "speech without a speaker"),
        (0, "sampleRate", "16000", "expected 16000, found 44100"),
        (0, "channels", "1", "expected 1, found 2"),
        (0, "duration", "3.06", "expected 3.06, found 3"),
        (0, "gainDB", "loud", "gainDB: expected a number of dB"),
        (0, "filePath", "no/such.wav", "no such file"),
        (0, "filePath", "sources.csv", "unreadable audio"),
        (2, "class", "moon", "unknown class, expected one of airport"),
        (4, "class", "", "event without a class"),
        (5, "speaker", "train_jan", "train_jan is in val, but in train in"),
        (
            7,
            "filePath",
            "{own}/../audio/train/airport/1.wav",
            "also in line 4 (tra",
        ),
    ],
)
def test_row_at_fault_is_named(own, table, number, column, value, message):
    change(table, number, **{column: value.format(own=own.parent / "audio")})
    header, problem = problems_of(table)
    assert header == f"{table}: 1 problem(s)"
    assert message in problem and f"line {number + 2} (" in problem


def test_a_cause_is_said_once_with_its_count_and_three_places(table):
    for number in range(11):
        change(table, number, channels="1")
    change(table, 12, sampleRate="1")
    header, first, *places, second = problems_of(table)
    assert header == f"{table}: 12 problem(s)"
    assert first.startswith("  channels is not that") and "11 times" in first
    assert [place.split(" (")[0] for place in places] == [
        f"    line {line}" for line in (2, 3, 4)
    ]
    assert second.startswith("  sampleRate is not") and "line 14 (" in second


def test_missing_column_rows_and_table(table):
    write_table(table, read_table(table), columns=COLUMNS[1:])
    assert "missing column(s) subset: found filePath" in problems_of(table)[1]
    write_table(table, [])
    assert "no rows" in problems_of(table)[1]
    table.unlink()
    assert "no such file" in problems_of(table)[0]


@pytest.mark.parametrize(
    "without, seconds, ratio, problem",
    [
        ([], 3.0, 0.5, ""),
        (
            [],
            3.01,
            0.5,
            "train: expected two speakers: 0 speaker(s) with a recording of at "
            "least 3.01",
        ),
        (
            ["park"],
            2.0,
            0.9,
            "train: no outdoor scene: needs a recording of at",
        ),
        (["park"], 2.0, 1.0, ""),
        (["airport"], 2.0, 0.1, "train: no indoor scene"),
        (["airport"], 2.0, 0.0, ""),
        (
            ["Keys_jangling"],
            2.0,
            0.5,
            "scene class airport",
        ),
        (["Keys_jangling"], 2.0, 0.5, "scene class park"),
    ],
)
def test_what_a_subset_lacks_is_named(own, without, seconds, ratio, problem):
    problems = pool_of(own, seconds, without).problems(ratio)
    problems = "\n".join(list_causes(problems))
    assert problem in problems and bool(problem) == bool(problems)


def test_what_all_subsets_lack_is_named_at_once(own):
    options = {"sample_rate": 8000, "segment_seconds": 9, "indoor_ratio": 0.5}
    with pytest.raises(SimulationError, match=r"(?s)train: exp.*test: exp"):
        read_pools(own, ["train", "test"], options)


def test_two_recordings_of_one_speaker_are_no_two_speakers(table):
    change(table, 1, speaker="train_anna")
    assert "1 speaker(s)" in pool_of(table).problems(0.5)[0][1]


def test_event_with_several_labels_is_found_by_each(table):
    change(table, 4, **{"class": "Dog, Animal,Glass"})
    pool = pool_of(table)
    assert pool.event_classes["airport"] == ["Glass"]
    assert pool.event_classes["park"] == ["Animal", "Dog"]


def test_the_24_scene_classes_and_their_rooms():
    assert len(set(SCENE_CLASSES)) == 24 and len(REVERB_RANGES) == 16
    assert (
        set(REVERB_RANGES) < set(SCENE_CLASSES) and len(event_scenes()) == 193
    )
    assert set().union(*event_scenes().values()) == set(SCENE_CLASSES)
    assert REVERB_RANGES["car"]["decay"] == (0.95, 0.99)
    assert REVERB_RANGES["airport"]["pre_delay"] == (0.01, 0.5)


def test_built_in_sources_cover_everything_and_share_nothing():
    rows = plan_sources(12.0)
    assert len({row["filePath"] for row in rows}) == len(rows) == 570
    events = read_sounds()["events"]
    for scene in SCENE_CLASSES:
        assert sum(scene in event_scenes()[event] for event in events) >= 3
    speakers = [row["speaker"] for row in rows]
    for subset, n_voices, count in (
        ("train", 26, 4),
        ("val", 8, 2),
        ("test", 8, 2),
    ):
        some = [row for row in rows if row["subset"] == subset]
        for role, classes in (("envScene", SCENE_CLASSES), ("events", events)):
            labels = [row["class"] for row in some if row["role"] == role]
            assert sorted(labels) == sorted([*classes] * count)
        voices = [row["speaker"] for row in some if row["role"] == "speech"]
        assert len(set(voices)) == n_voices
        # Five recordings each, all of them in this subset.
        assert all(speakers.count(v) == voices.count(v) == 5 for v in voices)
