"""Stage 1: what is drawn, from which ranges, and that it is reproducible."""

import math

import corpora
import numpy as np
import pytest
from simulate.acoustics import REVERB_RANGES
from simulate.metadata import METADATA_COLUMNS, draw_row
from simulate.sources import SimulationError
from sources import RATE, SECONDS, pool_of, rewrite, write_sources

SPEAKERS = "train_anna", "train_jan"


@pytest.fixture(scope="module")
def pool(own):
    return pool_of(own)


@pytest.fixture(scope="module")
def rows(pool):
    return [draw_row(pool, index, 6, 0.5) for index in range(80)]


def test_columns_are_the_published_ones(rows):
    assert list(METADATA_COLUMNS) == list(corpora.COLUMNS)
    assert all(tuple(row) == METADATA_COLUMNS for row in rows)


def test_a_row_depends_on_seed_and_index_only(pool, rows):
    assert draw_row(pool, 17, 6, 0.5) == rows[17]
    assert draw_row(pool, 17, 7, 0.5) != rows[17]
    assert draw_row(pool, 18, 6, 0.5) != rows[17]


def fills(values, lowest, highest):
    """True for values that reach both ends of a range nearly."""
    margin = 0.15 * (highest - lowest)
    low, high = min(values), max(values)
    return (
        lowest <= low < lowest + margin and highest - margin < high <= highest
    )


def test_levels_settings_and_segments(rows):
    assert {row["SSR"] for row in rows} == set(range(-5, 6))
    assert fills([row["sceneRandomDB"] for row in rows], 0, 14)
    for row in rows:
        assert row["sceneOffsetDB"] == -14 + row["sceneRandomDB"]
        assert row["speech1OryginalPath"] != row["speech2OryginalPath"]
        assert row["eventClass"] == "Keys_jangling"
    for name in ("speech1", "speech2", "scene", "event"):
        starts = [row[f"{name}Start"] for row in rows]
        assert fills(starts, 1, (SECONDS - 2) * RATE + 1)
        for row in rows:
            assert row[f"{name}End"] - row[f"{name}Start"] + 1 == 2 * RATE
    indoor = sum(row["sceneClass"] == "office" for row in rows)
    assert 25 < indoor < 55


def test_a_segment_of_the_whole_recording_starts_at_one(own):
    row = draw_row(pool_of(own, segment_seconds=SECONDS), 0, 0, 0.5)
    assert (row["sceneStart"], row["sceneEnd"]) == (1, SECONDS * RATE)


def test_reverberation_indoors_only(rows):
    indoor = [row for row in rows if row["sceneClass"] == "office"]
    ranges = REVERB_RANGES["office"]
    for column, name in (
        ("preDelay1", "pre_delay"),
        ("preDelayForEvent", "pre_delay"),
        ("highCut", "high_cut"),
        ("diffusion", "diffusion"),
        ("decay", "decay"),
        ("freqDamp", "damping"),
    ):
        assert fills([row[column] for row in indoor], *ranges[name]), column
    shares = [
        (row["preDelay1"] - row["preDelay2"])
        / (row["preDelay1"] - ranges["pre_delay"][0])
        for row in indoor
    ]
    assert fills(shares, 0, 0.3)
    columns = METADATA_COLUMNS[METADATA_COLUMNS.index("preDelayForEvent") :]
    columns += tuple(c for c in METADATA_COLUMNS if c.startswith("reverb"))
    for row in rows:
        expected = row["sceneClass"] == "park"
        assert {row[column] is None for column in columns} == {expected}


def test_file_names_tell_what_belongs_together(rows):
    for row in rows:
        names = [
            row[column]
            for column in (
                *("speaker1File", "speaker2File", "sceneFile", "eventFile"),
                *("reverbForSpeaker1", "reverbForSpeaker2", "reverbForEvent"),
            )
            if row[column]
        ]
        stems = [name[: -len(".wav")] for name in names]
        prefixes = [stem[: -len("_") - 16] for stem in stems[4:]]
        assert prefixes == (["sp1", "sp2", "ev"] if stems[4:] else [])
        stems = [*stems[:4], *sorted({stem[-16:] for stem in stems[4:]})]
        assert len(stems) == 4 + (row["sceneClass"] == "office")
        assert all(len(stem) == 16 and stem.isalnum() for stem in stems)
        assert row["mixFile"] == "-".join(stems) + ".wav"
    assert len({row["mixFile"] for row in rows}) == len(rows)


@pytest.mark.parametrize("ratio, scene_class", [(0.0, "park"), (1.0, "office")])
def test_indoor_ratio_at_its_ends(pool, ratio, scene_class):
    drawn = {draw_row(pool, i, 0, ratio)["sceneClass"] for i in range(8)}
    assert drawn == {scene_class}


def test_a_row_is_the_same_at_both_sample_rates(own, rows):
    row = dict(rows[0])
    other = draw_row(pool_of(own, sample_rate=16000), 0, 6, 0.5)
    # The levels differ by what lies above 4 kHz.
    ratio = row.pop("sceneVolumeGain") / other.pop("sceneVolumeGain")
    assert abs(20 * math.log10(ratio)) < 1.0
    assert row == other


@pytest.mark.parametrize("quieter_db, latest", [(26, 1.0), (math.inf, 0.5)])
def test_speech_is_drawn_where_half_of_it_is_active(
    tmp_path, quieter_db, latest
):
    def tone(signal):
        """Is loud for half of the time."""
        signal = 0.9 * np.sin(np.arange(len(signal)) * 440 * 2 * np.pi / RATE)
        signal[round(1.5 * RATE) :] *= 10 ** (-quieter_db / 20)
        return np.stack([signal, signal], 1)

    table = write_sources(tmp_path)
    rewrite(table, "train_anna", tone)
    pool = pool_of(table)
    starts = [
        row[f"{name}Start"] / RATE
        for row in (draw_row(pool, index, 0, 0.5) for index in range(40))
        for name in ("speech1", "speech2")
        if "anna" in row[f"{name}OryginalPath"]
    ]
    assert len(starts) == 40
    assert fills(starts, 0, latest + 0.02)


def silence(signal):
    return 0 * signal


def quiet(signal):
    return 0.01 * signal


def clicks(signal):
    """Short clicks, loud but far apart."""
    clicks = np.zeros(len(signal))
    clicks[:: RATE // 4] = 0.9
    clicks = np.convolve(clicks, np.ones(400))[: len(signal)]
    return np.stack([clicks, clicks], 1)


@pytest.mark.parametrize(
    "subjects, change, reason",
    [
        (SPEAKERS[:1], silence, "100 of them too quiet: .* -90.3 dBFS"),
        (["Keys_jangling"], silence, "all silent. Remove silent recordings"),
        (
            SPEAKERS,
            quiet,
            r"100 of them too quiet: the loudest of all has -6\d\.\d dBFS "
            r"\(RMS\), needed are -34\. Amplify quiet recordings",
        ),
        (
            SPEAKERS,
            clicks,
            "100 of them with speech in less than 50% of their time. Amplify",
        ),
    ],
)
def test_unusable_sources_end_in_a_clear_error(
    tmp_path, subjects, change, reason
):
    table = write_sources(tmp_path)
    for subject in subjects:
        rewrite(table, subject, change)
    pool = pool_of(table, segment_seconds=1.0)
    role = "events" if subjects == ["Keys_jangling"] else "speech"
    message = f"train: 100 {role} segments of 1 s drawn, {reason}"
    with pytest.raises(SimulationError, match=message):
        draw_row(pool, 0, 0, 0.5)
