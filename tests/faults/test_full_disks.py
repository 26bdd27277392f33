"""Disks that are full or read-only: real ones, where mounting is allowed."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from promises import DISK, FOLDER
from server import Server
from test_faults import equal
from test_run_folder_faults import contents


def mounted(command):
    """Starts runs that see what a command has mounted; others do not."""
    return Server(
        "unshare", "-m", "sh", "-c", 'eval "$0" && exec "$@"', command
    )


@pytest.fixture(scope="module")
def may_mount(tmp_path_factory):
    """Skips where the system does not let tests mount disks."""
    folder = tmp_path_factory.mktemp("mount")
    try:
        done = subprocess.run(
            ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", folder],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        pytest.skip(f"a disk cannot be mounted here: {error}")
    if done.returncode:
        pytest.skip(f"a disk cannot be mounted here: {done.stderr}")


@pytest.fixture(scope="module")
def whole(server, tmp_path_factory):
    """An undisturbed run."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    server.succeed(folder)
    return folder


def blocks(folder, pattern):
    """The bytes that files take on a disk whose blocks are of 4 KiB."""
    sizes = [p.stat().st_size for p in folder.glob(pattern) if p.is_file()]
    return sum(4096 * -(-size // 4096) for size in sizes)


@pytest.mark.promise(DISK)
@pytest.mark.nightly
@pytest.mark.parametrize("n_checkpoints", [0.1, 0.5, 1.4, 2.2, 2.9, 3.5])
def test_a_full_disk(may_mount, whole, tmp_path, n_checkpoints):
    folder = tmp_path / "run"
    folder.mkdir()
    checkpoint = next(iter((whole / "save").glob("CKPT*")))
    everything, checkpoints = (
        blocks(whole, p) for p in ("**/*", "save/CKPT*/*")
    )
    size = everything - checkpoints + n_checkpoints * blocks(checkpoint, "*")
    path = shlex.quote(str(folder))
    server = mounted(f"mount -t tmpfs -o size={int(size)} tmpfs {path}")
    # What these runs see there.
    inside = Path(f"/proc/{server.process.pid}/root{folder}")
    code, _, output = server.run(folder)
    last = output.strip().splitlines()[-1]
    assert code == 1 and "cannot be written" in last, output[-3000:]
    assert "intact: make room, and the same command goes on" in last
    # Still full: it may end earlier by now, and loses nothing.
    code, _, output = server.run(folder)
    said = "No space left" in output or "cannot be written" in output
    assert code == 1 and said, output[-3000:]
    assert not list(inside.glob("save/.CKPT*"))
    subprocess.run(
        ["nsenter", "-m", "-t", str(server.process.pid)]
        + ["mount", "-o", "remount,size=64m", folder],
        check=True,
    )
    server.succeed(folder)
    assert equal(inside, whole)
    server.close()


@pytest.mark.promise(DISK)
@pytest.mark.nightly
@pytest.mark.parametrize("size", [4096, 16384, 65536])
def test_a_disk_without_any_room(may_mount, tmp_path, size):
    folder = tmp_path / "run"
    folder.mkdir()
    path = shlex.quote(str(folder))
    server = mounted(f"mount -t tmpfs -o size={size} tmpfs {path}")
    code, _, output = server.run(folder)
    server.close()
    assert code == 1 and "No space left on device" in output
    assert not Path(f"{folder}.trace").exists()


@pytest.mark.promise(FOLDER)
@pytest.mark.parametrize("place", ["/proc/run", "/sys/run", "FILE/run"])
def test_no_folder_for_the_output(server, tmp_path, place):
    (tmp_path / "file").write_text("")
    place = place.replace("FILE", str(tmp_path / "file"))
    folder = tmp_path / "run"
    code, _, output = server.run(folder, f"--output_folder={place}")
    check_refused(code, output, place)
    assert not folder.exists()


def check_refused(code, output, folder):
    """Ended with a clear message before the data were looked at."""
    last = output.strip().splitlines()[-1]
    assert code == 1 and f"{folder}" in last and "cannot be written" in last
    assert "name another one with --output_folder" in last
    assert "Preparing" not in output


@pytest.mark.promise(FOLDER)
@pytest.mark.nightly
@pytest.mark.parametrize("begun", [False, True])
def test_a_disk_that_is_read_only(may_mount, whole, tmp_path, begun):
    folder = tmp_path / "disk/run"
    if begun:
        shutil.copytree(whole, folder)
    else:
        folder.parent.mkdir()
    before = contents(folder)
    path = shlex.quote(str(folder.parent))
    server = mounted(
        f"mount --bind {path} {path} && mount -o remount,ro,bind {path}"
    )
    # The run's output and trace lie next to its folder, which is read-only.
    elsewhere = tmp_path / "elsewhere"
    code, _, output = server.run(elsewhere, f"--output_folder={folder}")
    server.close()
    check_refused(code, output, folder)
    assert contents(folder) == before
