"""A run that is killed, or finds no room, at any write can go on."""

import shlex
import subprocess
from pathlib import Path

import pytest
from by_night import by_night, sampled
from promises import DISK, FOLDER, SAVE
from run_folders import equal, newest, trace

# In the order in which a checkpoint is written; the undisturbed run tells
# whether these are all.
FILES = (
    "CKPT.yaml encoder.ckpt masknet.ckpt decoder.ckpt lr_scheduler.ckpt "
    "counter.ckpt brain.ckpt dataloader-TRAIN.ckpt random.ckpt ema.ckpt "
    "optimizer.ckpt sha256.json"
).split()
WRITING = [f"open save/.CKPT/{name}" for name in FILES]
SAVING = ["mkdir save/.CKPT", *WRITING, "rename save/.CKPT"]
REMOVING = [f"remove save/.CKPT/{name}" for name in FILES]
DELETING = ["rename save/CKPT", *REMOVING, "rmdir save/.CKPT"]
# Those of the preparation are those of tests/prepare.
BEFORE_TRAINING = ["open hyperparams.yaml", "open save/settings.partial"]
AFTER_SAVES = ["open train_log.txt", "open *.partial/test_scores_csv"]
RENAMING = [
    "rename save/settings.partial",
    "rename *.partial/test_scores_csv",
]
# The first checkpoint, and the one of an epoch's end, after which one is deleted.
SAVES = (1, 4)


def numbered(places, numbers=SAVES):
    """(Place, number), the numbers taking turns."""
    return [(p, numbers[i % len(numbers)]) for i, p in enumerate(places)]


def cases(places, sample, *action):
    """Parameters, of which a sample is not for the night alone."""
    rows = [(*place, *action) for place in places]
    return sampled(rows, lambda row: row[:2] in sample)


def half(whole, place, number):
    """The size of a file when half of a write to it is done."""
    sizes = {tuple(write[:2]): write[2:] for write in trace(whole, "write")}
    return sum(sizes[place, number]) // 2


def check_repaired(folder, whole):
    """The model and scores of the undisturbed run, and nothing left over."""
    assert equal(folder, whole)
    names = [path.name for path in (folder / "save").iterdir()]
    assert not [n for n in names if n.startswith((".CKPT", "BROKEN"))]
    assert len([n for n in names if n.startswith("CKPT")]) <= 3


@pytest.mark.promise(SAVE)
def test_the_list_of_writes_is_complete(whole):
    writes = [(place, number) for place, number, *_ in trace(whole, "write")]
    for number in SAVES:
        first = writes.index((SAVING[0], number))
        found = writes[first : first + len(SAVING)]
        assert found == [(place, number) for place in SAVING]
    assert {w for w, _ in writes if "CKPT" in w} == {*SAVING, *DELETING}
    others = {*BEFORE_TRAINING, *AFTER_SAVES, *RENAMING}
    assert others < {w for w, _ in writes}


KILLS = [
    *cases(numbered(SAVING), [], "SIGKILL"),
    *cases(numbered(DELETING[:3], [2]), [(DELETING[1], 2)], "SIGKILL"),
    *cases(numbered(DELETING[-3:], [2]), [], "SIGKILL"),
    *cases(numbered(BEFORE_TRAINING + RENAMING, [1]), [], "SIGKILL"),
    *cases(numbered(WRITING), [(WRITING[-2], 4)], "kill at"),
    *cases(numbered(BEFORE_TRAINING[1:] + AFTER_SAVES, [1]), [], "kill at"),
    *by_night(("open train_log.txt", 2, "kill at")),
]


@pytest.mark.promise(SAVE)
@pytest.mark.parametrize("place, number, action", KILLS)
def test_killed_at_a_write(server, whole, tmp_path, place, number, action):
    folder = tmp_path / "run"
    n_bytes = half(whole, place, number)
    code, path = -9, None
    if action == "kill at":
        action, code = f"kill at {n_bytes}", -25
        path = place.removeprefix("open ").replace("CKPT/", "CKPT+*/")
    faults = [("write", 0, ""), (f"write {place}", number, action)]
    server.run(folder, code=code, faults=faults)
    if path is None:
        done = [write[:2] for write in trace(folder, "write")]
        told = [write[:2] for write in trace(whole, "write")]
        assert done == told[: told.index([place, number])]
    else:
        (found,) = folder.glob(path)
        assert found.stat().st_size == n_bytes
    server.succeed(folder)
    check_repaired(folder, whole)


@pytest.mark.promise(SAVE, control=True)
def test_the_stock_checkpointer_does_not_restart(server, tmp_path):
    folder, stock = tmp_path / "run", ("stock", 0, "")
    fault = ("write open save/CKPT/encoder.ckpt", 2, "kill at 9")
    server.run(folder, code=-25, faults=[stock, fault])
    output = server.run(folder, code=1, faults=[stock]).output
    assert "PytorchStreamReader" in output


FULL = [
    *cases(numbered(WRITING, (4, 1)), [("open save/.CKPT/masknet.ckpt", 4)]),
    *cases(numbered(BEFORE_TRAINING + AFTER_SAVES, [1]), []),
]


@pytest.mark.promise(DISK)
@pytest.mark.parametrize("place, number", FULL)
def test_no_room_for_half_of_a_file(server, whole, tmp_path, place, number):
    folder = tmp_path / "run"
    n_bytes = half(whole, place, number)
    faults = [(f"write {place}", number, f"full at {n_bytes}")]
    output = server.run(folder, code=1, faults=faults).output
    if place in BEFORE_TRAINING:
        assert "too large" in output and not trace(folder, "batch")
    else:
        last = output.strip().splitlines()[-1]
        where = folder / "save" if "CKPT" in place else folder
        assert f"{where}" in last and "cannot be written" in last
        assert "intact: make room, and the same command goes on" in last
    assert not list(folder.glob("save/.CKPT*"))
    if number > 1:
        assert newest(folder)
    server.succeed(folder)
    check_repaired(folder, whole)


def blocks(folder, pattern):
    """The bytes that files take on a disk whose blocks are of 4 KiB."""
    found = [p.stat().st_size for p in folder.glob(pattern) if p.is_file()]
    return sum(4096 * -(-size // 4096) for size in found)


@pytest.mark.promise(DISK)
@pytest.mark.parametrize("n_checkpoints", [1.4, *by_night(0.5, 2.9)])
def test_a_full_disk(disks, server, whole, tmp_path, n_checkpoints):
    folder = tmp_path / "run"
    folder.mkdir()
    checkpoint = next(iter((whole / "save").glob("CKPT*")))
    size = blocks(whole, "**/*") - blocks(whole, "save/CKPT*/*")
    size += int(n_checkpoints * blocks(checkpoint, "*"))
    path = shlex.quote(str(folder))
    with disks(f"mount -t tmpfs -o size={size} tmpfs {path}") as process:
        inside = Path(f"/proc/{process}/root{folder}")
        output = server.run(folder, code=1).output
        last = output.strip().splitlines()[-1]
        assert "cannot be written" in last, output[-3000:]
        assert "intact: make room, and the same command goes on" in last
        # Still full: it may end earlier by now, and loses nothing.
        output = server.run(folder, code=1).output
        assert "No space left" in output or "cannot be written" in output
        assert not list(inside.glob("save/.CKPT*"))
        remount = f"mount -o remount,size=64m {path}"
        command = ["nsenter", "-m", "-t", str(process), "sh", "-c", remount]
        subprocess.run(command, check=True)
        server.succeed(folder)
        assert equal(inside, whole)


@pytest.mark.promise(FOLDER)
def test_no_folder_for_the_output(server, tmp_path):
    (tmp_path / "file").write_text("")
    place = tmp_path / "file/run"
    option = f"--output_folder={place}"
    output = server.run(tmp_path / "run", option, code=1).output
    last = output.strip().splitlines()[-1]
    assert f"{place}" in last and "cannot be written" in last
    assert "name another one with --output_folder" in last
    assert "Preparing" not in output and not (tmp_path / "run").exists()
