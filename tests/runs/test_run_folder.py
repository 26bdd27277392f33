"""One process at a time for the folder of a run."""

import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest
from recipe import SEPARATION
from runs.folder import lock_folder

# Locks a folder, makes a child, and tells both numbers.
HOLDER = """
import os, sys, time
from runs.folder import lock_folder
lock_folder(sys.argv[1])
child = os.fork()
if child:
    print(os.getpid(), child, flush=True)
time.sleep(600)
"""
# Tries to lock a folder.
SECOND = """
import sys
from runs.folder import lock_folder
lock_folder(sys.argv[1])
"""


def start(code, folder):
    """Another process that imports the recipe."""
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        cwd=SEPARATION,
        env={**os.environ, "PYTHONPATH": str(SEPARATION)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def holder(tmp_path_factory):
    """A folder, the process that locked it, and the child it forked."""
    folder = tmp_path_factory.mktemp("runs") / "deep" / "run"
    process = start(HOLDER, folder)
    _, child = map(int, process.stdout.readline().split())
    yield folder, process, child
    process.kill()
    os.kill(child, signal.SIGKILL)
    process.communicate()


def test_a_second_process_is_refused_and_a_restart_is_not(holder):
    folder, process, child = holder
    for _ in range(2):
        _, message = start(SECOND, folder).communicate()
        last = message.strip().splitlines()[-1]
        assert f"{folder} is in use by process {process.pid} on " in last
        assert "--output_folder" in last
    other = start(SECOND, folder.with_name("other"))
    assert other.communicate()[1] == "" and other.returncode == 0
    process.kill()
    process.wait()
    os.kill(child, 0)  # alive, as workers are for a while
    restarted = start(SECOND, folder)
    assert restarted.communicate()[1] == "" and restarted.returncode == 0
    os.kill(child, 0)


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file/run cannot be written"):
        lock_folder(str(tmp_path / "file/run"))

    def read_only(*arguments, **keywords):
        """Answers as a disk that is mounted read-only."""
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("builtins.open", read_only)
    with pytest.raises(ValueError, match="Read-only file system.*name another"):
        lock_folder(str(tmp_path / "run"))


def test_a_disk_without_locks_is_said(tmp_path, monkeypatch, caplog):
    def no_locks(*arguments):
        """Answers as some network disks do."""
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", no_locks)
    lock_folder(str(tmp_path / "run"))
    assert "No locks available): take care" in caplog.text
