"""Building again: extensions, interruptions, missing files."""

import itertools
import os
import signal

import pytest
import soundfile
from simulate.corpus import row_files
from sources import contents, make, rows_of, times


def names_of(rows):
    """The files of rows of the training subset."""
    return [f"train/{n}" for row in rows for n in row_files(row).values()]


def kill_at(module, name, number, make):
    """Makes a corpus in a fork, killed at a call of module.name."""
    process = os.fork()
    if process == 0:
        call, calls = getattr(module, name), itertools.count(1)

        def or_die(*arguments, **options):
            if next(calls) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        try:
            setattr(module, name, or_die)
            make()
        finally:
            os._exit(0)  # It was not killed.
    ended = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert ended == -signal.SIGKILL


@pytest.mark.parametrize(
    "module, name, number",
    [
        (os, "replace", 2),  # before the table of rows
        (soundfile, "read", 30),  # while rows are drawn
        (os, "replace", 3),  # before the first file
        (os, "replace", 40),  # among the files of a row that stays wanted
    ],
)
def test_killed_it_goes_on_with_fewer_and_then_all(
    corpus, own, tmp_path, module, name, number
):
    root = tmp_path / "Mini"
    kill_at(module, name, number, lambda: make(root, sources=own))
    rows = root / "train/corpus_Mini_train_rows.csv"
    if rows.exists():
        assert rows.read_bytes().endswith(b"\n")
        with open(rows, "ab") as half_a_line:
            half_a_line.write(b"train,audio/tr")
    assert not list(root.rglob("*_final.csv"))
    killed = {n: t for n, t in times(root).items() if n.endswith("wav")}
    killed = {n: t for n, t in killed.items() if "partial" not in n}
    make(root, 4, 0, 0, sources=own)
    assert rows_of(root) == rows_of(corpus)[:4]
    assert not rows.exists() and not list(root.rglob("*.partial"))
    smaller = times(root)
    assert {n for n in smaller if n.endswith("wav")} == {
        *names_of(rows_of(root)),
        *killed,
    }
    make(root, sources=own)
    assert contents(root) == contents(corpus)
    larger = times(root)
    smaller.pop("train/corpus_Mini_train_final.csv")
    for earlier in (killed, smaller):
        assert all(larger[name] == time for name, time in earlier.items())


def test_killed_at_the_end_it_draws_and_renders_nothing_again(
    corpus, own, tmp_path, monkeypatch
):
    root = tmp_path / "Mini"
    wavs = names_of(rows_of(corpus))
    kill = 3 + len(wavs)  # before the table of the subset
    kill_at(os, "replace", kill, lambda: make(root, 12, 0, 0, sources=own))
    before = times(root)
    assert set(wavs) < set(before) and not list(root.rglob("*_final.csv"))
    monkeypatch.setattr(soundfile, "read", None)
    make(root, 12, 0, 0, sources=own)
    after = times(root)
    assert all(after[name] == before[name] for name in wavs)
    assert contents(root / "train") == contents(corpus / "train")


def test_second_call_and_smaller_call_change_nothing(corpus, own, capsys):
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    make(corpus, sources=own)
    make(corpus, 2, 3, 0, sources=own)
    assert "has 12 mixtures, more than the 2 asked" in capsys.readouterr().out
    after = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    assert before == after


def test_deleted_files_are_made_again_and_no_others(corpus, own, tmp_path):
    root = tmp_path / "Mini"
    make(root, sources=own)
    before = times(root)
    rows = rows_of(root)
    deleted = {
        f"train/{row_files(rows[1])['mixFile']}",
        f"train/{row_files(rows[4])['sceneFile']}",
    }
    for name in deleted:
        (root / name).unlink()
    make(root, sources=own)
    assert contents(root) == contents(corpus)
    after = times(root)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {*deleted, "train/corpus_Mini_train_final.csv"}
