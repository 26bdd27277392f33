"""Which weights are loaded, and that no code of a checkpoint ever runs."""

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
from toys import flip

SMALL = {"N": 8, "B": 8, "H": 8, "X": 1, "R": 1}
PARTS = ("encoder", "masknet", "decoder")


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
    checkpointer = SafeCheckpointer(
        tmp_path / "save",
        {
            **{part: hparams[part] for part in PARTS},
            "optimizer": torch.optim.Adam(separator.parameters()),
            "lr_scheduler": hparams["lr_scheduler"],
            "counter": hparams["epoch_counter"],
        },
    )
    checkpoint = checkpointer.save_checkpoint({"si_sdri": 1.0}, name="1")
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
    spoil(folder / name, tmp_path / "trap")
    with pytest.raises((pickle.UnpicklingError, yaml.YAMLError)):
        checkpointer.recover_if_possible()
    assert not (tmp_path / "trap").exists()


@pytest.mark.promise(NO_CODE)
@pytest.mark.parametrize("with_sums", [True, False])
def test_loading_weights_runs_no_code(saved, tmp_path, with_sums):
    _, folder, separator = saved
    spoil(folder / "encoder.ckpt", tmp_path / "trap")
    if not with_sums:
        (folder / CHECKSUMS).unlink()
    for path in (folder, folder.parent):
        with pytest.raises(ValueError, match="encoder.ckpt.*might run code"):
            load_weights(separator, path)
    assert not (tmp_path / "trap").exists()


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


def test_damaged_weights_are_named_and_not_loaded(saved):
    _, folder, separator = saved
    flip(folder / "encoder.ckpt")
    with pytest.raises(ValueError, match="encoder.ckpt is not what was saved"):
        load_weights(separator, folder.parent)
    (folder / CHECKSUMS).unlink()
    for size in (100, 0):
        os.truncate(folder / "encoder.ckpt", size)
        with pytest.raises(ValueError, match="encoder.ckpt is damaged"):
            load_weights(separator, folder)


def test_a_run_begins_with_the_best_weights_of_another_one(saved, tmp_path):
    checkpointer, folder, separator = saved
    best = {n: t.clone() for n, t in separator.state_dict().items()}
    for parameter in separator.parameters():
        parameter.data += 1
    checkpointer.save_checkpoint({"si_sdri": 0.5}, name="2")
    new = SafeCheckpointer(tmp_path / "new")
    start_from(separator, str(tmp_path), new)
    for name, weights in separator.state_dict().items():
        assert torch.equal(weights, best[name])
    with pytest.raises(ValueError, match="^init_from: .*new is neither a che"):
        start_from(separator, tmp_path / "new", new)
    wider = hparams_of(**{**SMALL, "N": 16})["separator"]
    with pytest.raises(
        ValueError, match="encoder.ckpt belongs to another network"
    ):
        load_weights(wider, folder)


def test_checkpoints_of_the_run_come_before_other_weights(saved, caplog):
    checkpointer, _, separator = saved
    start_from(separator, "/a/folder/that/is/gone", checkpointer)
    assert "init_from: /a/folder/that/is/gone is not loaded" in caplog.text


def test_a_model_that_was_neither_trained_nor_loaded_is_not_tested(
    saved, tmp_path
):
    checkpointer, _, _ = saved
    check_checkpoint(checkpointer, None)
    empty = SafeCheckpointer(tmp_path / "empty")
    check_checkpoint(empty, "/a/run")
    check_checkpoint(None, "/a/run")
    with pytest.raises(ValueError, match="give --init_from"):
        check_checkpoint(None, None)
    empty.save_checkpoint({"within": True})
    with pytest.raises(ValueError, match="expected a checkpoint to test"):
        check_checkpoint(empty, None)
