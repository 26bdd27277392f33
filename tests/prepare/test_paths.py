"""Files appear whole and together, whoever else writes or is killed."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from paths import locked, replacing
from recipe import ROOT

WRITES = """
import sys, time
from paths import replacing
with replacing(sys.argv[1]) as [new]:
    new.write_text("half")
    print("begun", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def process():
    """Starts a process that is writing a file."""
    started = []

    def start(path, seconds=60):
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", WRITES, path, str(seconds)],
                env={**os.environ, "PYTHONPATH": str(ROOT / "recipes/PolSESS")},
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        assert started[-1].stdout.readline() == "begun\n"
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.communicate()


def test_what_a_killed_process_leaves_is_deleted_and_no_recording(
    process, tmp_path
):
    killed, living = process(tmp_path / "a.wav"), process(tmp_path / "b.wav", 1)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    left = list(tmp_path.rglob("*"))
    assert len(left) == 4 and not [
        path for path in left if path.suffix == ".wav"
    ]
    with replacing(tmp_path / "c.wav") as [new]:
        new.write_text("whole")
        # Its own folder, and that of the process which lives.
        assert len(list(tmp_path.iterdir())) == 2
    assert living.wait() == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["b.wav", "c.wav"]


def test_files_of_one_process_are_never_mixed_with_those_of_another(tmp_path):
    paths = [tmp_path / name for name in "abcd"]

    def write(text):
        with replacing(*paths) as new:
            for path in new:
                path.write_text(text)

    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            list(pool.map(write, "1234"))
            assert len({path.read_text() for path in paths}) == 1
    assert sorted(tmp_path.iterdir()) == paths


def test_the_second_is_refused_where_files_may_not_exist(tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(FileExistsError, match="a.txt exists by now"):
        with replacing(path, may_exist=False) as [late]:
            late.write_text("late")
            with replacing(path, may_exist=False) as [early]:
                early.write_text("early")
    assert path.read_text() == "early" and os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("umask", [0o002, 0o027])
def test_permissions_are_those_of_the_user(tmp_path, umask):
    before = os.umask(umask)
    try:
        with replacing(tmp_path / "file", tmp_path / "folder") as [
            file,
            folder,
        ]:
            file.touch()
            folder.mkdir()
    finally:
        os.umask(before)
    modes = [(tmp_path / n).stat().st_mode & 0o777 for n in ("file", "folder")]
    assert modes == [0o666 & ~umask, 0o777 & ~umask]


def test_names_may_be_as_long_as_the_system_allows(tmp_path):
    path = tmp_path / f"{'x' * 251}.wav"
    with replacing(path) as [new]:
        new.touch()
    assert path.exists()


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(KeyError):
        with replacing(tmp_path / "a") as [new]:
            new.write_text("half")
            raise KeyError
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_system_without_locks_is_not_taken_for_another_process(
    tmp_path, monkeypatch
):
    def fail(*_):
        raise OSError("no locks available")

    monkeypatch.setattr("fcntl.flock", fail)
    (tmp_path / ".a_killed.partial").mkdir()
    with locked(tmp_path) as is_ours:
        assert is_ours is None
    with replacing(tmp_path / "a") as [new]:
        new.touch()
    assert sorted(os.listdir(tmp_path)) == [".a_killed.partial", "a"]
