"""Both stages together, on a user's own sources: files, levels, resuming.

Authors
 * The PolSESS recipe team 2026
"""

import csv
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
from simulate.errors import CorpusError
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


def test_same_bytes_with_two_jobs_and_prefix_property(
    corpus, sources, tmp_path
):
    root = tmp_path / "Mini"
    make_corpus(root, 3, 2, 0, sources=sources, **{**OPTIONS, "n_jobs": 2})
    assert not (root / "test").exists()
    smaller, larger = contents(root), contents(corpus)
    table = "train/corpus_Mini_train_final.csv"
    assert larger[table].startswith(smaller.pop(table))
    assert all(larger[name] == value for name, value in smaller.items())
    before = times(root)
    make_corpus(root, sources=sources, **COUNTS, **OPTIONS)
    assert contents(root) == larger
    after = times(root)
    assert all(after[name] == value for name, value in before.items())


def test_second_call_and_smaller_call_change_nothing(corpus, sources, capsys):
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    make_corpus(corpus, sources=sources, **COUNTS, **OPTIONS)
    make_corpus(corpus, 2, 2, 0, sources=sources, **OPTIONS)
    assert "has 6 mixtures, more than the 2 asked" in capsys.readouterr().out
    after = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    assert before == after


def test_deleted_files_are_made_again_and_no_others(sources, tmp_path):
    root = tmp_path / "Mini"
    make_corpus(root, sources=sources, **COUNTS, **OPTIONS)
    complete, before = contents(root), times(root)
    rows = rows_of(root)
    deleted = {
        f"train/{row_files(rows[1])['mixFile']}",
        f"train/{row_files(rows[4])['sceneFile']}",
    }
    for name in deleted:
        (root / name).unlink()
    make_corpus(root, sources=sources, **COUNTS, **OPTIONS)
    assert contents(root) == complete
    after = times(root)
    assert {name for name in after if after[name] != before[name]} == deleted


def command(root, sources, *more):
    return [
        *(sys.executable, str(SCRIPT), "--output_folder", str(root)),
        *("--n_train", "60", "--n_val", "0", "--n_test", "0"),
        *("--segment_seconds", "1", "--seed", "3", "--n_jobs", "1"),
        *("--sources", str(sources), *more),
    ]


def wait_for(process, condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert process.poll() is None, "finished before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_killed_in_both_stages_it_goes_on_and_redoes_nothing(sources, tmp_path):
    root = tmp_path / "Mini"
    table = root / "train" / "corpus_Mini_train_rows.csv"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command(root, sources), **quiet)
    wait_for(process, lambda: table.exists() and table.stat().st_size > 3000)
    drawn = table.read_bytes()
    with open(table, "ab") as half_a_line:
        half_a_line.write(b"train,audio/tr")
    process = subprocess.Popen(command(root, sources), **quiet)
    mixtures = root / "train" / "mix"
    wait_for(process, lambda: len(list(mixtures.glob("*.wav"))) > 5)
    assert table.read_bytes().startswith(drawn)
    assert not list(root.rglob("*_final.csv"))
    before = times(root)
    subprocess.run(command(root, sources), check=True, **quiet)
    after = times(root)
    assert len(rows_of(root)) == 60
    assert all(after[name] == value for name, value in before.items())
    assert not list(root.rglob("*.partial")) and not table.exists()
    other = tmp_path / "other" / "Mini"
    options = {**OPTIONS, "n_jobs": 2}
    make_corpus(other, 60, 0, 0, sources=sources, **options)
    assert contents(other) == contents(root)


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
    options = {**OPTIONS, "sources": sources, **change}
    with pytest.raises(CorpusError, match=message):
        make_corpus(corpus, **COUNTS, **options)
    assert contents(corpus) == before


@pytest.mark.parametrize(
    "change, message",
    [
        ({"n_train": -1}, "--n_train is -1"),
        ({"n_train": 0, "n_val": 0, "n_test": 0}, "all 0"),
        ({"seed": -2}, "--seed is -2"),
        ({"sample_rate": 44100}, "expected 8000 or 16000"),
        ({"segment_seconds": float("nan")}, "expected 0.5 to 60"),
        ({"indoor_ratio": 1.5}, "--indoor_ratio is 1.5, expected 0 to 1"),
        ({"n_jobs": 0}, "--n_jobs is 0"),
        ({"sources": "none.csv"}, "no such file"),
    ],
)
def test_options_out_of_range_are_refused(sources, tmp_path, change, message):
    options = {**COUNTS, **OPTIONS, "sources": sources, **change}
    with pytest.raises(CorpusError, match=message):
        make_corpus(tmp_path / "New", **options)
    assert not (tmp_path / "New").exists()


def test_sources_too_short_leave_no_folder_behind(sources, tmp_path):
    options = {**OPTIONS, "segment_seconds": 5.0, "sources": sources}
    with pytest.raises(CorpusError, match="train: 0 speaker"):
        make_corpus(tmp_path / "New", **COUNTS, **options)
    assert not (tmp_path / "New").exists()


def test_corpus_of_another_origin_is_not_touched(sources, tmp_path):
    (tmp_path / "train" / "mix").mkdir(parents=True)
    with pytest.raises(CorpusError, match="was not made by this command"):
        make_corpus(tmp_path, sources=sources, **COUNTS, **OPTIONS)


def test_module_call_at_16_khz(sources, tmp_path):
    root = tmp_path / "Wide"
    arguments = command(root, sources, "--sample_rate", "16000")[2:]
    arguments[arguments.index("60")] = "2"
    module = [sys.executable, "-m", "simulate.make_corpus"]
    environment = {**os.environ, "PYTHONPATH": ""}
    subprocess.run(module + arguments, check=True, cwd=RECIPE, env=environment)
    for path in (root / "train").rglob("*.wav"):
        header = soundfile.info(path)
        assert (header.samplerate, header.frames) == (16000, 16000)


def test_command_reports_an_error_in_one_line(corpus, sources):
    result = subprocess.run(
        command(corpus, sources, "--seed", "9"), capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stderr.startswith("make_corpus: ")
    assert "Traceback" not in result.stderr


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
