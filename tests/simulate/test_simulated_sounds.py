"""Built-in sources: voices, sentences, the engine, scenes and events."""

import types

import numpy as np
import pytest
from simulate import speech
from simulate.acoustics import SCENE_CLASSES
from simulate.segments import EMPTY_PEAK
from simulate.sounds import SAMPLE_RATE, make_sound, read_sounds
from simulate.speech import find_engine, read_sentences, read_voices, synthesise
from simulate.tables import SimulationError

USUAL = {"variant": "steph3", "pitch": "50", "speed": "160"}


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

    def speak(*variants):
        """The samples of each voice, as bytes."""
        voices = [{**USUAL, "variant": variant} for variant in variants]
        return [synthesise(voice, "Raz, dwa.")[0].tobytes() for voice in voices]

    # eSpeak replaces a voice that it does not know by its default.
    variants = "unknown", *(voice["variant"] for voice in read_voices())
    noisy, heard = speak("f5"), speak(*variants)
    assert len(set(heard)) == len(heard) == 43
    assert any(speak("f5") != noisy for _ in range(500))  # a second later
    assert speak(*variants) == heard


def test_speech_has_the_speed_and_pitch_of_its_voice():
    text = "Dzień dobry państwu."
    usual, rate = synthesise(USUAL, text)
    assert rate == 22050 and 0.1 < np.abs(usual).max() < 1
    assert 0.8 < len(usual) / rate < 3
    fast = synthesise({**USUAL, "speed": "300"}, text)[0]
    assert 0.4 < len(fast) / len(usual) < 0.8
    high = synthesise({**USUAL, "pitch": "80"}, text)[0]
    parts = usual[2000:12000], high[2000:12000]
    products = [np.correlate(part, part[:-400]) for part in parts]
    periods = [55 + np.argmax(p[55:]) for p in products]  # in samples
    assert 1.2 < periods[0] / periods[1] < 1.8


def test_engine_reads_a_long_path_and_is_named_when_broken(
    monkeypatch, tmp_path
):
    library = speech.espeakng_loader.get_library_path()
    real = speech.espeakng_loader.get_data_path()
    folder = tmp_path / ("long" * 20) / ("path" * 20)
    folder.mkdir(parents=True)
    data = folder / "espeak-ng-data"
    loader = types.SimpleNamespace(
        get_library_path=lambda: library, get_data_path=lambda: str(data)
    )
    monkeypatch.setattr(speech, "espeakng_loader", loader)
    with pytest.raises(SimulationError, match="steph3: exit status"):
        synthesise(USUAL, "Dzień dobry")
    with pytest.raises(SimulationError, match="does not have the voice"):
        find_engine()
    data.symlink_to(real)
    assert synthesise(USUAL, "Dzień dobry")[0].any()
    monkeypatch.setattr(speech, "espeakng_loader", None)
    with pytest.raises(SimulationError, match="pip install espeakng-loader"):
        find_engine()


def band_levels(signal, *edges):
    """Level in dB of the bands between edges in Hz."""
    power = np.abs(np.fft.rfft(signal)) ** 2
    edges = np.array(edges) / SAMPLE_RATE * len(signal)
    bands = np.split(power, edges.astype(int))[1:-1]
    return 10 * np.log10([band.sum() / power.sum() + 1e-9 for band in bands])


@pytest.mark.parametrize("role", ["envScene", "events"])
def test_classes_sound_different_and_events_in_every_segment(role):
    spectra = {}
    for label in read_sounds()[role]:
        rng = np.random.default_rng(1)
        signal = make_sound(rng, role, label, 8.0, 2.0)
        assert 0.005 < np.sqrt(np.mean(signal**2)) < 0.06
        assert role == "envScene" or 0.099 < np.abs(signal).max() < 0.501
        for start in range(0, 6 * SAMPLE_RATE + 1, 800):
            segment = signal[start : start + 2 * SAMPLE_RATE]
            assert EMPTY_PEAK < np.abs(segment).max() < 0.901
        spectra[label] = band_levels(signal, *np.geomspace(60, 7000, 13))
    names = list(spectra)
    assert role == "events" or set(names) == set(SCENE_CLASSES)
    for i, first in enumerate(names):
        for second in names[:i]:
            distance = np.abs(spectra[first] - spectra[second]).mean()
            # h, m and l are one kind of place, and differ in reverberation.
            alike = {first, second} <= {"h", "m", "l"}
            assert (distance > 0.5) != alike, (first, second, distance)


@pytest.fixture
def sound_of(monkeypatch):
    """Makes a sound of given layers; it lasts 30 s."""

    def make(*layers, role="envScene"):
        usual = dict(level_db=0, low_hz=0, high_hz=1e6, tilt_db=0, spread_db=0)
        layers = [{**usual, **layer} for layer in layers]
        monkeypatch.setitem(read_sounds()[role], "made", layers)
        rng = np.random.default_rng(3)
        return make_sound(rng, role, "made", 30.0, 2.0)

    return make


def test_a_layer_of_noise_has_its_tilt_band_and_gain(sound_of):
    noise = dict(kind="noise", rate=1)
    tilted = sound_of({**noise, "tilt_db": -6})
    levels = band_levels(tilted, 125, 250, 500, 1000, 2000, 4000)
    assert np.allclose(np.diff(levels), 3 - 6, atol=0.3)
    # Edges of 12 dB per octave, at 500 Hz and 1 kHz.
    band = sound_of({**noise, "low_hz": 500, "high_hz": 1000})
    levels = band_levels(band, 60, 120, 240, 2000, 4000, 8000)
    assert np.allclose(np.diff(levels)[[0, 3]], [3 + 12, 3 - 12], atol=0.5)
    slow, steady = sound_of({**noise, "spread_db": 6}), sound_of(noise)
    tenths = np.reshape([slow, steady], (2, -1, SAMPLE_RATE // 10))
    levels = 10 * np.log10(np.mean(tenths**2, axis=-1))
    assert 4 < np.std(levels[0]) < 8 and np.std(levels[1]) < 0.5
    # Smooth, with one value per second.
    assert 0.3 < np.abs(np.diff(levels[0])).mean() < 1.5


def test_a_layer_of_grains_has_its_rate_length_and_pitch(sound_of):
    grains = dict(kind="tone", rate=2, seconds=0.1, attack=0.2, glide=1)
    grains |= dict(low_hz=440, high_hz=440, partials=3, tilt_db=-12)
    signal = sound_of(grains)
    assert np.isclose(np.sqrt(np.mean(signal**2)), 0.05)
    bands = 420, 460, 860, 900, 1300, 1340, 1740, 1780
    levels = band_levels(signal, *bands)[::2]
    # -12 dB per octave; there is no fourth partial.
    expected = [-12, -12 * np.log2(3)]
    assert np.allclose(levels[1:3] - levels[0], expected, atol=1)
    assert levels[3] < levels[0] - 40
    loud = np.flatnonzero(signal)
    n_grains = sum(np.diff(loud) > 200) + 1
    assert 45 < n_grains < 75
    assert 0.08 < len(loud) / SAMPLE_RATE / n_grains < 0.12
    # Up by an octave, and less loud at its end.
    gliding = sound_of({**grains, "partials": 1, "glide": 2})
    levels = band_levels(gliding, 300, 430, 500, 700, 900, 1000)
    assert np.all(levels[1:3] > -9) and levels[3] > levels[4] + 5
    other = {**grains, "low_hz": 1000, "high_hz": 1000, "level_db": -20}
    levels = band_levels(sound_of(grains, other), 420, 460, 980, 1020)
    assert 12 < levels[0] - levels[2] < 28
    # Events pause for 0.4 of a mixture at most, however rare they are.
    rare = np.flatnonzero(sound_of({**grains, "rate": 0.01}, role="events"))
    pauses = np.diff(rare, prepend=0) / SAMPLE_RATE
    assert 0.79 < pauses.max() < 0.801
