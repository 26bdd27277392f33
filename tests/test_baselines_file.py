"""The file of the cache: damage, locks and crashes harm no test."""

import logging
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import baselines
import numpy as np
import pytest
from baselines import FILE, BaselineCache
from metrics import si_sdr
from tiny_scoring import fill, find, score, utterance


def rows_of(folder, count=3):
    """The rows of some utterances of two sources; starts no process."""
    utterances = [utterance(number, sources=2) for number in range(count)]
    return score(["si_sdr"], *utterances, folder=folder)


def unusable(tmp_path, kind):
    """The folder of a cache that cannot be used."""
    folder = tmp_path / "cache"
    if kind == "no folder":
        folder.write_text("a file")
        return folder
    folder.mkdir()
    file = folder / FILE
    if kind == "folder in its place":
        file.mkdir()
    elif kind == "damaged":
        file.write_bytes(b"no database" * 1000)
    elif kind == "damaged inside":
        fill(folder)
        data = bytearray(file.read_bytes())
        data[100:] = b"\xff" * (len(data) - 100)
        file.write_bytes(data)
    else:
        database = sqlite3.connect(file)
        columns = {
            "other columns": "key TEXT, value BLOB",
            "fewer columns": "key BLOB, score REAL",
        }[kind]
        database.execute(f"CREATE TABLE scores ({columns})")
        database.close()
    return folder


@pytest.mark.parametrize(
    "kind",
    [
        "no folder",
        "folder in its place",
        "damaged",
        "damaged inside",
        "other columns",
        "fewer columns",
    ],
)
def test_unusable_cache_is_named_and_left_alone(tmp_path, kind, caplog):
    expected = rows_of(None)
    folder = unusable(tmp_path, kind)
    file = folder if folder.is_file() else folder / FILE
    before = file.read_bytes() if file.is_file() else None
    with caplog.at_level(logging.WARNING):
        assert rows_of(folder) == expected
    assert len(caplog.messages) == 1
    assert str(folder / FILE) in caplog.text
    assert "--cache_folder names another" in caplog.text
    assert (file.read_bytes() if file.is_file() else None) == before


@pytest.mark.parametrize("pragma", ["query_only = ON", "max_page_count = 1"])
def test_read_only_or_full_disk_is_named(tmp_path, monkeypatch, caplog, pragma):
    expected = rows_of(tmp_path, count=1)
    connect = sqlite3.connect

    def limited(*args, **kwargs):
        database = connect(*args, **kwargs)
        database.execute(f"PRAGMA {pragma}")
        return database

    monkeypatch.setattr(sqlite3, "connect", limited)
    with caplog.at_level(logging.WARNING):
        rows = rows_of(tmp_path, count=120)
    assert rows[:2] == expected and len(rows) == 240
    assert len(caplog.messages) == 1
    assert "readonly" in caplog.text or "full" in caplog.text
    monkeypatch.undo()
    assert rows_of(tmp_path, count=120) == rows


def test_locked_file_is_not_waited_for_again_and_again(
    tmp_path, monkeypatch, caplog
):
    assert baselines.LOCK_SECONDS <= 10
    monkeypatch.setattr(baselines, "LOCK_SECONDS", 0.05)
    expected = rows_of(tmp_path)
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with caplog.at_level(logging.WARNING):
        assert rows_of(tmp_path) == expected
    assert [m for m in caplog.messages if "locked" in m] == caplog.messages
    assert len(caplog.messages) == 1
    other.execute("ROLLBACK")
    other.close()
    assert len(rows_of(tmp_path)) == 6


WRITER = """
import sys, numpy as np
from baselines import BaselineCache
from metrics import si_sdr
folder, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
cache = BaselineCache(folder)
print("ready", flush=True)
sys.stdin.readline()
for number in range(first, last):
    signal = np.full(8, number, dtype="float32")
    known = cache.look_up(signal, signal, 8000, {"si_sdr": si_sdr})
    cache.add(known, {"si_sdr": (float(number), None)})
    if number % 10 == 9:
        cache._write()
        print(number, flush=True)
cache.save()
"""


def writer(folder, first, last):
    """A process that writes numbers, ten at a time, as soon as it may."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, folder, str(first), str(last)],
        cwd=Path(baselines.__file__).parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def numbers(folder, last):
    """Those numbers that the cache has."""
    cache = BaselineCache(folder)
    has = []
    for number in range(last):
        one = np.full(8, number, dtype="float32")
        known = cache.look_up(one, one, 8000, {"si_sdr": si_sdr})
        if known.scores:
            assert known.scores["si_sdr"] == (number, None)
            has.append(number)
    cache.save()
    return has


def test_two_processes_may_write_at_once(tmp_path):
    writers = [writer(tmp_path, 0, 200), writer(tmp_path, 100, 300)]
    for process in writers:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in writers:
        process.communicate()
        assert process.returncode == 0
    assert numbers(tmp_path, 310) == list(range(300))


def test_killed_process_leaves_what_it_had_written(tmp_path):
    process = writer(tmp_path, 0, 10**6)
    process.stdin.write("go\n")
    process.stdin.flush()
    for _ in range(3):
        written = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert numbers(tmp_path, 30) == list(range(written + 1)) == list(range(30))
    fill(tmp_path)
    assert find(tmp_path) == (0.1, None)


def test_interrupted_test_lost_all_scores_of_its_mixtures(tmp_path):
    cache = BaselineCache(tmp_path)
    for number in range(baselines.WRITE_EVERY):
        one = np.full(8, number, dtype="float32")
        known = cache.look_up(one, one, 8000, {"si_sdr": si_sdr})
        cache.add(known, {"si_sdr": (1.0, None)})
    assert baselines.WRITE_EVERY <= 1000
    database = sqlite3.connect(tmp_path / FILE)
    (count,) = database.execute("SELECT COUNT(*) FROM scores").fetchone()
    database.close()
    assert count == baselines.WRITE_EVERY
    cache.save()
