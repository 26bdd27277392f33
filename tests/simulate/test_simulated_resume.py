"""Building again: extensions, interruptions, missing files."""

import itertools
import os
import shutil
import signal
from pathlib import Path

import pytest
import soundfile
from own_sources import contents, make, rows_of, times
from simulate.audio import SegmentReader
from simulate.corpus import row_files

TRAIN = {"n_train": 12, "n_val": 0, "n_test": 0}


def files_of(rows):
    """The files of rows of the training subset."""
    return [f"train/{n}" for row in rows for n in row_files(row).values()]


def make_until(module, name, number, *arguments, **options):
    """Makes a corpus in a fork that is killed at a call of module.name."""
    process = os.fork()
    if process == 0:
        call, calls = getattr(module, name), itertools.count(1)

        def or_die(*arguments, **options):
            if next(calls) == number:
                if name == "write":
                    Path(arguments[0]).write_bytes(b"RIFF")
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        try:
            setattr(module, name, or_die)
            make(*arguments, **options)
        finally:
            os._exit(0)  # It was not killed.
    ended = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert ended == -signal.SIGKILL


@pytest.mark.parametrize(
    "module, name, number",
    [
        (os, "replace", 3),  # before the table of rows
        (SegmentReader, "read", 14),  # while rows are drawn
        (soundfile, "write", 1),  # in the first file
        (os, "replace", 40),  # among the files of a later row
    ],
)
def test_killed_it_goes_on_with_fewer_and_then_all(
    corpus, own, tmp_path, module, name, number
):
    root = tmp_path / "Mini"
    make_until(module, name, number, root, sources=own)
    rows = root / "train/corpus_Mini_train_rows.csv"
    if rows.exists():
        assert rows.read_bytes().count(b"\n") > 1
        with open(rows, "ab") as half_a_line:
            half_a_line.write(b"train,audio/tr")
    assert not list(root.rglob("*_final.csv"))
    killed = {n: t for n, t in times(root).items() if n.endswith(".wav")}
    make(root, **{**TRAIN, "n_train": 4}, sources=own)
    assert rows_of(root) == rows_of(corpus)[:4]
    smaller = times(root)
    assert set(smaller) == {
        *("corpus.json", "sources_table.csv"),
        "train/corpus_Mini_train_final.csv",
        *(*files_of(rows_of(root)), *killed),
    }
    make(root, sources=own)
    assert contents(root) == contents(corpus)
    larger = times(root)
    smaller.pop("train/corpus_Mini_train_final.csv")
    for earlier in (killed, smaller):
        assert all(larger[name] == time for name, time in earlier.items())


def test_what_is_there_is_neither_drawn_nor_rendered_again(
    corpus, own, tmp_path, monkeypatch
):
    root = tmp_path / "Mini"
    wavs = files_of(rows_of(corpus))
    # Killed before the table gets its final name.
    make_until(os, "replace", 4 + len(wavs), root, **TRAIN, sources=own)
    before = times(root)
    assert set(wavs) < set(before) and not list(root.rglob("*_final.csv"))
    read, n_read = SegmentReader.read, []

    def count(reader, path, *place):
        n_read.append(path)
        return read(reader, path, *place)

    monkeypatch.setattr(SegmentReader, "read", count)
    make(root, **TRAIN, sources=own)
    assert not n_read
    deleted = {f"train/{row_files(rows_of(root)[1])['mixFile']}"}
    deleted.add(f"train/{row_files(rows_of(root)[4])['sceneFile']}")
    for name in deleted:
        (root / name).unlink()
    make(root, **TRAIN, sources=own)
    assert len(n_read) == 4 + 4
    after = times(root)
    assert {name for name in wavs if after[name] != before[name]} == deleted
    assert contents(root / "train") == contents(corpus / "train")


def test_second_call_and_smaller_call_change_nothing(
    corpus, own, tmp_path, capsys
):
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    make(corpus, sources=shutil.copy(own, tmp_path))
    make(corpus, n_train=2, n_test=0, sources=own)
    assert "has 12 mixtures, more than the 2 asked" in capsys.readouterr().out
    after = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    assert before == after
