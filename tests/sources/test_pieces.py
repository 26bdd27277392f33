"""Levels, and recordings that are made of pieces."""

import numpy as np
import pytest
import soundfile
from own_sources import level_db
from source_trees import RATE, noise
from sources.measure import gain_to_level, measure
from sources.pieces import (
    PAUSE_SECONDS,
    Recording,
    cut,
    join_utterances,
    name_pieces,
    pad,
    write_pieces,
)


def as_recording(path, role="speech"):
    """A file as a recording."""
    m = measure(path)
    assert not m.reason
    return Recording(
        role,
        "own",
        "own-anna",
        "own-anna",
        (),
        [(path, 0, m.frames)],
        m.sample_rate,
        m.frames,
        m.channels,
        m.power,
        m.n_active,
        m.peak,
        path=path,
    )


def written(recording, folder):
    """Samples of a made recording, after it was written twice."""
    name_pieces(recording, folder)
    write_pieces(recording)
    state = recording.path.stat().st_mtime_ns
    write_pieces(recording)
    assert recording.path.stat().st_mtime_ns == state
    assert soundfile.info(recording.path).subtype == "PCM_16"
    samples, rate = soundfile.read(recording.path, dtype="int16")
    assert rate == recording.sample_rate and len(samples) == recording.frames
    return samples


def test_joined_samples_are_the_pieces_with_pauses(tmp_path):
    paths = [tmp_path / f"{number}.wav" for number in range(5)]
    for path, seconds in zip(paths, (0.5, 0.7, 0.9, 0.4, 0.3)):
        noise(path, seconds)
    utterances = [as_recording(path) for path in paths]
    first, *others = join_utterances(utterances, segment_seconds=1.0)
    # 0.5 + 0.7 + 0.9 and two pauses are two segments; the rest is too short.
    assert [path for path, *_ in first.pieces] == paths and not others
    pause = np.zeros(round(PAUSE_SECONDS * RATE), np.int16)
    expected = []
    for path in paths:
        expected += [soundfile.read(path, dtype="int16")[0], pause]
    expected = np.concatenate(expected[:-1])
    samples = written(first, tmp_path / "made")
    np.testing.assert_array_equal(samples, expected)
    active = [s for s in expected.reshape(-1, 1)[:, 0] if s]
    found = 10 * np.log10(first.power)
    assert found == pytest.approx(level_db(np.array(active)) - 90.31, abs=0.1)


def test_utterances_fill_several_recordings_and_too_few_none(tmp_path):
    noise(tmp_path / "a.wav", 0.6)
    one = as_recording(tmp_path / "a.wav")
    joined = join_utterances([one] * 11, segment_seconds=1.0)
    # Three utterances and two pauses are 2.3 s; two are left at the end.
    assert [len(recording.pieces) for recording in joined] == [3, 3, 5]
    assert join_utterances([one], segment_seconds=1.0) == []


def test_a_padded_event_is_whole_at_a_place_of_its_own(tmp_path):
    places = set()
    for number in range(6):
        path = tmp_path / f"{number}.wav"
        event = noise(path, 0.5, channels=2)
        padded = pad(as_recording(path, "events"), 2.0, seed=0)
        again = pad(as_recording(path, "events"), 2.0, seed=0)
        other = pad(as_recording(path, "events"), 2.0, seed=1)
        assert again == padded != other
        places.add(padded.lead)
        assert padded.lead <= 1.5 * RATE and len(written(padded, tmp_path))
        samples = written(padded, tmp_path)
        inside = samples[padded.lead : padded.lead + RATE // 2]
        stereo = soundfile.read(path)[0]
        np.testing.assert_allclose(inside, 32768 * stereo.mean(1), atol=0.51)
        assert np.count_nonzero(samples) == np.count_nonzero(inside)
        assert len(samples) == 2 * RATE and event.shape == stereo.shape
    assert len(places) > 1


def test_a_cut_stretch_holds_its_samples(tmp_path):
    noise(tmp_path / "a.wav", 1.0)
    whole = as_recording(tmp_path / "a.wav", "envScene")
    stretch = cut(whole, 800, 1000, "val")
    expected = soundfile.read(tmp_path / "a.wav", dtype="int16")[0][800:1000]
    np.testing.assert_array_equal(written(stretch, tmp_path), expected)
    assert stretch.subsets == ("val",) and stretch.group != whole.group


def test_a_changed_piece_gives_another_name(tmp_path):
    noise(tmp_path / "a.wav", 1.0)
    recording = as_recording(tmp_path / "a.wav")
    name_pieces(recording, tmp_path)
    before = recording.path
    noise(tmp_path / "a.wav", 1.1)
    name_pieces(recording, tmp_path)
    assert recording.path != before


def test_the_level_is_that_of_the_active_part(tmp_path):
    rng = np.random.default_rng(0)
    speech = np.concatenate(
        [0.02 * rng.standard_normal(3 * RATE), np.zeros(5 * RATE)]
    )
    soundfile.write(tmp_path / "a.flac", speech, RATE)
    m = measure(tmp_path / "a.flac")
    # 0.02 is -33.98 dB; -26 dBFS needs 7.98 dB.
    assert gain_to_level("speech", m.power, m.peak) == pytest.approx(8, abs=0.1)
    assert m.frames == len(speech) and m.n_active == 150


@pytest.mark.parametrize(
    "role, level_dbfs, peak, gain_db",
    [
        ("speech", -46, 0.05, 20.0),
        ("speech", -16, 0.9, -10.0),
        ("speech", -66, 0.001, 40.0),
        ("speech", -67, 0.001, None),
        ("speech", -36, 0.5, 6.0),  # 0.999 / 0.5 is 6.01 dB
        ("speech", -30, 1.0, 0.0),
        ("envScene", -49, 0.1, 0.0),
        ("envScene", -60, 0.003, 20.0),
        ("events", -80, 0.0002, 40.0),
        ("events", -200, 0.0, None),
    ],
)
def test_gains(role, level_dbfs, peak, gain_db):
    assert gain_to_level(role, 10 ** (level_dbfs / 10), peak) == gain_db


def test_why_a_file_cannot_be_used(tmp_path):
    path = tmp_path / "a.flac"
    noise(path, 4.0)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert measure(path).reason.startswith("unreadable")
    assert not measure(path, header_only=True).reason
    path.write_text("no audio")
    assert measure(path).reason.startswith("unreadable (")
    assert str(path) not in measure(path).reason
    soundfile.write(tmp_path / "b.wav", np.zeros(0), RATE)
    assert measure(tmp_path / "b.wav").reason == "unreadable (no samples)"
    soundfile.write(tmp_path / "c.wav", np.full(9, np.nan), RATE, "FLOAT")
    assert "NaN" in measure(tmp_path / "c.wav").reason
    assert measure(tmp_path / "none.wav").reason.startswith("unreadable")


def test_a_truncated_mp3_is_found_and_its_decoder_is_silent(tmp_path, capfd):
    noise(tmp_path / "a.mp3", 4.0)
    whole = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "b.mp3").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "c.mp3").write_bytes(whole[:3000] + b"\0" * 3000 + whole[6000:])
    assert not measure(tmp_path / "a.mp3").reason
    for name in ("b.mp3", "c.mp3"):
        assert measure(tmp_path / name).reason.startswith("unreadable")
    assert capfd.readouterr().err == ""


def test_equal_samples_have_one_digest(tmp_path):
    noise(tmp_path / "a.wav", 0.5)
    samples = soundfile.read(tmp_path / "a.wav", dtype="int16")[0]
    soundfile.write(tmp_path / "b.flac", samples, RATE)
    soundfile.write(tmp_path / "c.wav", samples[::-1], RATE)
    a, b, c = (
        measure(tmp_path / x).digest for x in ("a.wav", "b.flac", "c.wav")
    )
    assert a == b != c


def test_a_file_shorter_than_a_frame_has_a_level(tmp_path):
    noise(tmp_path / "a.wav", 0.005)
    assert measure(tmp_path / "a.wav").n_active == 1
