"""Built-in sources: voices, sentences, the engine, scenes and events.

Authors
 * The PolSESS recipe team 2026
"""

import time
import types

import numpy as np
import pytest
from simulate import speech
from simulate.acoustics import SCENE_CLASSES
from simulate.builtin import make_sources, plan_sources
from simulate.segments import EMPTY_PEAK
from simulate.sounds import SAMPLE_RATE, make_sound, read_sounds
from simulate.sources import SimulationError
from simulate.speech import find_engine, read_sentences, read_voices, synthesise
from sources import contents

EVENTS = sorted(read_sounds()["events"])


def test_voices_are_many_and_disjoint():
    voices = read_voices()
    assert len({voice["speaker"] for voice in voices}) == len(voices) == 42
    counts = [sum(v["subset"] == s for v in voices) for s in ("train", "val")]
    assert counts == [26, 8]


def test_sentences_are_polish_and_disjoint():
    sentences = read_sentences()
    assert [len(texts) for texts in sentences.values()] == [70, 15, 15]
    texts = [text for part in sentences.values() for text in part]
    assert len(set(texts)) == 100
    assert all(8 <= len(text.split()) <= 16 for text in texts)
    assert set("ąćęłńóśźż") <= set("".join(texts))
    assert all(text[-1] in ".?" for text in texts)


def test_every_voice_differs_from_the_default_and_the_others():
    assert find_engine().startswith("espeakng-loader ")
    voices = [{"variant": "no_such_variant"}, *read_voices()]
    heard = {
        synthesise({**voice, "speed": 160, "pitch": 50}, "Raz, dwa.")[
            0
        ].tobytes()
        for voice in voices
    }
    assert len(heard) == len(voices)


def test_no_voice_depends_on_the_time():
    """eSpeak seeds the noise of some voices with the time in seconds."""

    def speak(voices):
        """The samples of each voice, as bytes."""
        signals = [synthesise(voice, "Dzień dobry.")[0] for voice in voices]
        return [signal.tobytes() for signal in signals]

    breathing = [{"variant": "f5", "pitch": 50, "speed": 160}]
    first = speak(read_voices()), speak(breathing)
    time.sleep(1.1)
    assert speak(read_voices()) == first[0]
    assert speak(breathing) != first[1]  # negative control


def loader_with_data(data):
    """espeakng_loader with its data in another folder."""
    library = speech.espeakng_loader.get_library_path()
    return types.SimpleNamespace(
        get_library_path=lambda: library, get_data_path=lambda: str(data)
    )


def test_library_reads_data_from_a_long_path(monkeypatch, tmp_path):
    folder = tmp_path / ("long" * 20) / ("path" * 20)
    folder.mkdir(parents=True)
    data = folder / "espeak-ng-data"
    data.symlink_to(speech.espeakng_loader.get_data_path())
    monkeypatch.setattr(speech, "espeakng_loader", loader_with_data(data))
    assert synthesise(read_voices()[0], "Dzień dobry")[0].any()


def test_broken_engine_is_named(monkeypatch, tmp_path):
    loader = loader_with_data(tmp_path / "none")
    monkeypatch.setattr(speech, "espeakng_loader", loader)
    with pytest.raises(SimulationError, match="steph3: exit status"):
        synthesise(read_voices()[0], "Dzień dobry")
    with pytest.raises(SimulationError, match="does not have the voice"):
        find_engine()


def test_missing_engine_names_its_package(monkeypatch):
    monkeypatch.setattr(speech, "espeakng_loader", None)
    with pytest.raises(SimulationError, match="pip install espeakng-loader"):
        find_engine()


def test_recordings_are_full_and_reproducible(monkeypatch, tmp_path):
    plan = plan_sources(12.0)
    few = [plan[0], next(row for row in plan if row["role"] == "events")]
    monkeypatch.setattr("simulate.builtin.plan_sources", lambda seconds: few)
    make_sources(tmp_path / "a", 4.0, n_jobs=1)
    make_sources(tmp_path / "b", 4.0, n_jobs=1)
    made = contents(tmp_path / "a")
    assert made == contents(tmp_path / "b")
    assert set(made) == {"sources.csv", *(row["filePath"] for row in few)}
    samples = np.frombuffer(made[plan[0]["filePath"]][44:], dtype="<i2")
    assert len(samples) == 12 * SAMPLE_RATE
    assert np.mean(np.abs(samples) > 32) > 0.5


def band_levels(signal):
    power = np.abs(np.fft.rfft(signal)) ** 2
    edges = np.geomspace(60, 7000, 13) / SAMPLE_RATE * len(signal)
    bands = np.split(power, edges.astype(int))[1:-1]
    return 10 * np.log10([band.sum() / power.sum() + 1e-9 for band in bands])


@pytest.mark.parametrize("role", ["envScene", "events"])
def test_classes_sound_different(role):
    spectra = {}
    for label in read_sounds()[role]:
        signal = make_sound(np.random.default_rng(1), role, label, 4.0, 4.0)
        assert np.isfinite(signal).all() and np.abs(signal).max() <= 0.9
        assert 0.005 < np.sqrt(np.mean(signal**2)) < 0.06
        spectra[label] = band_levels(signal)
    assert role == "events" or set(spectra) == set(SCENE_CLASSES)
    names = list(spectra)
    for i, first in enumerate(names):
        for second in names[:i]:
            distance = np.abs(spectra[first] - spectra[second]).mean()
            assert distance > 1.0, (first, second, distance)


@pytest.mark.parametrize("event_class", EVENTS)
def test_every_segment_of_an_event_recording_has_sound(event_class):
    rng, seconds = np.random.default_rng(2), 2.0
    signal = make_sound(rng, "events", event_class, 8.0, seconds)
    assert 0.099 < np.abs(signal).max() <= 0.5 + 1e-9
    length = round(seconds * SAMPLE_RATE)
    for start in range(0, len(signal) - length + 1, 800):
        assert np.abs(signal[start : start + length]).max() > EMPTY_PEAK
