"""A run goes on from the newest checkpoint that is what was saved."""

import shutil

import pytest
import torch
from promises import DAMAGE
from run_folders import equal
from toys import DAMAGES

from speechbrain.utils.checkpoints import Checkpointer

FILES = (
    "CKPT.yaml encoder.ckpt masknet.ckpt decoder.ckpt lr_scheduler.ckpt "
    "counter.ckpt brain.ckpt dataloader-TRAIN.ckpt random.ckpt ema.ckpt "
    "optimizer.ckpt sha256.json"
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
    _, _, loading = output.partition("Loading a checkpoint from ")
    assert loading.startswith(f"{before}\n")
    assert equal(folder, whole)


@pytest.mark.promise(DAMAGE, control=True)
def test_the_stock_checkpointer_notices_nothing(folder):
    damaged = checkpoints(folder)[-1]
    decoder = torch.nn.Module()
    good = torch.load(damaged / "decoder.ckpt")["weight"]
    decoder.weight = torch.nn.Parameter(good.clone())
    # The lowest bit of one weight.
    content = bytearray((damaged / "decoder.ckpt").read_bytes())
    content[content.index(good.numpy().tobytes())] ^= 1
    (damaged / "decoder.ckpt").write_bytes(content)
    Checkpointer(folder / "save", {"decoder": decoder}).recover_if_possible()
    assert (decoder.weight != good).sum() == 1
