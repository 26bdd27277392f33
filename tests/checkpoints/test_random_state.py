"""Random draws go on after a resume as if nothing had happened."""

import logging
import random
import shutil

import numpy as np
import pytest
import torch
from checkpoints import random_state
from checkpoints.checkpointer import SafeCheckpointer
from checkpoints.random_state import RandomState


def draws():
    """Of every generator; a second normal draw comes from a cache."""
    return [
        random.random(),
        random.gauss(0, 1),
        np.random.rand(),
        np.random.randn(),
        torch.rand(1).item(),
        torch.nn.functional.dropout(torch.ones(64)).tolist(),
    ]


@pytest.fixture(autouse=True)
def fixed():
    """Another state for each generator, in the middle of a pair of draws."""
    random.seed(1)
    np.random.seed(2)
    torch.manual_seed(3)
    draws()


def test_draws_go_on_after_loading(tmp_path):
    state, path = RandomState(), tmp_path / "random.ckpt"
    state.save(path)
    expected = draws()
    assert draws() != expected  # negative control
    state.load(path, end_of_epoch=False)
    assert draws() == expected
    RandomState().load(str(path), end_of_epoch=True)
    assert draws() == expected


def test_without_loading_draws_differ(tmp_path):
    RandomState().save(tmp_path / "random.ckpt")
    expected = draws()
    for reseed in (random.seed, np.random.seed, torch.manual_seed):
        reseed(11)
    assert not set(map(str, draws())) & set(map(str, expected))


def test_saving_draws_nothing(tmp_path):
    state = RandomState()
    state.save(tmp_path / "first.ckpt")
    state.save(tmp_path / "second.ckpt")
    expected = draws()
    state.load(tmp_path / "first.ckpt", end_of_epoch=False)
    assert draws() == expected


def test_the_file_needs_no_code_to_be_read(tmp_path):
    RandomState().save(tmp_path / "random.ckpt")
    state = torch.load(tmp_path / "random.ckpt", weights_only=True)
    assert sorted(state) == ["cuda", "numpy", "python", "torch"]


def pretend_to_be(monkeypatch, rank):
    """Makes this process one of several."""
    monkeypatch.setattr(
        random_state, "is_distributed_initialized", lambda: True
    )
    monkeypatch.setattr(random_state, "get_rank", lambda: rank)


def test_each_process_has_its_own_state(tmp_path, monkeypatch):
    path, expected = tmp_path / "random.ckpt", []
    for rank in (0, 1):
        pretend_to_be(monkeypatch, rank)
        RandomState().save(path)
        expected.append(draws())
    assert expected[0] != expected[1]
    for rank in (1, 0):
        pretend_to_be(monkeypatch, rank)
        RandomState().load(path, end_of_epoch=False)
        assert draws() == expected[rank]


def test_a_missing_state_is_said_and_nothing_changes(
    tmp_path, monkeypatch, caplog
):
    path = tmp_path / "random.ckpt"
    RandomState().save(path)
    expected = draws()
    RandomState().load(path, end_of_epoch=False)
    pretend_to_be(monkeypatch, 1)
    with caplog.at_level(logging.WARNING, "checkpoints.random_state"):
        RandomState().load(path, end_of_epoch=False)
    assert "random.ckpt.1 is missing" in caplog.text
    assert draws() == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_draws_on_a_gpu_go_on_and_elsewhere_are_left_out(tmp_path):
    state, path = RandomState(), tmp_path / "random.ckpt"
    torch.cuda.manual_seed(1)
    torch.rand(1, device="cuda")
    state.save(path)
    expected = torch.rand(8, device="cuda").tolist()
    assert torch.rand(8, device="cuda").tolist() != expected
    state.load(shutil.copy(path, tmp_path / "copy.ckpt"), end_of_epoch=False)
    assert torch.rand(8, device="cuda").tolist() == expected


def test_processes_that_slurm_numbers_save_under_the_usual_name(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("SLURM_PROCID", "1")
    checkpointer = SafeCheckpointer(tmp_path, {"random": RandomState()})
    saved = checkpointer.save_checkpoint()
    assert (saved.path / "random.ckpt").is_file()
    assert checkpointer.recover_if_possible().path == saved.path
