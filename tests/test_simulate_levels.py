"""Speech levels: quiet sources, and what the audit says of a made corpus.

Authors
 * The PolSESS recipe team 2026
"""

import csv

import numpy as np
import pytest
import soundfile
from prepare_polsess import prepare_polsess
from simulate.audio import read_segment, rms
from simulate.errors import CorpusError
from simulate.make_corpus import make_corpus
from simulate.segments import MIN_SPEECH_DBFS, NEAR_SILENT_DBFS
from test_simulate_corpus import OPTIONS, SAMPLES, rows_of, samples_of
from test_simulate_sources import RATE, write_sources


def set_level(folder, subject, level_dbfs):
    """Scales a source so that its segments have a level at 8 kHz."""
    path = folder / f"audio/train/{subject}/1.wav"
    # The first second of syllables is as loud as the others within 1 dB.
    gain = 10 ** (level_dbfs / 20) / rms(read_segment(path, 1, RATE, 8000, 1))
    signal, rate = soundfile.read(path)
    soundfile.write(path, gain * signal, rate, "PCM_16")


def audit_of(corpus, save_folder):
    """The findings of the full audit, as rows of audit.csv."""
    splits = [
        split
        for split, subset in zip(
            ("train", "valid", "test"), ("train", "val", "test")
        )
        if (corpus / subset).is_dir()
    ]
    prepare_polsess(str(corpus), str(save_folder), splits, audit="full")
    with open(save_folder / "audit.csv", encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table))


def test_made_corpus_has_no_findings(tmp_path):
    sources = write_sources(tmp_path)
    root = tmp_path / "Mini"
    make_corpus(root, 20, 5, 5, sources=sources, **OPTIONS)
    assert audit_of(root, tmp_path / "manifests") == []


def test_sample_corpus_has_no_findings(tmp_path):
    assert audit_of(SAMPLES, tmp_path) == []


def test_quiet_speech_ends_in_an_error_that_says_how_quiet(tmp_path):
    sources = write_sources(tmp_path)
    for speaker in ("train_anna", "train_jan"):
        set_level(tmp_path, speaker, -55.0)
    with pytest.raises(CorpusError) as caught:
        make_corpus(tmp_path / "Mini", 20, 0, 0, sources=sources, **OPTIONS)
    message = str(caught.value)
    assert "100 speech segments of 1 s drawn, 100 of them too qu" in message
    loudest_dbfs = float(message.split("loudest of all has ")[1].split()[0])
    assert abs(loudest_dbfs + 55) < 1.5
    assert f"needed are {MIN_SPEECH_DBFS:g}" in message
    assert "Amplify quiet recordings" in message


def test_speech_without_activity_is_not_called_quiet(tmp_path):
    sources = write_sources(tmp_path)
    path = tmp_path / "audio/train/train_anna/1.wav"
    clicks = np.zeros(3 * RATE)
    clicks[:: RATE // 4] = 0.9
    clicks = np.convolve(clicks, np.ones(400))[: len(clicks)]
    soundfile.write(path, np.stack([clicks, clicks], 1), RATE, "PCM_16")
    message = "drawn, 100 of them with speech in less than 50% of their time"
    with pytest.raises(CorpusError, match=message):
        make_corpus(tmp_path / "Mini", 20, 0, 0, sources=sources, **OPTIONS)


def test_softest_usable_speech_and_loudest_event_pass_the_audit(tmp_path):
    sources = write_sources(tmp_path)
    for speaker in ("train_anna", "train_jan"):
        set_level(tmp_path, speaker, MIN_SPEECH_DBFS + 0.5)
    path = tmp_path / "audio/train/Keys_jangling/1.wav"
    noise = np.random.default_rng(0).uniform(-0.999, 0.999, (3 * RATE, 1))
    soundfile.write(path, np.repeat(noise, 2, axis=1), RATE, "PCM_16")
    root = tmp_path / "Mini"
    options = {**OPTIONS, "indoor_ratio": 1.0}
    make_corpus(root, 40, 0, 0, sources=sources, **options)
    rows = rows_of(root)
    assert 5 in {int(row["SSR"]) for row in rows}
    levels = [
        20 * np.log10(rms(samples_of(root, row)[column] / 32768))
        for row in rows
        for column in ("speaker1File", "speaker2File")
    ]
    # The clip check did lower them: no speaker 2 is as loud as a segment.
    assert NEAR_SILENT_DBFS < min(levels) < MIN_SPEECH_DBFS - 5
    findings = audit_of(root, tmp_path / "manifests")
    assert "near-silent speech" not in {row["check"] for row in findings}
