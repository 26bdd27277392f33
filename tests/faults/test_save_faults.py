"""A run that is killed, or finds no room, at any write can go on."""

import pytest
from promises import DISK, SAVE
from server import newest, trace
from test_faults import equal

# In the order in which a checkpoint is written; the undisturbed run tells
# whether these are all.
FILES = (
    "CKPT.yaml encoder.ckpt masknet.ckpt decoder.ckpt lr_scheduler.ckpt "
    "counter.ckpt brain.ckpt dataloader-TRAIN.ckpt random.ckpt optimizer.ckpt "
    "sha256.json"
).split()
SAVING = [
    "mkdir save/.CKPT",
    *(f"open save/.CKPT/{name}" for name in FILES),
    "rename save/.CKPT",
]
DELETING = [
    "rename save/CKPT",
    *(f"remove save/.CKPT/{name}" for name in FILES),
    "rmdir save/.CKPT",
]
# The first; the one of an epoch's end, after which one is deleted.
SAVES = (1, 4)
OTHERS = [
    "open hyperparams.yaml",
    "open save/.prepare_*/train_SER.csv",
    "open save/.prepare_*/prepare.json",
    "rename save/.prepare_*/train_SER.csv",
    "rename save/.prepare_*/prepare.json",
    "open save/settings.partial",
    "rename save/settings.partial",
    "open train_log.txt",
    "open test_scores.csv.partial",
    "rename test_scores.csv.partial",
]


@pytest.fixture(scope="module")
def whole(server, tmp_path_factory):
    """An undisturbed run whose writes were counted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    server.succeed(folder, faults=[("write", 0, "")])
    return folder


def sizes(whole):
    """(Write, number) -> bytes of its file before and after."""
    return {
        (place, number): (before, after)
        for place, number, before, after in trace(whole, "write")
    }


def half(whole, place, number):
    """The size of a file when half of a write to it is done."""
    before, after = sizes(whole)[place, number]
    return (before + after) // 2


def cases(places, number, sample):
    """Parameters, of which only a sample is run without --matrix."""
    return [
        pytest.param(
            place,
            number,
            marks=[] if (place, number) in sample else pytest.mark.nightly,
        )
        for place in places
    ]


@pytest.mark.promise(SAVE)
def test_the_list_of_writes_is_complete(whole):
    writes = [(place, number) for place, number, *_ in trace(whole, "write")]
    for number in SAVES:
        first = writes.index((SAVING[0], number))
        found = writes[first : first + len(SAVING)]
        assert found == [(place, number) for place in SAVING]
    assert {w for w, _ in writes if "CKPT" in w} == {*SAVING, *DELETING}
    assert {*OTHERS} < {w for w, _ in writes}


KILLS_BEFORE = [
    *cases(SAVING, SAVES[0], []),
    *cases(SAVING, SAVES[1], [("rename save/.CKPT", 4)]),
    *cases(DELETING, 2, [("remove save/.CKPT/CKPT.yaml", 2)]),
    *cases(OTHERS, 1, []),
]


@pytest.mark.promise(SAVE)
@pytest.mark.parametrize("place, number", KILLS_BEFORE)
def test_killed_before_a_write(server, whole, tmp_path, place, number):
    folder = tmp_path / "run"
    faults = [(f"write {place}", number, "SIGKILL")]
    code, _, output = server.run(folder, faults=faults)
    assert code == -9, output[-3000:]
    done = [write[:2] for write in trace(folder, "write")]
    told = [write[:2] for write in trace(whole, "write")]
    assert done == told[: told.index([place, number])]
    server.succeed(folder)
    check_repaired(folder, whole)


def check_repaired(folder, whole):
    """The model and scores of the undisturbed run, and nothing left over."""
    assert equal(folder, whole)
    names = {path.name for path in (folder / "save").iterdir()}
    assert not [n for n in names if n.startswith((".CKPT", "BROKEN"))]
    assert len([n for n in names if n.startswith("CKPT")]) <= 3


KILLS_WITHIN = [
    *cases(SAVING[1:-1], SAVES[0], [("open save/.CKPT/optimizer.ckpt", 1)]),
    *cases(SAVING[1:-1], SAVES[1], [("open save/.CKPT/sha256.json", 4)]),
    *cases([place for place in OTHERS if "open" in place], 1, []),
    *cases(["open train_log.txt"], 2, []),
]


@pytest.mark.promise(SAVE)
@pytest.mark.parametrize("place, number", KILLS_WITHIN)
def test_killed_at_half_of_a_file(server, whole, tmp_path, place, number):
    folder = tmp_path / "run"
    n_bytes = half(whole, place, number)
    faults = [(f"write {place}", number, f"kill at {n_bytes}")]
    code, _, output = server.run(folder, faults=faults)
    assert code == -25, output[-3000:]
    name = place.removeprefix("open ").replace("CKPT/", "CKPT+*/")
    (path,) = folder.glob(name)
    assert path.stat().st_size == n_bytes
    server.succeed(folder)
    check_repaired(folder, whole)


@pytest.mark.promise(SAVE, control=True)
def test_the_stock_checkpointer_does_not_restart(server, whole, tmp_path):
    folder = tmp_path / "run"
    faults = [
        ("stock", 0, ""),
        ("write open save/CKPT/encoder.ckpt", 2, "kill at 9"),
    ]
    assert server.run(folder, faults=faults)[0] == -25
    code, _, output = server.run(folder, faults=[("stock", 0, "")])
    assert code == 1 and "PytorchStreamReader" in output


FULL = [
    *cases(SAVING[1:-1], SAVES[0], []),
    *cases(SAVING[1:-1], SAVES[1], [("open save/.CKPT/masknet.ckpt", 4)]),
    *cases(
        ["open train_log.txt", "open test_scores.csv.partial"],
        1,
        [("open test_scores.csv.partial", 1)],
    ),
]


@pytest.mark.promise(DISK)
@pytest.mark.parametrize("place, number", FULL)
def test_no_room_for_half_of_a_file(server, whole, tmp_path, place, number):
    folder = tmp_path / "run"
    n_bytes = half(whole, place, number)
    faults = [(f"write {place}", number, f"full at {n_bytes}")]
    code, _, output = server.run(folder, faults=faults)
    assert code == 1
    last = output.strip().splitlines()[-1]
    where = folder / "save" if "CKPT" in place else folder
    assert f"{where}" in last and "cannot be written" in last, output[-3000:]
    assert "intact: make room, and the same command goes on" in last
    names = [path.name for path in (folder / "save").iterdir()]
    assert not [name for name in names if name.startswith((".CKPT", "BROKEN"))]
    if (place, number) in [w for w in sizes(whole) if w[1] > 1]:
        assert newest(folder)
    server.succeed(folder)
    check_repaired(folder, whole)


BEFORE_TRAINING = [place for place in OTHERS[:6] if "open" in place]


@pytest.mark.promise(DISK)
@pytest.mark.nightly
@pytest.mark.parametrize("place", BEFORE_TRAINING)
def test_no_room_before_the_training(server, whole, tmp_path, place):
    folder = tmp_path / "run"
    faults = [(f"write {place}", 1, f"full at {half(whole, place, 1)}")]
    code, _, output = server.run(folder, faults=faults)
    assert code == 1 and "too large" in output
    assert not trace(folder, "batch")
    server.succeed(folder)
    check_repaired(folder, whole)
