"""A corpus made from a user's own sources: files, sums, levels, options.

Authors
 * The PolSESS recipe team 2026
"""

import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from recipe import ROOT, SAMPLES
from simulate.corpus import row_files
from simulate.render import render_row
from simulate.segments import MIN_SPEECH_DBFS, NEAR_SILENT_DBFS
from simulate.sources import SimulationError
from sources import (
    RATE,
    contents,
    level_dbfs,
    make,
    pool_of,
    read_table,
    rewrite,
    rows_of,
    samples_of,
    words,
    write_sources,
)

RECIPE = ROOT / "recipes/PolSESS"
SCRIPT = RECIPE / "simulate/make_corpus.py"


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return write_sources(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def corpus(sources, tmp_path_factory):
    root = tmp_path_factory.mktemp("made") / "Mini"
    make(root, sources=sources)
    return root


def full_audit(corpus, save_folder):
    """Findings of the documented audit, as rows of audit.csv."""
    splits = {"train": "train", "val": "valid", "test": "test"}
    splits = [splits[s] for s in splits if (corpus / s).is_dir()]
    command = [sys.executable, RECIPE / "prepare_polsess.py"]
    command += ["--data_folder", corpus, "--save_folder", save_folder]
    command += ["--audit", "full", "--splits", *splits]
    subprocess.run(command, check=True)
    return read_table(save_folder / "audit.csv")


def test_tree_holds_what_the_tables_name_and_nothing_else(corpus):
    for subset, count in (("train", 6), ("val", 2), ("test", 2)):
        rows = rows_of(corpus, subset)
        assert len(rows) == count
        named = {name for row in rows for name in row_files(row).values()}
        present = {
            str(path.relative_to(corpus / subset))
            for path in (corpus / subset).rglob("*")
            if path.is_file()
        }
        assert present == named | {f"corpus_Mini_{subset}_final.csv"}


def test_files_are_mono_pcm16_of_one_length(corpus):
    for path in corpus.rglob("*.wav"):
        header = soundfile.info(path)
        assert (header.samplerate, header.channels) == (8000, 1)
        assert (header.frames, header.subtype) == (8000, "PCM_16")


@pytest.mark.parametrize("subset", ["train", "val", "test"])
def test_mixture_is_the_integer_sum_of_its_files(corpus, subset):
    for root in (corpus, SAMPLES):
        for row in rows_of(root, subset):
            samples = samples_of(root, row)
            mixture = samples.pop("mixFile").astype(int)
            assert len(samples) == (7 if row["reverbForEvent"] else 4)
            total = sum(part.astype(int) for part in samples.values())
            assert np.array_equal(mixture, total)


def test_levels_are_those_of_the_row(corpus):
    for row in rows_of(corpus):
        samples = samples_of(corpus, row)
        first = samples["speaker1File"].astype(float)
        second = samples["speaker2File"].astype(float)
        ssr_db = level_dbfs(first) - level_dbfs(second)
        assert abs(ssr_db - int(row["SSR"])) < 0.1
        scene_db = level_dbfs(samples["sceneFile"])
        scene_db -= level_dbfs(first + second)
        assert abs(scene_db - float(row["sceneOffsetDB"])) < 0.1


def test_reverberation_is_silent_before_its_pre_delay(corpus):
    rows = [row for row in rows_of(corpus) if row["reverbForEvent"]]
    assert rows
    for row in rows:
        wet = samples_of(corpus, row)["reverbForEvent"]
        start = round(float(row["preDelayForEvent"]) * 8000)
        assert not wet[:start].any() and wet[start:].any()


def test_loud_row_keeps_its_ratios_and_its_sum(corpus, sources):
    reader = pool_of(sources, segment_seconds=1.0).reader
    row = next(row for row in rows_of(corpus) if row["reverbForEvent"])
    quiet = render_row(row, reader)
    row["sceneVolumeGain"] = 400 * float(row["sceneVolumeGain"])
    loud = render_row(row, reader)
    peak = max(np.abs(part.astype(int)).max() for part in loud.values())
    assert 32700 < peak <= round(0.999 * 32768) + 4
    mixture = loud.pop("mixFile").astype(int)
    assert np.array_equal(mixture, sum(p.astype(int) for p in loud.values()))
    gains_db = [
        level_dbfs(loud[column]) - level_dbfs(quiet[column])
        for column in loud
        if column != "sceneFile"
    ]
    assert max(gains_db) < -1 and np.ptp(gains_db) < 0.2


def test_made_corpora_have_no_findings(sources, tmp_path):
    root = tmp_path / "Mini"
    make(root, 20, 5, 5, sources=sources)
    assert full_audit(root, tmp_path / "made") == []
    assert full_audit(SAMPLES, tmp_path / "samples") == []


def test_softest_usable_speech_and_loudest_event_pass_the_audit(tmp_path):
    sources = write_sources(tmp_path)
    reader = pool_of(sources, segment_seconds=1.0).reader
    for speaker in ("train_anna", "train_jan"):
        # The first second is as loud as the others within 1 dB.
        path = f"audio/train/{speaker}/1.wav"
        level = level_dbfs(32768 * reader.read(path, 1, RATE))
        gain = 10 ** ((MIN_SPEECH_DBFS + 0.5 - level) / 20)
        rewrite(tmp_path, speaker, lambda signal: gain * signal)
    noise = np.random.default_rng(0).uniform(-0.999, 0.999, (3 * RATE, 1))
    noise = np.repeat(noise, 2, axis=1)
    rewrite(tmp_path, "Keys_jangling", lambda signal: noise)
    root = tmp_path / "Mini"
    make(root, 40, 0, 0, sources=sources, indoor_ratio=1.0)
    rows = rows_of(root)
    assert 5 in {int(row["SSR"]) for row in rows}
    levels = [
        level_dbfs(samples_of(root, row)[column])
        for row in rows
        for column in ("speaker1File", "speaker2File")
    ]
    # The mixtures were limited: no speaker 2 is as loud as a segment.
    assert NEAR_SILENT_DBFS < min(levels) < MIN_SPEECH_DBFS - 5
    checks = {row["check"] for row in full_audit(root, tmp_path / "manifests")}
    assert "near-silent speech" not in checks


@pytest.mark.parametrize(
    "change, message",
    [
        ({"seed": 4}, "seed: 3 there, 4 now"),
        ({"sample_rate": 16000}, "sample_rate: 8000 there, 16000 now"),
        ({"segment_seconds": 2.0}, "segment_seconds: 1.0 there, 2.0 now"),
        ({"indoor_ratio": 0.9}, "indoor_ratio: 0.5 there, 0.9 now"),
        ({"sources": None}, "built-in now"),
    ],
)
def test_other_options_in_the_same_folder_are_refused(
    corpus, sources, change, message
):
    before = contents(corpus)
    with pytest.raises(SimulationError, match=message):
        make(corpus, **{"sources": sources, **change})
    assert contents(corpus) == before


@pytest.mark.parametrize(
    "change, message",
    [
        ({"n_train": -1}, "--n_train is -1, expected 0 or more"),
        ({"n_train": 0, "n_val": 0, "n_test": 0}, "all 0"),
        ({"seed": -2}, "--seed is -2"),
        ({"sample_rate": 44100}, "choose from 8000, 16000"),
        ({"segment_seconds": "nan"}, "expected 0.5 to 60"),
        ({"indoor_ratio": 1.5}, "--indoor_ratio is 1.5, expected 0 to 1"),
        ({"n_jobs": 0}, "--n_jobs is 0"),
    ],
)
def test_options_out_of_range_are_refused(tmp_path, capsys, change, message):
    with pytest.raises(SystemExit):
        make(tmp_path / "New", **change)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "change, message",
    [
        ({"sources": "none.csv"}, "none.csv: no such file"),
        ({"segment_seconds": 5.0}, "train: 0 speaker"),
    ],
)
def test_refused_sources_leave_no_folder(sources, tmp_path, change, message):
    with pytest.raises(SimulationError, match=message):
        make(tmp_path / "New", **{"sources": sources, **change})
    assert not (tmp_path / "New").exists()


def test_corpus_of_another_origin_is_not_touched(sources, tmp_path):
    (tmp_path / "train" / "mix").mkdir(parents=True)
    with pytest.raises(SimulationError, match="was not made by this command"):
        make(tmp_path, sources=sources)
    assert not contents(tmp_path)


def test_module_call_at_16_khz(sources, tmp_path):
    root = tmp_path / "Wide"
    options = {"n_train": 2, "n_val": 0, "n_test": 0, "sources": sources}
    command = [sys.executable, "-m", "simulate.make_corpus"]
    command += words(root, sample_rate=16000, **options)
    environment = {**os.environ, "PYTHONPATH": ""}
    subprocess.run(command, check=True, cwd=RECIPE, env=environment)
    for path in (root / "train").rglob("*.wav"):
        header = soundfile.info(path)
        assert (header.samplerate, header.frames) == (16000, 16000)


def test_command_reports_an_error_without_a_traceback(corpus, sources):
    command = [sys.executable, SCRIPT, *words(corpus, sources=sources, seed=9)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.startswith("make_corpus: ")
    assert "Traceback" not in result.stderr
