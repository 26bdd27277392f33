"""A run goes on from the newest checkpoint that is what was saved."""

import shutil

import pytest
import torch
from promises import DAMAGE
from run_folders import digest, newest
from test_checkpointer import DAMAGES, flip
from test_faults import equal
from test_save_faults import FILES

from speechbrain.utils.checkpoints import Checkpointer


@pytest.fixture(scope="module")
def whole(server, tmp_path_factory):
    """An undisturbed run."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    server.succeed(folder)
    return folder


@pytest.fixture(scope="module")
def killed(server, tmp_path_factory):
    """A run that was killed in its second epoch, with two checkpoints."""
    folder = tmp_path_factory.mktemp("killed") / "run"
    faults = [("fit_batch", 8, "SIGKILL")]
    assert server.run(folder, faults=faults)[0] == -9
    assert len(checkpoints(folder)) == 2
    assert sorted(path.name for path in newest(folder).iterdir()) == sorted(
        FILES
    )
    return folder


@pytest.fixture
def folder(killed, tmp_path):
    """A copy of it."""
    return shutil.copytree(killed, tmp_path / "run")


def checkpoints(folder):
    """Its checkpoints, the newest last."""
    found = Checkpointer(folder / "save").find_checkpoints()
    return [checkpoint.path for checkpoint in reversed(found)]


SAMPLE = {
    ("masknet.ckpt", "flipped"),
    ("CKPT.yaml", "zeroed"),
}
CASES = [
    pytest.param(
        file,
        damage,
        marks=[] if (file, damage) in SAMPLE else pytest.mark.nightly,
    )
    for file in FILES
    for damage in DAMAGES
]


@pytest.mark.promise(DAMAGE)
@pytest.mark.parametrize("file, damage", CASES)
def test_the_checkpoint_before_a_damaged_one_is_used(
    server, whole, folder, file, damage
):
    before, damaged = checkpoints(folder)
    DAMAGES[damage](damaged / file)
    output = server.succeed(folder)
    (line,) = [line for line in output.splitlines() if "BROKEN" in line]
    assert str(damaged) in line
    # Of the sums themselves, damage shows in the first file they do not match.
    assert file in line or file == "sha256.json"
    first = [line for line in output.splitlines() if "Loading a checkp" in line]
    assert first[0].endswith(str(before))
    assert equal(folder, whole)


@pytest.mark.promise(DAMAGE)
@pytest.mark.nightly
def test_two_damaged_checkpoints(server, whole, tmp_path):
    folder = tmp_path / "run"
    faults = [("evaluate_batch", 8, "SIGKILL")]  # of the second validation
    assert server.run(folder, faults=faults)[0] == -9
    oldest, *damaged = checkpoints(folder)
    for path in damaged:
        flip(path / "encoder.ckpt")
    output = server.succeed(folder)
    assert f"Loading a checkpoint from {oldest}" in output
    for path in damaged:
        broken = path.with_name(path.name.replace("CKPT", "BROKEN"))
        assert sorted(p.name for p in broken.iterdir()) == sorted(FILES)
        assert f"{path}: encoder.ckpt is not what was saved" in output
    assert equal(folder, whole)


@pytest.mark.promise(DAMAGE)
@pytest.mark.parametrize(
    "damage",
    [
        "flipped",
        *(
            pytest.param(d, marks=pytest.mark.nightly)
            for d in DAMAGES
            if d != "flipped"
        ),
    ],
)
def test_all_damaged_stops_with_the_list_each_time(server, folder, damage):
    damaged = checkpoints(folder)
    for path in damaged:
        DAMAGES[damage](path / "masknet.ckpt")
    for _ in range(2):
        code, _, output = server.run(folder)
        assert code == 1 and not (folder / "test_scores.csv").exists()
        message = output.partition("can be trusted:\n")[2].splitlines()
        for path, line in zip(sorted(damaged), message):
            assert line.startswith(f"- {path}: ") and "masknet.ckpt" in line
        assert "intact copy" in message[len(damaged)]
    assert not (folder.with_name("run.trace")).exists()
    assert sorted(path for path in folder.glob("save/CKPT*")) == sorted(damaged)


@pytest.mark.promise(DAMAGE)
@pytest.mark.nightly
def test_a_copy_put_back(server, whole, folder, tmp_path):
    damaged = checkpoints(folder)
    copy = shutil.copytree(damaged[-1], tmp_path / "copy")
    for path in damaged:
        flip(path / "masknet.ckpt")
    assert server.run(folder)[0] == 1
    shutil.rmtree(damaged[-1])
    copy.rename(damaged[-1])
    output = server.succeed(folder)
    assert f"Loading a checkpoint from {damaged[-1]}" in output
    # The scores may be of another epoch: the best one may be lost.
    assert digest(folder) == digest(whole)


@pytest.mark.promise(DAMAGE, control=True)
def test_without_sums_the_model_is_another(server, whole, folder):
    flip_weight(checkpoints(folder)[-1])
    unchecked = [("set_aside_broken", 0, "nothing")]
    server.succeed(folder, faults=unchecked)
    assert not equal(folder, whole)


@pytest.mark.promise(DAMAGE, control=True)
def test_the_stock_checkpointer_notices_nothing(folder):
    damaged = checkpoints(folder)[-1]
    decoder = torch.nn.Module()
    decoder.weight = torch.nn.Parameter(
        torch.load(damaged / "decoder.ckpt")["weight"]
    )
    good = decoder.weight.clone()
    flip_weight(damaged)
    Checkpointer(folder / "save", {"decoder": decoder}).recover_if_possible()
    assert (decoder.weight != good).sum() == 1


def flip_weight(folder):
    """Changes the lowest bit of one weight of the decoder."""
    path = folder / "decoder.ckpt"
    weights = next(iter(torch.load(path).values()))
    content = bytearray(path.read_bytes())
    content[content.index(weights.numpy().tobytes())] ^= 1
    path.write_bytes(content)
