"""Random draws go on after a resume as if nothing had happened."""

import random
import shutil

import numpy as np
import pytest
import torch
from checkpoints import random_state
from checkpoints.checkpointer import SafeCheckpointer
from checkpoints.random_state import RandomState, SeededDataset, seeded

GENERATORS = (random.seed, np.random.seed, torch.manual_seed)


def draws():
    """Of every generator; a second normal draw comes from a cache."""
    return [
        random.random(),
        random.gauss(0, 1),
        np.random.rand(),
        np.random.randn(),
        torch.nn.functional.dropout(torch.ones(64)).tolist(),
    ]


@pytest.fixture(autouse=True)
def fixed():
    """Another state for each generator, in the middle of a pair of draws."""
    for seed, generator in enumerate(GENERATORS):
        generator(seed)
    draws()


def test_draws_go_on_after_loading_and_saving_draws_nothing(tmp_path):
    for name in ("first.ckpt", "second.ckpt"):
        RandomState().save(tmp_path / name)
    expected = draws()
    for name in ("second.ckpt", "first.ckpt"):
        for generator in GENERATORS:
            generator(11)
        assert not set(map(str, draws())) & set(map(str, expected))
        RandomState().load(str(tmp_path / name), end_of_epoch=False)
        assert draws() == expected


def test_a_seed_counts_within_and_leaves_no_generator_changed(tmp_path):
    RandomState().save(tmp_path / "random.ckpt")
    expected, within = draws(), []
    RandomState().load(tmp_path / "random.ckpt", end_of_epoch=True)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), seeded(2**32 - 1):
            within.append(draws())
            raise ZeroDivisionError
    assert within[0] == within[1] != expected
    assert draws() == expected


def test_a_rank_may_have_no_mixtures():
    assert len(SeededDataset({})) == 0


def pretend_to_be(monkeypatch, rank):
    """Makes this process one of several."""
    monkeypatch.setattr(
        random_state, "is_distributed_initialized", lambda: True
    )
    monkeypatch.setattr(random_state, "get_rank", lambda: rank)


def test_each_process_has_its_own_state(tmp_path, monkeypatch, caplog):
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
    # One rank more than before keeps what it has.
    assert not caplog.messages
    pretend_to_be(monkeypatch, 1)
    RandomState().load(path, end_of_epoch=False)
    pretend_to_be(monkeypatch, 2)
    RandomState().load(path, end_of_epoch=False)
    assert "random.ckpt.2 is missing" in caplog.text
    assert draws() == expected[1]


def test_draws_on_a_gpu_go_on(gpu, tmp_path):
    state, path = RandomState(), tmp_path / "random.ckpt"
    torch.cuda.manual_seed(1)
    torch.rand(1, device=gpu)
    state.save(path)
    expected = torch.rand(8, device=gpu).tolist()
    assert torch.rand(8, device=gpu).tolist() != expected
    state.load(shutil.copy(path, tmp_path / "copy.ckpt"), end_of_epoch=False)
    assert torch.rand(8, device=gpu).tolist() == expected


def test_processes_that_slurm_numbers_save_under_the_usual_name(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("SLURM_PROCID", "1")
    checkpointer = SafeCheckpointer(tmp_path, {"random": RandomState()})
    saved = checkpointer.save_checkpoint()
    assert (saved.path / "random.ckpt").is_file()
    assert checkpointer.recover_if_possible().path == saved.path
