"""Stage 1: what is drawn, from which ranges, and that it is reproducible.

Authors
 * The PolSESS recipe team 2026
"""

import math

import numpy as np
import pytest
from simulate.acoustics import REVERB_RANGES
from simulate.metadata import METADATA_COLUMNS, draw_row
from simulate.segments import MIN_SPEECH_DBFS
from simulate.sources import SimulationError
from sources import RATE, SECONDS, pool_of, rewrite, write_sources


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return pool_of(write_sources(tmp_path_factory.mktemp("sources")))


@pytest.fixture(scope="module")
def rows(pool):
    return [draw_row(pool, index, 5, 0.5) for index in range(60)]


def test_columns_are_the_published_ones(rows):
    assert len(METADATA_COLUMNS) == 34
    assert all(tuple(row) == METADATA_COLUMNS for row in rows)


def test_a_row_depends_on_seed_subset_and_index_only(pool, rows):
    assert draw_row(pool, 17, 5, 0.5) == rows[17]
    assert draw_row(pool, 17, 6, 0.5) != rows[17]
    assert draw_row(pool, 18, 5, 0.5) != rows[17]


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
    drawn = {draw_row(pool, i, 0, ratio)["sceneClass"] for i in range(8)}
    assert drawn == {scene_class}


def test_a_row_is_the_same_at_both_sample_rates(tmp_path, rows):
    row = rows[0]
    wide_pool = pool_of(write_sources(tmp_path), sample_rate=16000)
    # The levels differ by what lies above 4 kHz.
    other = draw_row(wide_pool, 0, 5, 0.5)
    ratio = row["sceneVolumeGain"] / other["sceneVolumeGain"]
    assert abs(20 * math.log10(ratio)) < 1.0
    assert {k: v for k, v in other.items() if k != "sceneVolumeGain"} == {
        k: v for k, v in row.items() if k != "sceneVolumeGain"
    }


def half_silent(active_seconds):
    """Change of a signal that silences all but its beginning."""

    def change(signal):
        signal[round(active_seconds * RATE) :] = 0
        return signal

    return change


def test_near_silent_speech_is_drawn_again(tmp_path):
    table = write_sources(tmp_path)
    rewrite(tmp_path, "train_anna", half_silent(1.5))
    pool = pool_of(table)
    for index in range(20):
        row = draw_row(pool, index, 0, 0.5)
        for name in ("speech1", "speech2"):
            if "anna" in row[f"{name}OryginalPath"]:
                # At least half of the two seconds lie in the active part.
                assert row[f"{name}Start"] <= 0.52 * RATE


def draw_error(table):
    """The message of the error in which the draw of 20 rows ends."""
    pool = pool_of(table)
    with pytest.raises(SimulationError) as caught:
        for index in range(20):
            draw_row(pool, index, 0, 0.5)
    return str(caught.value)


@pytest.mark.parametrize(
    "subject, role",
    [("train_anna", "speech"), ("Keys_jangling", "events")],
)
def test_sources_without_sound_end_in_a_clear_error(tmp_path, subject, role):
    table = write_sources(tmp_path)
    rewrite(tmp_path, subject, half_silent(0.0))
    assert f"train: 100 {role} segments of 2 s drawn" in draw_error(table)


def test_quiet_speech_ends_in_an_error_that_says_how_quiet(tmp_path):
    table = write_sources(tmp_path)
    for speaker in ("train_anna", "train_jan"):
        rewrite(tmp_path, speaker, lambda signal: 0.01 * signal)
    message = draw_error(table)
    assert "100 speech segments of 2 s drawn, 100 of them too qu" in message
    loudest_dbfs = float(message.split("loudest of all has ")[1].split()[0])
    assert -70 < loudest_dbfs < -50
    assert f"needed are {MIN_SPEECH_DBFS:g}" in message
    assert "Amplify quiet recordings" in message


def test_speech_without_activity_is_not_called_quiet(tmp_path):
    table = write_sources(tmp_path)

    def clicks(signal):
        """Short clicks, loud but far apart."""
        signal[:] = 0
        signal[:: RATE // 4] = 0.9
        clicks = np.convolve(signal[:, 0], np.ones(400))[: len(signal)]
        return np.stack([clicks, clicks], 1)

    for speaker in ("train_anna", "train_jan"):
        rewrite(tmp_path, speaker, clicks)
    assert "100 of them with speech in less than 50% of" in draw_error(table)
