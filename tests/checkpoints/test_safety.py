"""Nothing that lies in a checkpoint is ever run."""

import os
import pickle

import pytest
import torch
import yaml
from checkpoints.checkpointer import SafeCheckpointer
from checkpoints.checksums import CHECKSUMS, write_checksums
from checkpoints.weights import check_checkpoint, load_weights, start_from
from promises import NO_CODE
from recipe import hparams_of

SMALL = {"N": 8, "B": 8, "H": 8, "X": 1, "R": 1}


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def saved(tmp_path):
    """A checkpoint with all that a training saves, and its separator."""
    hparams = hparams_of(output_folder=str(tmp_path / "run"), **SMALL)
    separator = hparams["separator"]
    optimizer = torch.optim.Adam(separator.parameters())
    checkpointer = SafeCheckpointer(
        tmp_path / "save",
        {
            **{name: hparams[name] for name in ("encoder", "masknet")},
            "decoder": hparams["decoder"],
            "optimizer": optimizer,
            "lr_scheduler": hparams["lr_scheduler"],
            "counter": hparams["epoch_counter"],
        },
    )
    checkpoint = checkpointer.save_checkpoint({"si_sdri": 1.0})
    return checkpointer, checkpoint.path, separator


def spoil(path, trap):
    """Puts code into a file of a checkpoint, which then has its own sums."""
    if path.name == "CKPT.yaml":
        text = f"!!python/object/apply:os.mkdir ['{trap}']\n"
        path.write_text(path.read_text() + f"note: {text}")
    else:
        torch.save({"weight": Payload(trap)}, path)
    (path.parent / CHECKSUMS).unlink()
    write_checksums(path.parent)


@pytest.mark.promise(NO_CODE)
@pytest.mark.parametrize(
    "name",
    ["encoder.ckpt", "optimizer.ckpt", "lr_scheduler.ckpt", "CKPT.yaml"],
)
def test_a_resume_runs_no_code_of_a_checkpoint(saved, tmp_path, name):
    checkpointer, folder, _ = saved
    trap = tmp_path / "trap"
    spoil(folder / name, trap)
    with pytest.raises((pickle.UnpicklingError, yaml.YAMLError)):
        checkpointer.recover_if_possible()
    assert not trap.exists()


@pytest.mark.promise(NO_CODE)
@pytest.mark.parametrize("with_sums", [True, False])
@pytest.mark.parametrize("whole_run", [True, False])
def test_loading_weights_runs_no_code(saved, tmp_path, with_sums, whole_run):
    _, folder, separator = saved
    trap = tmp_path / "trap"
    spoil(folder / "encoder.ckpt", trap)
    if not with_sums:
        (folder / CHECKSUMS).unlink()
    with pytest.raises(ValueError, match="encoder.ckpt.*might run code"):
        load_weights(separator, folder.parent if whole_run else folder)
    assert not trap.exists()


@pytest.mark.promise(NO_CODE, control=True)
def test_the_code_would_run(saved, tmp_path):
    _, folder, _ = saved
    trap = tmp_path / "trap"
    spoil(folder / "encoder.ckpt", trap)
    torch.load(folder / "encoder.ckpt", weights_only=False)
    assert trap.is_dir()
    trap.rmdir()
    spoil(folder / "CKPT.yaml", trap)
    yaml.load((folder / "CKPT.yaml").read_text(), Loader=yaml.Loader)
    assert trap.is_dir()


@pytest.mark.parametrize("size", [0, 100])
def test_cut_off_weights_without_sums_are_named(saved, size):
    _, folder, separator = saved
    (folder / CHECKSUMS).unlink()
    with open(folder / "masknet.ckpt", "r+b") as file:
        file.truncate(size)
    with pytest.raises(ValueError, match="masknet.ckpt is damaged"):
        load_weights(separator, folder)


def test_damaged_weights_are_not_loaded(saved):
    _, folder, separator = saved
    content = bytearray((folder / "encoder.ckpt").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "encoder.ckpt").write_bytes(content)
    with pytest.raises(ValueError, match="encoder.ckpt is not what was saved"):
        load_weights(separator, folder.parent)


def test_checkpoints_of_the_run_come_before_other_weights(saved, caplog):
    checkpointer, folder, separator = saved
    before = separator.encoder.conv1d.weight.clone()
    start_from(separator, "/a/folder/that/is/gone", checkpointer)
    assert "init_from: /a/folder/that/is/gone is not loaded" in caplog.text
    assert torch.equal(separator.encoder.conv1d.weight, before)


def test_a_model_that_was_neither_trained_nor_loaded_is_not_tested(
    saved, tmp_path
):
    checkpointer, _, _ = saved
    check_checkpoint(checkpointer, None)
    empty = SafeCheckpointer(tmp_path / "empty")
    with pytest.raises(ValueError, match="expected a checkpoint to test"):
        check_checkpoint(empty, None)
    with pytest.raises(ValueError, match="give --init_from"):
        check_checkpoint(None, None)
    check_checkpoint(empty, "/a/run")
    check_checkpoint(None, "/a/run")
