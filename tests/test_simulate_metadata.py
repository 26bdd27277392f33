"""Stage 1: what is drawn, from which ranges, and that it is reproducible.

Authors
 * The PolSESS recipe team 2026
"""

import math

import numpy as np
import pytest
import soundfile
from simulate.acoustics import REVERB_RANGES
from simulate.errors import CorpusError
from simulate.metadata import METADATA_COLUMNS, draw_row
from simulate.pool import SourcePool
from simulate.sources import read_sources
from test_simulate_sources import RATE, SECONDS, write_sources


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    return SourcePool(read_sources(write_sources(folder)), "train", folder, 2.0)


@pytest.fixture(scope="module")
def rows(pool):
    return [draw_row(pool, index, 5, 8000, 0.5) for index in range(60)]


def test_columns_are_the_published_ones(rows):
    assert len(METADATA_COLUMNS) == 34
    assert all(tuple(row) == METADATA_COLUMNS for row in rows)


def test_a_row_depends_on_seed_subset_and_index_only(pool, rows):
    assert draw_row(pool, 17, 5, 8000, 0.5) == rows[17]
    assert draw_row(pool, 17, 6, 8000, 0.5) != rows[17]
    assert draw_row(pool, 18, 5, 8000, 0.5) != rows[17]


def test_levels_and_settings(rows):
    assert {row["SSR"] for row in rows} <= set(range(-5, 6))
    assert len({row["SSR"] for row in rows}) > 7
    for row in rows:
        assert 0 <= row["sceneRandomDB"] <= 14
        assert row["sceneOffsetDB"] == -14 + row["sceneRandomDB"]
        assert row["speech1OryginalPath"] != row["speech2OryginalPath"]
        assert row["eventClass"] == "Keys_jangling"
    indoor = sum(row["sceneClass"] == "office" for row in rows)
    assert 15 < indoor < 45


def test_segments_count_from_one_and_fit(rows):
    for row in rows:
        for name in ("speech1", "speech2", "scene", "event"):
            assert row[f"{name}Start"] >= 1
            assert row[f"{name}End"] <= SECONDS * RATE
            length = row[f"{name}End"] - row[f"{name}Start"] + 1
            assert length == 2 * RATE


def test_reverberation_indoors_only(rows):
    ranges = REVERB_RANGES["office"]
    shortest, longest = ranges["pre_delay"]
    for row in rows:
        if row["sceneClass"] == "park":
            assert all(
                row[column] is None
                for column in METADATA_COLUMNS
                if column.startswith(("reverb", "preDelay"))
            )
            assert row["mixFile"].count("-") == 3
            continue
        for column, name in (
            ("highCut", "high_cut"),
            ("diffusion", "diffusion"),
            ("decay", "decay"),
            ("freqDamp", "damping"),
        ):
            assert ranges[name][0] <= row[column] <= ranges[name][1]
        assert shortest <= row["preDelay2"] <= row["preDelay1"] <= longest
        shift = row["preDelay1"] - shortest
        assert row["preDelay1"] - row["preDelay2"] <= 0.3 * shift + 1e-12
        assert shortest <= row["preDelayForEvent"] <= longest


def test_file_names_tell_what_belongs_together(rows):
    for row in rows:
        stems = [
            row[column][: -len(".wav")]
            for column in (
                "speaker1File",
                "speaker2File",
                "sceneFile",
                "eventFile",
            )
        ]
        if row["reverbForEvent"]:
            stems.append(row["reverbForEvent"][len("ev_") : -len(".wav")])
        assert all(len(stem) == 16 and stem.isalnum() for stem in stems)
        assert row["mixFile"] == "-".join(stems) + ".wav"
    names = [row["mixFile"] for row in rows]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("ratio, scene_class", [(0.0, "park"), (1.0, "office")])
def test_indoor_ratio_at_its_ends(pool, ratio, scene_class):
    drawn = {draw_row(pool, i, 0, 8000, ratio)["sceneClass"] for i in range(8)}
    assert drawn == {scene_class}


def test_scene_gain_gives_the_drawn_level(pool, rows):
    row = rows[0]
    # Half the sample rate, the same levels but for what lies above 4 kHz.
    other = draw_row(pool, 0, 5, 16000, 0.5)
    ratio = row["sceneVolumeGain"] / other["sceneVolumeGain"]
    assert abs(20 * math.log10(ratio)) < 1.0
    assert {k: v for k, v in other.items() if k != "sceneVolumeGain"} == {
        k: v for k, v in row.items() if k != "sceneVolumeGain"
    }


def half_silent(folder, subject, active_seconds):
    """Rewrites a source so that only its beginning has sound."""
    path = folder / f"audio/train/{subject}/1.wav"
    signal, rate = soundfile.read(path)
    signal[round(active_seconds * rate) :] = 0
    soundfile.write(path, signal, rate, "PCM_16")


def test_near_silent_speech_is_drawn_again(tmp_path):
    table = write_sources(tmp_path)
    half_silent(tmp_path, "train_anna", 1.5)
    pool = SourcePool(read_sources(table), "train", tmp_path, 2.0)
    for index in range(20):
        row = draw_row(pool, index, 0, 8000, 0.5)
        for name in ("speech1", "speech2"):
            if "anna" in row[f"{name}OryginalPath"]:
                # At least half of the two seconds lie in the active part.
                assert row[f"{name}Start"] <= 0.52 * RATE


@pytest.mark.parametrize(
    "subject, role",
    [("train_anna", "speech"), ("Keys_jangling", "events")],
)
def test_sources_without_sound_end_in_a_clear_error(tmp_path, subject, role):
    table = write_sources(tmp_path)
    half_silent(tmp_path, subject, 0.0)
    pool = SourcePool(read_sources(table), "train", tmp_path, 2.0)
    with pytest.raises(CorpusError, match=f"100 {role} segments of 2 s"):
        for index in range(20):
            draw_row(pool, index, 0, 8000, 0.5)


def test_seed_numbers_are_independent(pool):
    first = [draw_row(pool, i, 0, 8000, 0.5)["sceneRandomDB"] for i in range(8)]
    assert np.std(first) > 1
