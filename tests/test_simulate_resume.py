"""Building again: prefixes, extensions, interruptions, missing files.

Authors
 * The PolSESS recipe team 2026
"""

import signal
import subprocess
import time

import pytest
from simulate.make_corpus import make_corpus
from simulate.render import row_files
from test_simulate_corpus import (
    COUNTS,
    OPTIONS,
    command,
    contents,
    rows_of,
    times,
)
from test_simulate_sources import write_sources


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return write_sources(tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def corpus(sources, tmp_path_factory):
    root = tmp_path_factory.mktemp("made") / "Mini"
    make_corpus(root, sources=sources, **COUNTS, **OPTIONS)
    return root


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


def test_fewer_mixtures_than_when_it_was_killed(sources, tmp_path):
    root, whole = tmp_path / "Mini", tmp_path / "whole" / "Mini"
    make_corpus(whole, 60, 0, 0, sources=sources, **OPTIONS)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command(root, sources), **quiet)
    # At least one of the mixtures that are not asked for later is finished.
    late = root / "train" / "mix" / rows_of(whole)[30]["mixFile"]
    wait_for(process, late.exists)
    before = times(root)
    assert len(before) > 8 * 4
    make_corpus(root, 20, 0, 0, sources=sources, **OPTIONS)
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
    make_corpus(root, 60, 0, 0, sources=sources, **OPTIONS)
    assert contents(root) == contents(whole)
    extended = times(root)
    assert all(extended[name] == value for name, value in after.items())
