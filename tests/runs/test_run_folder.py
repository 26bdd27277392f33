"""One process at a time for the folder of a run, and errors of its disk."""

import errno
import fcntl
import logging
import os
import signal
import time

import pytest
from runs.folder import cannot_be_saved, disk_errors, lock_folder

# Locks a folder, makes a child, and both wait to be killed.
HOLDER = """
import os, signal, sys
from runs.folder import lock_folder
lock_folder(sys.argv[1])
child = os.fork()
if child:
    os.symlink(str(child), "child")
signal.pause()
"""
SECOND = """
import sys
from runs.folder import lock_folder
lock_folder(sys.argv[1])
"""


def test_a_second_process_is_refused_and_a_restart_is_not(server, tmp_path):
    folder = tmp_path / "deep" / "run"
    for name, text in (("holder", HOLDER), ("second", SECOND)):
        (tmp_path / f"{name}.py").write_text(text)

    def second(folder):
        """Another process that tries to lock a folder."""
        return server.call(tmp_path, tmp_path / "second.py", folder)

    holder = server.start(
        tmp_path / "1", tmp_path / "holder.py", folder, folder=tmp_path
    )
    for _ in range(3000):
        if (tmp_path / "child").is_symlink():
            break
        time.sleep(0.02)
    child = int(os.readlink(tmp_path / "child"))
    for _ in range(2):
        code, _, message = second(folder)
        last = message.strip().splitlines()[-1]
        assert f"{folder} is in use by process {holder.process} on " in last
        assert code == 1 and "--output_folder" in last
    assert second(folder.with_name("other")).code == 0
    os.kill(holder.process, signal.SIGKILL)
    assert holder.end().code == -signal.SIGKILL
    os.kill(child, 0)  # alive, as workers are for a while
    assert second(folder).code == 0
    os.kill(child, signal.SIGKILL)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file/run cannot be written"):
        lock_folder(str(tmp_path / "file/run"))
    lock_folder(str(tmp_path / "run"))
    # As on a full disk: the file can be opened, and not written.
    (tmp_path / "run/.lock").unlink()
    (tmp_path / "run/.lock").symlink_to("/dev/full")
    with pytest.raises(ValueError, match="run cannot be written"):
        lock_folder(str(tmp_path / "run"))


def test_a_disk_without_locks_is_said(tmp_path, monkeypatch, caplog):
    def no_locks(*arguments):
        """Answers as some network disks do."""
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", no_locks)
    lock_folder(str(tmp_path / "run"))
    assert "No locks available): take care" in caplog.text


@pytest.mark.parametrize(
    "number, is_full",
    [
        (errno.ENOSPC, True),
        (errno.EDQUOT, True),
        (errno.EFBIG, True),
        (errno.EROFS, True),
        (errno.EACCES, False),
    ],
)
def test_the_error_of_a_full_disk_says_what_to_do(monkeypatch, number, is_full):
    monkeypatch.setattr(logging, "raiseExceptions", True)
    with pytest.raises(OSError) as caught, disk_errors("/a/run"):
        raise OSError(number, "the disk")
    assert str(caught.value).startswith("/a/run cannot be") == is_full
    assert not logging.raiseExceptions


def test_the_room_that_is_left_is_told_in_mebibytes(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 5 * 2**20})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    message = cannot_be_saved(tmp_path, "an error")
    assert f"{tmp_path}: a" in message and "(an error; free: 5 MiB)" in message
