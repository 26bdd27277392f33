"""A run goes on from the newest checkpoint that is what was saved."""

import shutil

import pytest
import torch
from checkpoints.checksums import CHECKSUMS, write_checksums
from promises import DAMAGE
from run_folders import digest, equal
from toy_checkpoints import DAMAGES, flip

from speechbrain.utils.checkpoints import Checkpointer

FILES = (
    "CKPT.yaml encoder.ckpt masknet.ckpt decoder.ckpt lr_scheduler.ckpt "
    "counter.ckpt brain.ckpt dataloader-TRAIN.ckpt random.ckpt optimizer.ckpt "
    "sha256.json"
).split()
# Each file once, each damage twice or more.
CASES = [
    pytest.param(
        file,
        list(DAMAGES)[(number + 2) % len(DAMAGES)],
        marks=[]
        if file in ("CKPT.yaml", "masknet.ckpt")
        else pytest.mark.nightly,
    )
    for number, file in enumerate(FILES)
]


@pytest.fixture
def folder(server, once, tmp_path):
    """A run that was killed in its second epoch, with two checkpoints."""

    def kill(folder):
        faults = [("fit_batch", 8, "SIGKILL")]
        assert server.run(folder, faults=faults).code == -9

    return shutil.copytree(once("two_checkpoints", kill), tmp_path / "run")


def checkpoints(folder):
    """Its checkpoints, the newest last."""
    found = Checkpointer(folder / "save").find_checkpoints()
    paths = [checkpoint.path for checkpoint in reversed(found)]
    for path in paths:
        assert {file.name for file in path.iterdir()} == set(FILES)
    return paths


def loading(output):
    """What the run says of the checkpoint that it loads first."""
    lines = output.splitlines()
    return next(line for line in lines if "Loading a checkpoint from" in line)


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
    assert loading(output).endswith(str(before))
    assert equal(folder, whole)


@pytest.mark.promise(DAMAGE)
@pytest.mark.nightly
def test_two_damaged_checkpoints(server, whole, tmp_path):
    folder = tmp_path / "run"
    faults = [("evaluate_batch", 8, "SIGKILL")]  # of the second validation
    assert server.run(folder, faults=faults).code == -9
    oldest, *damaged = checkpoints(folder)
    assert len(damaged) == 2
    for path in damaged:
        flip(path / "encoder.ckpt")
    output = server.succeed(folder)
    assert loading(output).endswith(str(oldest))
    for path in damaged:
        assert f"{path}: encoder.ckpt is not what was saved" in output
    assert equal(folder, whole)


@pytest.mark.promise(DAMAGE)
@pytest.mark.nightly
def test_all_damaged_stops_with_the_list_until_a_copy_is_put_back(
    server, whole, folder, tmp_path
):
    damaged = checkpoints(folder)
    copy = shutil.copytree(damaged[-1], tmp_path / "copy")
    for path in damaged:
        flip(path / "masknet.ckpt")
    for _ in range(2):
        code, _, output = server.run(folder)
        assert code == 1 and not (folder / "test_scores.csv").exists()
        message = output.partition("can be trusted:\n")[2].splitlines()
        for path, line in zip(damaged, message):
            assert line.startswith(f"- {path}: masknet.ckpt is not")
        assert "intact copy" in message[len(damaged)]
    assert not folder.with_name("run.trace").exists()
    assert checkpoints(folder) == damaged
    shutil.rmtree(damaged[-1])
    copy.rename(damaged[-1])
    assert loading(server.succeed(folder)).endswith(str(damaged[-1]))
    # The scores may be of another epoch: the best one may be lost.
    assert digest(folder) == digest(whole)


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


@pytest.mark.promise(DAMAGE, control=True)
@pytest.mark.nightly
def test_damage_that_has_sums_of_its_own_gives_another_model(
    server, whole, folder
):
    damaged = checkpoints(folder)[-1]
    flip_weight(damaged)
    (damaged / CHECKSUMS).unlink()
    write_checksums(damaged)
    server.succeed(folder)
    assert not equal(folder, whole)


def flip_weight(folder):
    """Changes the lowest bit of one weight of the decoder."""
    path = folder / "decoder.ckpt"
    weights = next(iter(torch.load(path).values()))
    content = bytearray(path.read_bytes())
    content[content.index(weights.numpy().tobytes())] ^= 1
    path.write_bytes(content)
