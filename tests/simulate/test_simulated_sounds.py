"""Built-in sources: voices, sentences, the engine, scenes and events."""

import types

import numpy as np
import pytest
from simulate import speech
from simulate.acoustics import SCENE_CLASSES
from simulate.segments import EMPTY_PEAK
from simulate.sounds import LEVELS, SAMPLE_RATE, make_sound, read_sounds
from simulate.sources import SimulationError
from simulate.speech import find_engine, read_sentences, read_voices, synthesise

EVENTS = sorted(read_sounds()["events"])


def test_sentences_are_polish_and_disjoint():
    sentences = read_sentences()
    assert [len(texts) for texts in sentences.values()] == [70, 15, 15]
    texts = [text for part in sentences.values() for text in part]
    assert len(set(texts)) == 100
    assert all(8 <= len(text.split()) <= 16 for text in texts)
    assert set("ąćęłńóśźż") <= set("".join(texts))
    assert all(text[-1] in ".?" for text in texts)


def test_every_voice_differs_and_none_depends_on_the_time():
    """eSpeak seeds the noise of some voices with the time in seconds."""
    assert find_engine().startswith("espeakng-loader ")
    variants = [voice["variant"] for voice in read_voices()]

    def speak(*variants):
        """The samples of each voice, as bytes."""
        same = {"pitch": "50", "speed": "160"}
        voices = [{"variant": variant, **same} for variant in variants]
        return [synthesise(voice, "Raz, dwa.")[0].tobytes() for voice in voices]

    breathing = speak("f5")
    heard = speak("no such variant", *variants)  # which is the default voice
    assert len(set(heard)) == len(heard) == 43
    assert any(speak("f5") != breathing for _ in range(500))  # a later second
    assert speak("no such variant", *variants) == heard


def test_speed_pitch_and_rate_are_those_of_the_voice():
    def speak(**changes):
        """The signal and the sample rate of a voice."""
        voice = {"variant": "steph3", "pitch": "50", "speed": "150"}
        return synthesise({**voice, **changes}, "Dzień dobry państwu.")

    (usual, rate), (fast, _) = speak(), speak(speed="300")
    assert rate == 22050 and 0.1 < np.abs(usual).max() < 1
    assert 0.8 < len(usual) / rate < 3
    assert 0.4 < len(fast) / len(usual) < 0.8
    assert not np.array_equal(speak(pitch="80")[0], usual)


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


def test_broken_and_missing_engine_are_named(monkeypatch, tmp_path):
    loader = loader_with_data(tmp_path / "none")
    monkeypatch.setattr(speech, "espeakng_loader", loader)
    with pytest.raises(SimulationError, match="steph3: exit status"):
        synthesise(read_voices()[0], "Dzień dobry")
    with pytest.raises(SimulationError, match="does not have the voice"):
        find_engine()
    monkeypatch.setattr(speech, "espeakng_loader", None)
    with pytest.raises(SimulationError, match="pip install espeakng-loader"):
        find_engine()


def band_levels(signal, edges):
    """Level in dB of the bands between edges in Hz."""
    power = np.abs(np.fft.rfft(signal)) ** 2
    edges = np.array(edges) / SAMPLE_RATE * len(signal)
    bands = np.split(power, edges.astype(int))[1:-1]
    return 10 * np.log10([band.sum() / power.sum() + 1e-9 for band in bands])


@pytest.mark.parametrize("role", ["envScene", "events"])
def test_classes_sound_different(role):
    spectra = {}
    for label in read_sounds()[role]:
        signal = make_sound(np.random.default_rng(1), role, label, 4.0, 4.0)
        assert np.isfinite(signal).all() and np.abs(signal).max() <= 0.9
        assert 0.005 < np.sqrt(np.mean(signal**2)) < 0.06
        spectra[label] = band_levels(signal, np.geomspace(60, 7000, 13))
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


@pytest.fixture
def sound_of(monkeypatch):
    """Makes a scene of given layers; it lasts 30 s."""

    def make(*layers):
        usual = dict(level_db=0, low_hz=0, high_hz=1e6, tilt_db=0, spread_db=0)
        layers = [{**usual, **layer} for layer in layers]
        monkeypatch.setitem(read_sounds()["envScene"], "made", layers)
        rng = np.random.default_rng(3)
        return make_sound(rng, "envScene", "made", 30.0, 30.0)

    return make


def test_a_layer_of_noise_has_its_tilt_band_and_gain(sound_of):
    noise = dict(kind="noise", rate=1)
    octaves = [125, 250, 500, 1000, 2000, 4000]
    levels = band_levels(sound_of({**noise, "tilt_db": -6}), octaves)
    assert np.allclose(np.diff(levels), 3 - 6, atol=0.3)
    # Edges of 12 dB per octave, at 500 Hz and 1 kHz.
    band = {**noise, "low_hz": 500, "high_hz": 1000}
    levels = band_levels(sound_of(band), [60, 120, 240, 2100, 4200])
    assert np.allclose(levels[1] - levels[0], 3 + 12, atol=0.5)
    levels = band_levels(sound_of(band), [2000, 4000, 8000])
    assert np.allclose(levels[1] - levels[0], 3 - 12, atol=0.5)
    slow = sound_of({**noise, "spread_db": 6}).reshape(-1, SAMPLE_RATE // 10)
    steady = sound_of(noise).reshape(slow.shape)
    levels = 10 * np.log10([np.mean(s**2, 1) for s in (slow, steady)])
    assert 4 < np.std(levels[0]) < 8 and np.std(levels[1]) < 0.5
    change = np.abs(np.diff(levels[0]))  # smooth, one value per second
    assert 0.3 < change.mean() < 1.5


def test_a_layer_of_grains_has_its_rate_length_and_pitch(sound_of):
    grains = dict(kind="tone", rate=2, seconds=0.1, attack=0.2)
    grains |= dict(low_hz=440, high_hz=440, glide=1, partials=3, tilt_db=-12)
    signal = sound_of(grains)
    assert np.isclose(np.sqrt(np.mean(signal**2)), LEVELS["envScene"][0])
    edges = [420, 460, 860, 900, 1300, 1340, 1740, 1780]
    levels = band_levels(signal, edges)[::2]
    # -12 dB per octave: of the second partial, and of the third.
    expected = [-12, -12 * np.log2(3)]
    assert np.allclose(levels[1:3] - levels[0], expected, atol=1)
    assert levels[3] < levels[0] - 40
    loud = np.abs(signal) > 0
    n_grains = sum(np.diff(np.flatnonzero(loud)) > 200) + 1
    assert 45 < n_grains < 75
    assert 0.08 < loud.sum() / SAMPLE_RATE / n_grains < 0.12
    # An octave up in the course of a grain, and the louder layer is heard.
    gliding = {**grains, "partials": 1, "glide": 2}
    levels = band_levels(sound_of(gliding), [300, 430, 500, 700, 900, 1000])
    assert np.argmax(levels) in (1, 2) and levels[3] > levels[4] + 5
    other = {**grains, "low_hz": 1000, "high_hz": 1000, "level_db": -20}
    levels = band_levels(sound_of(grains, other), [420, 460, 980, 1020])
    assert 12 < levels[0] - levels[2] < 28
