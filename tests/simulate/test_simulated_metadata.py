"""Stage 1: what is drawn, from which ranges, and that it is reproducible."""

import math

import corpora
import numpy as np
import pytest
from own_sources import RATE, SECONDS, pool_of, rewrite, write_sources
from simulate.acoustics import REVERB_RANGES
from simulate.metadata import METADATA_COLUMNS, draw_row
from simulate.tables import SimulationError

SPEAKERS = ["train_anna", "train_jan"]


@pytest.fixture(scope="module")
def pool(own):
    return pool_of(own)


@pytest.fixture(scope="module")
def rows(pool):
    return [draw_row(pool, index, 6, 0.5) for index in range(80)]


def test_a_row_depends_on_seed_and_index_only(pool, rows):
    assert draw_row(pool, 17, 6, 0.5) == rows[17]
    assert draw_row(pool, 17, 7, 0.5) != rows[17]
    assert draw_row(pool, 18, 6, 0.5) != rows[17]
    for ratio, scene_class in ((0.0, "park"), (1.0, "airport")):
        ends = [draw_row(pool, index, 0, ratio) for index in range(8)]
        assert {row["sceneClass"] for row in ends} == {scene_class}


def fills(values, lowest, highest):
    """True for values that reach both ends of a range nearly."""
    margin = 0.15 * (highest - lowest)
    low, high = min(values), max(values)
    return (
        lowest <= low < lowest + margin and highest - margin < high <= highest
    )


def test_levels_settings_and_segments(own, rows):
    assert list(METADATA_COLUMNS[:34]) == list(corpora.COLUMNS)
    assert all(tuple(row) == METADATA_COLUMNS for row in rows)
    assert {row["SSR"] for row in rows} == set(range(-5, 6))
    assert fills([row["sceneRandomDB"] for row in rows], 0, 14)
    for row in rows:
        assert row["sceneOffsetDB"] == -14 + row["sceneRandomDB"]
        assert row["speech1OryginalPath"] != row["speech2OryginalPath"]
    for name in ("speech1", "speech2", "scene", "event"):
        starts = [row[f"{name}Start"] for row in rows]
        assert fills(starts, 1, (SECONDS - 2) * RATE + 1)
        assert {
            row[f"{name}End"] - row[f"{name}Start"] + 1 for row in rows
        } == {2 * RATE}
    # One sample less than the recordings have: two places.
    pool = pool_of(own, SECONDS - 1 / RATE)
    starts = {draw_row(pool, i, 0, 0.5)["sceneStart"] for i in range(8)}
    assert starts == {1, 2}


def test_reverberation_indoors_only(rows):
    indoor = [row for row in rows if row["sceneClass"] == "airport"]
    assert 25 < len(indoor) < 55
    ranges = REVERB_RANGES["airport"]
    names = ["pre_delay", "pre_delay", "high_cut", "diffusion", "decay"]
    columns = ["preDelayForEvent", "preDelay1", "highCut", "diffusion", "decay"]
    for column, name in zip([*columns, "freqDamp"], [*names, "damping"]):
        assert fills([row[column] for row in indoor], *ranges[name]), column
    shares = [
        (row["preDelay1"] - row["preDelay2"])
        / (row["preDelay1"] - ranges["pre_delay"][0])
        for row in indoor
    ]
    assert fills(shares, 0, 0.3)
    columns = [c for c in METADATA_COLUMNS if c.startswith("reverb")]
    columns += METADATA_COLUMNS[27:34]
    for row in rows:
        outdoors = row["sceneClass"] == "park"
        assert {row[column] is None for column in columns} == {outdoors}


def test_file_names_tell_what_belongs_together(rows):
    for row in rows:
        names = ["speaker1File", "speaker2File", "sceneFile", "eventFile"]
        stems = [row[name].removesuffix(".wav") for name in names]
        if row["sceneClass"] == "airport":
            stems.append(row["mixFile"].removesuffix(".wav").split("-")[-1])
            for prefix, name in zip(
                ("sp1", "sp2", "ev"), ("Speaker1", "Speaker2", "Event")
            ):
                assert row[f"reverbFor{name}"] == f"{prefix}_{stems[-1]}.wav"
        assert row["mixFile"] == "-".join(stems) + ".wav"
        assert all(len(stem) == 16 and stem.isalnum() for stem in stems)
    assert len({row["mixFile"] for row in rows}) == len(rows)


def stereo(signal):
    return np.stack([signal, signal], 1)


@pytest.mark.parametrize("quieter_db, latest", [(26, 1.0), (math.inf, 0.5)])
def test_speech_is_drawn_where_half_of_it_is_active(
    tmp_path, quieter_db, latest
):
    tone = 0.9 * np.sin(np.arange(SECONDS * RATE) * 440 * 2 * np.pi / RATE)
    tone[round(1.5 * RATE) :] *= 10 ** (-quieter_db / 20)
    table = write_sources(tmp_path)
    rewrite(table, "train_anna", lambda _: stereo(tone))
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


def clicks(signal):
    """Short clicks, loud but far apart."""
    at = np.arange(len(signal)) % (RATE // 4)
    return stereo(0.9 * (at < 400))


@pytest.mark.parametrize(
    "subjects, change, reason",
    [
        (SPEAKERS[:1], silence, r"100 of them too quiet: .* -90\.3 dBFS"),
        (["Keys_jangling"], silence, "all silent. Remove silent recordings"),
        (
            SPEAKERS,
            lambda signal: 0.01 * signal,
            r"100 of them too quiet: the loudest of all has -6\d\.\d dBFS "
            r"\(RMS\), needed are -34\. Amplify quiet recordings",
        ),
        (SPEAKERS, clicks, "100 of them with speech in less than 50% of"),
    ],
)
def test_unusable_sources_end_in_a_clear_error(
    tmp_path, subjects, change, reason
):
    table = write_sources(tmp_path)
    for subject in subjects:
        rewrite(table, subject, change)
    role = "events" if subjects == ["Keys_jangling"] else "speech"
    message = f"train: 100 {role} segments of 1 s drawn, {reason}"
    with pytest.raises(SimulationError, match=message):
        draw_row(pool_of(table, segment_seconds=1.0), 0, 0, 0.5)
