"""Built-in sources: voices, sentences, engines, scenes and events.

Authors
 * The PolSESS recipe team 2026
"""

import pathlib
import time

import numpy as np
import pytest
import soundfile
from simulate import engine as engines
from simulate.acoustics import SCENE_CLASSES
from simulate.engine import Voice, check_variants, find_engine, synthesise
from simulate.errors import CorpusError
from simulate.events import EVENTS, make_event
from simulate.scenes import LAYERS, make_scene
from simulate.segments import EMPTY_PEAK
from simulate.sounds import SAMPLE_RATE
from simulate.speech import read_sentences, read_voices, speak_recording


@pytest.fixture(scope="module")
def engine():
    return find_engine(read_voices())


def test_voices_are_many_and_disjoint():
    voices = read_voices()
    assert len(voices) >= 40
    assert len({voice.variant.lower() for voice in voices}) == len(voices)
    counts = [sum(v.subset == s for v in voices) for s in ("train", "val")]
    assert counts == [26, 8]


def test_sentences_are_polish_and_disjoint():
    texts = [text for part in read_sentences().values() for text in part]
    assert len(texts) == 100 == len(set(texts))
    assert all(8 <= len(text.split()) <= 16 for text in texts)
    assert set("ąćęłńóśźż") <= set("".join(texts))
    assert all(text[-1] in ".?" for text in texts)


def test_every_voice_differs_from_the_default_and_the_others(engine):
    check_variants(engine, read_voices())


def test_variant_that_falls_back_to_the_default_is_found(engine):
    voices = [Voice("train", "f1", 50, 160), Voice("train", "nobody", 50, 160)]
    with pytest.raises(CorpusError, match="no_such_variant', 'nobody"):
        check_variants(engine, voices)


def test_recording_is_full_and_reproducible(engine):
    voice = read_voices()[0]
    sentences = read_sentences()["train"]
    first, rate = speak_recording(
        engine, voice, sentences, 6.0, np.random.default_rng(3)
    )
    second, _ = speak_recording(
        engine, voice, sentences, 6.0, np.random.default_rng(3)
    )
    assert len(first) == round(6.0 * rate)
    assert np.array_equal(first, second)
    assert np.mean(np.abs(first) > 1e-3) > 0.5


def test_no_voice_depends_on_the_time(engine):
    """eSpeak seeds the noise of some voices with the time in seconds."""

    def speak(voices):
        """What the engine makes of the voices, as bytes."""
        return [
            synthesise(engine, voice, "Dzień dobry.")[0].tobytes()
            for voice in voices
        ]

    breathing = [Voice("train", "f5", 50, 160)]
    first = speak(read_voices()), speak(breathing)
    time.sleep(1.1)
    assert speak(read_voices()) == first[0]
    assert speak(breathing) != first[1]  # negative control


def test_library_reads_data_from_a_long_path(tmp_path):
    command = engines._library_command()
    folder = tmp_path / ("long" * 20) / ("path" * 20)
    folder.mkdir(parents=True)
    data = folder / "espeak-ng-data"
    data.symlink_to(pathlib.Path(command[-1]), target_is_directory=True)
    engine = engines.Engine([*command[:-1], str(data)], "library")
    signal, _ = synthesise(engine, Voice("train", "f2", 50, 160), "Dzień dobry")
    assert signal.any()


def test_missing_engine_names_both_ways_to_install(monkeypatch):
    monkeypatch.setattr(engines.shutil, "which", lambda name: None)
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CorpusError) as caught:
        find_engine(read_voices())
    assert "apt-get install espeak-ng" in str(caught.value)
    assert "pip install espeakng-loader" in str(caught.value)


@pytest.mark.parametrize(
    "script, message",
    [
        ("echo broken >&2; exit 3", "exit status 3, 0 samples. broken"),
        # An old version, which does not know the variants.
        ('cat "$0.wav"', "the same with several variants"),
    ],
)
def test_unfit_program_gives_way_to_the_library(
    monkeypatch, tmp_path, script, message
):
    program = tmp_path / "espeak-ng"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    soundfile.write(f"{program}.wav", np.full(800, 0.1), 22050)
    monkeypatch.setattr(engines.shutil, "which", lambda name: str(program))
    voices = [Voice("train", "f1", 50, 160)]
    assert "espeakng-loader" in find_engine(voices).version
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CorpusError, match=message):
        find_engine(voices)


def band_levels(signal):
    power = np.abs(np.fft.rfft(signal)) ** 2
    edges = np.geomspace(60, 7000, 13) / SAMPLE_RATE * len(signal)
    bands = np.split(power, edges.astype(int))[1:-1]
    return 10 * np.log10([band.sum() / power.sum() + 1e-9 for band in bands])


def test_scene_classes_sound_different():
    assert set(LAYERS) == set(SCENE_CLASSES)
    spectra = {}
    for scene_class in SCENE_CLASSES:
        signal = make_scene(np.random.default_rng(1), scene_class, 3.0)
        assert np.isfinite(signal).all() and np.abs(signal).max() <= 0.9
        assert 0.01 < np.sqrt(np.mean(signal**2)) < 0.06
        spectra[scene_class] = band_levels(signal)
    names = list(spectra)
    for i, first in enumerate(names):
        for second in names[:i]:
            distance = np.abs(spectra[first] - spectra[second]).mean()
            assert distance > 1.0, (first, second, distance)


@pytest.mark.parametrize("event_class", sorted(EVENTS))
def test_every_segment_of_an_event_recording_has_sound(event_class):
    seconds = 2.0
    signal = make_event(np.random.default_rng(2), event_class, 8.0, seconds)
    assert 0.099 < np.abs(signal).max() <= 0.5 + 1e-9
    length = round(seconds * SAMPLE_RATE)
    for start in range(0, len(signal) - length + 1, 800):
        assert np.abs(signal[start : start + length]).max() > EMPTY_PEAK
