"""The cache of the mixtures' scores: what is a hit, and what is a miss."""

import functools
import importlib
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import baselines
import numpy as np
import pytest
from baselines import FILE, identity
from metrics import METRICS, si_sdr
from processes import DIED
from tiny_scoring import SIGNAL, fill, find, import_written, score, utterance

COUNTING = """
import pathlib
import numpy as np

def counted(estimate, reference, rate, gain=1):
    kind = "estimate" if estimate[0] == 0 else "mixture"
    with open(pathlib.Path(__file__).with_name("calls"), "a") as file:
        file.write(kind + "\\n")
    if abs(reference).max() == 0.25:
        raise ValueError("never this one")
    return gain * np.mean(estimate * reference) / 3
"""


@pytest.fixture
def counted(tmp_path, monkeypatch):
    """Of a metric that writes down its calls: reads and forgets them."""
    import_written(tmp_path, "counting_metrics", COUNTING, monkeypatch)
    path = tmp_path / "calls"

    def calls():
        kinds = path.read_text().split() if path.exists() else []
        path.write_text("")
        return kinds.count("estimate"), kinds.count("mixture")

    return calls


def rows_of(folder, count=3):
    """The rows of some utterances of two sources."""
    utterances = [utterance(n, sources=2, first=0) for n in range(count)]
    return score(["counting_metrics.counted"], *utterances, folder=folder)


def test_second_test_scores_no_mixture(counted, tmp_path):
    without = rows_of(None)
    assert counted() == (6, 6)
    first = rows_of(tmp_path / "cache")
    assert counted() == (6, 6)
    second = rows_of(tmp_path / "cache")
    assert counted() == (6, 0)
    # Bit for bit, as repr has all digits.
    assert repr(without) == repr(first) == repr(second)
    assert len(first) == 6
    more = rows_of(tmp_path / "cache", count=4)
    assert counted() == (8, 2)
    assert repr(more[:6]) == repr(first)


def test_what_changes_a_score_is_a_miss(tmp_path):
    metric = functools.partial(si_sdr, sample_rate=8000)
    fill(tmp_path, metric)
    assert find(tmp_path, metric) == (0.1, None)
    other = SIGNAL.copy()
    other[500] += 1e-6
    assert find(tmp_path, metric, mixture=other) is None
    assert find(tmp_path, metric, reference=other) is None
    assert find(tmp_path, metric, mixture=SIGNAL[:-1]) is None
    assert find(tmp_path, metric, mixture=SIGNAL.astype(float)) is None
    assert find(tmp_path, metric, reference=SIGNAL.astype(float)) is None
    assert find(tmp_path, metric, rate=16000) is None
    # The same bytes with another meaning.
    halves = SIGNAL.view(np.float64)
    assert find(tmp_path, metric, halves, halves) is None
    assert find(tmp_path, METRICS["sdr"]) is None
    assert find(tmp_path, si_sdr) is None
    assert find(tmp_path, functools.partial(si_sdr, sample_rate=1)) is None
    assert find(tmp_path, metric, mixture=SIGNAL[::1].copy()) == (0.1, None)


def test_another_version_of_a_package_is_a_miss(tmp_path, monkeypatch):
    fill(tmp_path)
    assert find(tmp_path)
    monkeypatch.setattr(baselines, "version", lambda package: "99")
    assert find(tmp_path) is None


def test_another_definition_of_a_metric_is_a_miss(counted, tmp_path):
    rows_of(tmp_path / "cache")
    counted()
    changed = COUNTING.replace("/ 3", "/ 5")
    (tmp_path / "counting_metrics.py").write_text(changed)
    del sys.modules["counting_metrics"]
    importlib.invalidate_caches()
    rows_of(tmp_path / "cache")
    assert counted() == (6, 6)


def test_helper_of_a_metric_that_changes_is_a_miss(tmp_path, monkeypatch):
    """Its old scores of mixtures stood beside new ones of estimates."""
    for value in (1, 2):
        text = f"def value():\n    return {value}\n"
        import_written(tmp_path, "helper_of_metric", text, monkeypatch)
        text = (
            "import helper_of_metric\n"
            "def helped(estimate, reference, rate):\n"
            "    return helper_of_metric.value()\n"
        )
        import_written(tmp_path, "helped_metrics", text, monkeypatch)
        (row,) = score(
            ["helped_metrics.helped"], utterance(), folder=tmp_path / "cache"
        )
        assert (row["helped"], row["helped_mix"]) == (value, value)


def test_long_arrays_bound_to_a_metric_had_one_identity():
    weights = np.zeros(5000)
    other = weights.copy()
    other[2500] = 1
    assert repr(weights) == repr(other)
    first, second, third = (
        identity(functools.partial(si_sdr, sample_rate=bound))
        for bound in (weights, other, weights.copy())
    )
    assert first == third != second


class Gained:
    """A metric that is an object."""

    def __init__(self, gain):
        self.gain = gain

    def __call__(self, estimate, reference, sample_rate):
        return self.gain


def test_objects_had_no_identity():
    assert identity(Gained(1)) == identity(Gained(1)) != identity(Gained(2))


def test_functions_without_a_source_had_one_identity():
    spaces = {"__name__": "__main__"}, {"__name__": "__main__"}
    for number, space in enumerate(spaces):
        exec(f"def typed(*job): return {number}", space)
    first, second = (space["typed"] for space in spaces)
    assert identity(first) != identity(second)
    assert identity(sum) != identity(min)


def test_identity_is_the_same_in_another_process():
    command = (
        "import functools, hashlib, baselines, metrics;"
        "m = functools.partial(metrics.pesq, 'x', mode='x', gain=[1.5]);"
        "print(hashlib.md5(baselines.identity(m).encode()).hexdigest())"
    )
    folder = Path(baselines.__file__).parent
    printed = {
        subprocess.run(
            [sys.executable, "-c", command],
            cwd=folder,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in "12"
    }
    assert len(printed) == 1


def test_cached_failure_keeps_its_reason_in_the_log(counted, tmp_path, caplog):
    one = utterance(sources=2, first=0)
    reference = one.reference / (4 * np.abs(one.reference).max(0))
    one = replace(one, reference=reference)
    logs = []
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            rows = score(
                ["counting_metrics.counted"], one, folder=tmp_path / "cache"
            )
        assert np.isnan([row["counted_mix"] for row in rows]).all()
        logs.append(caplog.messages)
    assert counted() == (4, 2)
    assert logs[0] == logs[1]
    assert "s2, counted_mix: ValueError('never this one')" in logs[0][0]


@pytest.mark.parametrize(
    "failure",
    [DIED, "MemoryError()", "ModuleNotFoundError(\"No module named 'x'\")"],
)
def test_failures_of_the_machine_were_kept_for_ever(tmp_path, failure):
    fill(tmp_path, failure=failure)
    assert find(tmp_path) is None
    fill(tmp_path, failure="ValueError('silent reference')")
    score, reason = find(tmp_path)
    assert np.isnan(score) and reason == "ValueError('silent reference')"


def test_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    fill("~/deep/cache")
    assert (tmp_path / "deep/cache" / FILE).is_file()
    assert find("~/deep/cache") == (0.1, None)


@pytest.mark.parametrize("off", [None, ""])
def test_without_a_folder_nothing_is_written(
    tmp_path, monkeypatch, off, caplog
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    fill(off)
    assert find(off) is None
    assert list(tmp_path.iterdir()) == []
    assert not caplog.messages
