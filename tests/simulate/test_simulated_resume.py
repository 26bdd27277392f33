"""Building again: prefixes, extensions, interruptions, missing files.

Authors
 * The PolSESS recipe team 2026
"""

import signal
import subprocess
import sys
import time

import pytest
from simulate.corpus import row_files
from sources import contents, make, rows_of, times, words, write_sources
from test_simulate_corpus import SCRIPT

QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return write_sources(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def corpus(sources, tmp_path_factory):
    root = tmp_path_factory.mktemp("made") / "Mini"
    make(root, sources=sources)
    return root


def test_same_bytes_with_two_jobs_and_prefix_property(
    corpus, sources, tmp_path
):
    root = tmp_path / "Mini"
    make(root, 3, 2, 0, sources=sources, n_jobs=2)
    assert not (root / "test").exists()
    smaller, larger = contents(root), contents(corpus)
    table = "train/corpus_Mini_train_final.csv"
    assert larger[table].startswith(smaller.pop(table))
    assert all(larger[name] == value for name, value in smaller.items())
    before = times(root)
    make(root, sources=sources)
    assert contents(root) == larger
    after = times(root)
    assert all(after[name] == value for name, value in before.items())


def test_second_call_and_smaller_call_change_nothing(corpus, sources, capsys):
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    make(corpus, sources=sources)
    make(corpus, 2, 2, 0, sources=sources)
    assert "has 6 mixtures, more than the 2 asked" in capsys.readouterr().out
    after = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    assert before == after


def test_deleted_files_are_made_again_and_no_others(sources, tmp_path):
    root = tmp_path / "Mini"
    make(root, sources=sources)
    complete, before = contents(root), times(root)
    rows = rows_of(root)
    deleted = {
        f"train/{row_files(rows[1])['mixFile']}",
        f"train/{row_files(rows[4])['sceneFile']}",
    }
    for name in deleted:
        (root / name).unlink()
    make(root, sources=sources)
    assert contents(root) == complete
    after = times(root)
    assert {name for name in after if after[name] != before[name]} == deleted


def command(root, sources):
    options = {"n_train": 60, "n_val": 0, "n_test": 0, "sources": sources}
    return [sys.executable, SCRIPT, *words(root, **options)]


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
    process = subprocess.Popen(command(root, sources), **QUIET)
    wait_for(process, lambda: table.exists() and table.stat().st_size > 3000)
    drawn = table.read_bytes()
    with open(table, "ab") as half_a_line:
        half_a_line.write(b"train,audio/tr")
    process = subprocess.Popen(command(root, sources), **QUIET)
    mixtures = root / "train" / "mix"
    wait_for(process, lambda: len(list(mixtures.glob("*.wav"))) > 5)
    assert table.read_bytes().startswith(drawn)
    assert not list(root.rglob("*_final.csv"))
    before = times(root)
    subprocess.run(command(root, sources), check=True, **QUIET)
    after = times(root)
    assert len(rows_of(root)) == 60
    assert all(after[name] == value for name, value in before.items())
    assert not list(root.rglob("*.partial")) and not table.exists()
    other = tmp_path / "other" / "Mini"
    make(other, 60, 0, 0, sources=sources, n_jobs=2)
    assert contents(other) == contents(root)


def test_fewer_mixtures_than_when_it_was_killed(sources, tmp_path):
    root, whole = tmp_path / "Mini", tmp_path / "whole" / "Mini"
    make(whole, 60, 0, 0, sources=sources)
    process = subprocess.Popen(command(root, sources), **QUIET)
    # At least one of the mixtures that are not asked for later is finished.
    late = root / "train" / "mix" / rows_of(whole)[30]["mixFile"]
    wait_for(process, late.exists)
    before = times(root)
    assert len(before) > 8 * 4
    make(root, 20, 0, 0, sources=sources)
    assert rows_of(root) == rows_of(whole)[:20]
    assert not list((root / "train").glob("*_rows.csv"))
    after = times(root)
    assert all(after[name] == value for name, value in before.items())
    named = {
        f"train/{name}"
        for row in rows_of(root)
        for name in row_files(row).values()
    }
    assert named <= set(after) == named | set(before)
    make(root, 60, 0, 0, sources=sources)
    assert contents(root) == contents(whole)
    extended = times(root)
    assert all(extended[name] == value for name, value in after.items())
