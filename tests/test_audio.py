"""Saved audio: which mixtures, under which names, at which level."""

import numpy as np
import pytest
import soundfile
from scoring import AudioWriter
from scoring import Utterance


def rows(count=12):
    """Manifest rows of which a quarter is outdoors."""
    return {
        f"mix{number:02}": {
            "setting": "indoor" if number % 4 else "outdoor",
            "scene_class": "bus",
        }
        for number in range(count)
    }


def utterance(mixture_id="mix00", variant="SER", gain=-3):
    """Two loud sources, and estimates with a little noise at another scale."""
    generator = np.random.default_rng(0)
    reference = 2 * generator.standard_normal((800, 2)).astype("float32")
    noise = generator.standard_normal((800, 2)).astype("float32")
    labels = {"ID": mixture_id, "variant": variant, "setting": "outdoor"}
    return Utterance(
        labels,
        ["s1", "s2"],
        np.float32(gain) * (reference + np.float32(0.1) * noise),
        reference,
        reference.sum(-1),
    )


def written(folder, one, limit="all"):
    """Name -> samples of what a writer makes of an utterance."""
    writer = AudioWriter(str(folder), 8000, limit)
    writer.choose({one.labels["ID"]: rows(1)["mix00"]})
    writer.write(one)
    return {
        path.name: soundfile.read(path, dtype="float32")
        for path in folder.iterdir()
    }


def test_files_hold_the_signals_bit_for_bit(tmp_path):
    one = utterance()
    files = written(tmp_path / "deep/audio", one)
    expected = {
        "mix00_SER_mixture.wav": one.mixture,
        "mix00_SER_estimate_s1.wav": one.scaled()[:, 0],
        "mix00_SER_estimate_s2.wav": one.scaled()[:, 1],
        "mix00_SER_reference_s1.wav": one.reference[:, 0],
        "mix00_SER_reference_s2.wav": one.reference[:, 1],
    }
    assert set(files) == set(expected)
    for name, (samples, sample_rate) in files.items():
        assert sample_rate == 8000
        assert np.array_equal(samples, expected[name])
        info = soundfile.info(tmp_path / "deep/audio" / name)
        assert (info.format, info.subtype) == ("WAV", "FLOAT")
        # Nothing is clipped.
        assert np.abs(samples).max() > 4


@pytest.mark.parametrize("gain", [-3, 1e-6, 1e6])
def test_estimates_are_closest_to_their_references(tmp_path, gain):
    files = written(tmp_path / "audio", utterance(gain=gain))
    for source in ("s1", "s2"):
        estimate, _ = files[f"mix00_SER_estimate_{source}.wav"]
        reference, _ = files[f"mix00_SER_reference_{source}.wav"]
        errors = [
            np.sum((factor * estimate - reference) ** 2.0)
            for factor in (1, 0.999, 1.001)
        ]
        assert errors[0] == min(errors)
        assert errors[0] < 0.01 * np.sum(reference**2.0)


def test_broken_estimate_is_saved_as_silence_where_it_is_broken(tmp_path):
    one = utterance()
    one.estimate[:, 0] = np.nan
    files = written(tmp_path / "audio", one)
    assert not files["mix00_SER_estimate_s1.wav"][0].any()
    assert files["mix00_SER_estimate_s2.wav"][0].any()


def test_all_are_chosen():
    writer = AudioWriter("audio", 8000, "all")
    writer.choose(rows())
    assert writer.chosen == set(rows())


@pytest.mark.parametrize("limit, indoor", [(4, 3), (8, 6), (99, 9)])
def test_pick_has_the_proportions_of_the_corpus(limit, indoor):
    writer = AudioWriter("audio", 8000, limit)
    writer.choose(rows())
    assert len(writer.chosen) == min(limit, 12)
    settings = [rows()[name]["setting"] for name in writer.chosen]
    assert settings.count("indoor") == indoor


@pytest.mark.parametrize("limit", [None, 0])
def test_none_is_chosen_and_nothing_is_made(tmp_path, limit):
    writer = AudioWriter(str(tmp_path / "audio"), 8000, limit)
    writer.choose(rows())
    writer.write(utterance())
    assert list(tmp_path.iterdir()) == []


def test_files_of_an_earlier_model_stayed(tmp_path):
    writer = AudioWriter(str(tmp_path / "audio"), 8000, "all")
    writer.clear()
    writer.choose(rows())
    writer.write(utterance())
    mine = tmp_path / "audio/notes.txt"
    mine.write_text("of the user")
    AudioWriter(str(tmp_path / "audio"), 8000, 0).clear()
    assert list((tmp_path / "audio").iterdir()) == [mine]


def test_only_chosen_mixtures_are_saved_in_every_variant(tmp_path):
    writer = AudioWriter(str(tmp_path), 8000, 3)
    writer.choose(rows())
    for name in rows():
        for variant in ("SE", "C"):
            writer.write(utterance(name, variant))
    stems = {path.name.rpartition("_mixture")[0] for path in tmp_path.iterdir()}
    expected = {f"{name}_{v}" for name in writer.chosen for v in ("SE", "C")}
    assert stems - {""} == expected
    assert len(list(tmp_path.iterdir())) == 3 * 2 * 5


@pytest.mark.parametrize("name", ["../outside", "/outside", "in/side"])
def test_name_with_a_path_was_refused_after_hours(tmp_path, name):
    writer = AudioWriter(str(tmp_path / "audio"), 8000, "all")
    with pytest.raises(ValueError, match="cannot name a file"):
        writer.choose({name: rows(1)["mix00"]})


@pytest.mark.parametrize("place", ["folder", "file"])
def test_unwritable_folder_is_named(tmp_path, place):
    folder = tmp_path / "audio"
    if place == "folder":
        folder.write_text("a file")
    else:
        (folder / "mix00_SER_mixture.wav").mkdir(parents=True)
    with pytest.raises(OSError, match="save_audio: .*--save_audio=0") as error:
        written(folder, utterance())
    assert str(folder) in str(error.value)
