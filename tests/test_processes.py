"""The scoring processes: failures, processes that die, and a clean end.

Most metrics are functions of a module that the tests write, since a process has
to import what it runs.
"""

import functools
import logging
import multiprocessing
import subprocess
import sys
import threading

import numpy as np
import pytest
from metrics import METRICS
from scoring import DIED
from scoring import Scorer
from tiny_scoring import import_written, score, utterance

MODULE = """
import os, sys, threading
import numpy as np

def plain(estimate, reference, rate): return float(np.sum(estimate))
def level(estimate, reference, rate, gain=1): return gain * np.abs(estimate).max()
def negative_zero(*job): return -0.0
def nan(*job): return np.nan
def infinite(*job): return np.inf
def numpy_scalar(*job): return np.float32(0.5)
def array_of_one(*job): return np.array([[2.0]])
def array_of_two(*job): return np.ones(2)
def imaginary(*job): return 1j
def nothing(*job): return None
def loads_torch(*job): return "torch" in sys.modules or "speechbrain" in sys.modules
def threads(*job): return os.environ["OMP_NUM_THREADS"] == "1"
def process(*job): return os.getpid()
def leaves(*job): sys.exit("enough")
def dies(*job): os._exit(3)
def dies_of_ones(estimate, *job): return os._exit(3) if estimate[0] == 1 else 7
def raises(*job): raise Unfriendly(threading.Lock())
def raises_base(*job): raise Base("below Exception")
def writes(estimate, reference, rate):
    estimate[:] = reference[:] = 0
    return 1

class Unfriendly(Exception):
    def __repr__(self): raise RuntimeError("no representation")
class Base(BaseException): pass
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of metrics on the path."""
    return import_written(tmp_path, "own_metrics", MODULE, monkeypatch)


@pytest.fixture(autouse=True)
def no_process_stays():
    """Every test ends with the processes with which it began."""
    before = set(multiprocessing.active_children())
    yield
    assert set(multiprocessing.active_children()) <= before


def test_a_failure_is_named_and_leaves_the_other_metrics(module, caplog):
    metrics = """own_metrics.nan own_metrics.infinite own_metrics.array_of_two
    own_metrics.imaginary own_metrics.nothing own_metrics.leaves
    own_metrics.raises own_metrics.raises_base""".split()
    others = {
        "numpy_scalar": 0.5,
        "array_of_one": 2,
        "negative_zero": 0,
        "writes": 1,
        "loads_torch": False,
        "threads": True,
    }
    # First the one that empties its arguments.
    last = [f"own_metrics.{name}" for name in reversed(others)]
    with caplog.at_level(logging.WARNING):
        (row,) = score(metrics + last + ["sdr"], utterance())
    for name in metrics:
        name = name.partition(".")[2]
        assert np.isnan(row[name]) and np.isnan(row[f"{name}_mix"])
        assert f"s1, {name}: " in caplog.text
        assert f"s1, {name}_mix: " in caplog.text
    for name, expected in others.items():
        assert row[name] == expected
    assert not np.signbit(row["negative_zero"])
    one = utterance()
    expected = METRICS["sdr"](one.estimate[:, 0], one.reference[:, 0], 8000)
    assert row["sdr"] == expected
    assert "'id0'" in caplog.text
    assert "SystemExit('enough')" in caplog.text
    assert "Unfriendly" in caplog.text


def test_nan_estimate_leaves_the_other_source_and_the_mixture(caplog):
    one = utterance(sources=2)
    one.estimate[5, 0] = np.nan
    with caplog.at_level(logging.WARNING):
        first, second = score(["si_sdr", "sdr"], one)
    for name in ("si_sdr", "si_sdri", "sdr"):
        assert np.isnan(first[name])
    row = {**second, "first": first["si_sdr_mix"], "sdr": first["sdr_mix"]}
    del row["ID"], row["variant"], row["setting"], row["source"]
    assert np.isfinite(list(row.values())).all()
    assert caplog.text.count("not finite") == 2


def test_a_process_that_dies_ended_the_test(module, caplog):
    ones = (utterance(0), utterance(1, first=1), utterance(2))
    metrics = ["own_metrics.dies_of_ones", "own_metrics.plain", "stoi"]
    with caplog.at_level(logging.WARNING):
        rows = score(metrics, *ones, n_jobs=2)
    assert [row["ID"] for row in rows] == ["id0", "id1", "id2"]
    assert np.isnan(rows[1]["dies_of_ones"])
    assert f"s1, dies_of_ones: {DIED}" in caplog.text
    for row, one in zip(rows, ones):
        assert row["dies_of_ones_mix"] == 7
        assert row["plain"] == module.plain(one.estimate[:, 0], None, None)
    assert rows[0]["dies_of_ones"] == rows[2]["dies_of_ones"] == 7


def test_a_metric_that_cannot_be_sent_fails_alone(module, caplog):
    locked = functools.partial(module.level, gain=threading.Lock())
    with caplog.at_level(logging.WARNING):
        (row,) = score([locked, "own_metrics.plain"], utterance())
    assert np.isnan(row["level"]) and np.isfinite(row["plain"])
    assert "Could not pickle" in caplog.text


def test_processes_end_with_the_rows_and_start_again(module):
    scorer = Scorer(["own_metrics.process"], 8000, n_jobs=1)
    before = set(multiprocessing.active_children())
    found = []
    for number in range(2):
        scorer.submit(utterance(number))
        assert set(multiprocessing.active_children()) > before
        (row,) = scorer.rows()
        assert row["ID"] == f"id{number}"
        found.append(row["process"])
        assert set(multiprocessing.active_children()) <= before
    assert found[0] != found[1]
    assert scorer.rows() == []


def test_metrics_import_no_torch():
    command = "import processes, metrics, sys; sys.exit('torch' in sys.modules)"
    folder = sys.modules["metrics"].__file__.rpartition("/")[0]
    assert (
        subprocess.run([sys.executable, "-c", command], cwd=folder).returncode
        == 0
    )
