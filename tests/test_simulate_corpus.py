"""What a corpus made from a user's own sources holds: files, sums, levels.

Authors
 * The PolSESS recipe team 2026
"""

import csv
import pathlib
import sys

import numpy as np
import pytest
import soundfile
from simulate.make_corpus import make_corpus
from simulate.render import render_row, row_files
from test_simulate_sources import write_sources

RECIPE = pathlib.Path(__file__).resolve().parents[1] / "recipes" / "PolSESS"
SAMPLES = pathlib.Path(__file__).resolve().parent / "samples" / "PolSESS"
SCRIPT = RECIPE / "simulate" / "make_corpus.py"
COUNTS = {"n_train": 6, "n_val": 2, "n_test": 2}
OPTIONS = {"seed": 3, "segment_seconds": 1.0, "n_jobs": 1}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return write_sources(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def corpus(sources, tmp_path_factory):
    root = tmp_path_factory.mktemp("made") / "Mini"
    make_corpus(root, sources=sources, **COUNTS, **OPTIONS)
    return root


def rows_of(root, subset="train"):
    path = root / subset / f"corpus_{root.name}_{subset}_final.csv"
    with open(path, encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table))


def samples_of(root, row):
    return {
        column: soundfile.read(root / row["subset"] / name, dtype="int16")[0]
        for column, name in row_files(row).items()
    }


def contents(root):
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def times(root):
    return {
        str(path.relative_to(root)): path.stat().st_mtime_ns
        for path in sorted(root.rglob("*.wav"))
    }


def command(root, sources, *more):
    return [
        *(sys.executable, str(SCRIPT), "--output_folder", str(root)),
        *("--n_train", "60", "--n_val", "0", "--n_test", "0"),
        *("--segment_seconds", "1", "--seed", "3", "--n_jobs", "1"),
        *("--sources", str(sources), *more),
    ]


def rms(samples):
    return np.sqrt(np.mean(np.square(samples.astype(np.float64))))


def test_tree_holds_what_the_tables_name_and_nothing_else(corpus):
    for subset, count in zip(("train", "val", "test"), COUNTS.values()):
        rows = rows_of(corpus, subset)
        assert len(rows) == count
        named = {name for row in rows for name in row_files(row).values()}
        present = {
            str(path.relative_to(corpus / subset))
            for path in (corpus / subset).rglob("*.wav")
        }
        assert named == present
        tables = [path.name for path in (corpus / subset).glob("*.*")]
        assert tables == [f"corpus_Mini_{subset}_final.csv"]


def test_files_are_mono_pcm16_of_one_length(corpus):
    for path in corpus.rglob("*.wav"):
        header = soundfile.info(path)
        assert (header.samplerate, header.channels) == (8000, 1)
        assert (header.frames, header.subtype) == (8000, "PCM_16")


def test_mixture_is_the_integer_sum_of_its_files(corpus):
    settings = set()
    for row in rows_of(corpus):
        samples = samples_of(corpus, row)
        mixture = samples.pop("mixFile").astype(int)
        settings.add(len(samples))
        total = sum(samples.values(), np.zeros(8000, dtype=int))
        assert np.array_equal(mixture, total)
    assert settings == {4, 7}


def test_levels_are_those_of_the_row(corpus):
    for row in rows_of(corpus):
        samples = samples_of(corpus, row)
        first = samples["speaker1File"].astype(float)
        second = samples["speaker2File"].astype(float)
        ssr_db = 20 * np.log10(rms(first) / rms(second))
        assert abs(ssr_db - int(row["SSR"])) < 0.1
        scene_db = 20 * np.log10(
            rms(samples["sceneFile"]) / rms(first + second)
        )
        assert abs(scene_db - float(row["sceneOffsetDB"])) < 0.1


def test_reverberation_is_silent_before_its_pre_delay(corpus):
    for row in rows_of(corpus):
        if row["reverbForEvent"]:
            wet = samples_of(corpus, row)["reverbForEvent"]
            start = round(float(row["preDelayForEvent"]) * 8000)
            assert not wet[:start].any() and wet[start:].any()


def test_loud_row_keeps_its_ratios_and_its_sum(corpus, sources):
    row = next(row for row in rows_of(corpus) if row["reverbForEvent"])
    quiet = render_row(row, sources.parent, 8000, 1.0)
    row["sceneVolumeGain"] = 400 * float(row["sceneVolumeGain"])
    loud = render_row(row, sources.parent, 8000, 1.0)
    peak = max(np.abs(part.astype(int)).max() for part in loud.values())
    assert 32700 < peak <= round(0.999 * 32768) + 4
    mixture = loud.pop("mixFile").astype(int)
    assert np.array_equal(mixture, sum(p.astype(int) for p in loud.values()))
    gains = [
        rms(loud[column]) / rms(quiet[column])
        for column in loud
        if column != "sceneFile"
    ]
    assert max(gains) < 0.9 and np.ptp(gains) < 0.02 * max(gains)


def test_sample_corpus_is_small_complete_and_of_both_settings():
    files = [path for path in SAMPLES.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 3e6
    for subset in ("train", "val", "test"):
        rows = rows_of(SAMPLES, subset)
        assert [bool(row["reverbForEvent"]) for row in rows].count(True) == 2
        assert len(rows) == 4
        for row in rows:
            samples = samples_of(SAMPLES, row)
            mixture = samples.pop("mixFile")
            total = sum(samples.values(), np.zeros(16000, dtype=int))
            assert np.array_equal(mixture, total)
