"""Over 50 steps two processes compute what one computes."""

import pytest
import torch
from corpora import make_corpus
from promises import SAME
from rank_runs import both, mixtures, succeed, trace, unions, weights

pytestmark = pytest.mark.nightly


@pytest.fixture(scope="module")
def fifty(tmp_path_factory):
    """50 steps of 16 mixtures, two by two batches of 4 or one by one of 8."""
    root = tmp_path_factory.mktemp("data") / "PolSESS"
    make_corpus(root, {"train": (8, 8), "val": (1, 1), "test": (1, 1)})
    options = ["--number_of_epochs=25", "--grad_accumulation_factor=1"]
    options += ["--lr=0.001", "--ckpt_interval_steps=0"]
    folders = [tmp_path_factory.mktemp("fifty") / f"run{n}" for n in range(3)]
    succeed(folders[0], root, *options, "--batch_size=4")
    for folder, seed in zip(folders[1:], (1234, 1)):
        more = ["--batch_size=8", f"--seed={seed}"]
        succeed(folder, root, *options, *more, launch=None)
    return folders


@pytest.mark.promise(SAME)
def test_two_batches_of_four_are_one_of_eight(fifty):
    two, one, _ = fifty
    assert unions(two) == [mixtures(b) for b in trace(one, 0, "batch")]
    assert len(trace(one, 0, "after")) == 50
    assert all(a == b for a, b in both(two, "after"))
    losses = torch.tensor([sum(pair) / 2 for pair in both(two, "loss")])
    expected = torch.tensor(trace(one, 0, "loss"))
    assert ((losses - expected) / expected).abs().max() < 1e-6
    assert (weights(two) - weights(one)).abs().max() < 1e-5


@pytest.mark.promise(SAME, control=True)
def test_fifty_other_steps_give_other_weights(fifty):
    two, _, other = fifty
    assert unions(two) != [mixtures(b) for b in trace(other, 0, "batch")]
    assert (weights(two) - weights(other)).abs().max() > 1e-2
