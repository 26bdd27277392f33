"""Options that are refused, and the command as users call it.

Authors
 * The PolSESS recipe team 2026
"""

import os
import subprocess
import sys

import pytest
import soundfile
from simulate.errors import CorpusError
from simulate.make_corpus import make_corpus
from test_simulate_corpus import COUNTS, OPTIONS, RECIPE, command, contents
from test_simulate_sources import write_sources


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return write_sources(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def corpus(sources, tmp_path_factory):
    root = tmp_path_factory.mktemp("made") / "Mini"
    make_corpus(root, sources=sources, **COUNTS, **OPTIONS)
    return root


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
