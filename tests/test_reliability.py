"""Steps of windows and of groups of parameters, against closed forms."""

from types import SimpleNamespace

import pytest
import torch
from reliability.training import Reliable
from reliability.throughput import Watch

import speechbrain as sb


class Batch:
    """One number as a batch."""

    def __init__(self, items):
        self.values = torch.tensor([float(item) for item in items])
        self.mixture_id = [f"id{item}" for item in items]

    def __len__(self):
        return len(self.values)


class ToyBrain(Reliable, Watch, sb.Brain):
    """The loss is the mean of x * (a + 2 b), so gradients are x and 2 x."""

    def compute_forward(self, batch, stage):
        """Returns the products."""
        return batch.values * (self.modules.net.a + 2 * self.modules.net.b)

    def compute_objectives(self, predictions, batch, stage):
        """Returns their mean."""
        return predictions.mean()

    def on_stage_start(self, stage, epoch=None):
        """Begins to watch."""
        if stage == sb.Stage.TRAIN:
            self.watch_start()

    def init_optimizers(self):
        """One optimizer with two groups."""
        groups = [{"params": [p]} for p in self.modules.net.parameters()]
        self.optimizer = torch.optim.SGD(groups, lr=1.0)
        self.optimizers_dict = {"opt_class": self.optimizer}


def fit(folder, numbers, factor, max_grad_norm=1e9):
    """The values of a and b after one epoch from zero."""
    net = torch.nn.ParameterDict({"a": torch.zeros(()), "b": torch.zeros(())})
    brain = ToyBrain(
        modules={"net": net},
        opt_class=torch.optim.SGD,
        hparams={"seed": 1},
        run_opts={
            "device": "cpu",
            "grad_accumulation_factor": factor,
            "max_grad_norm": max_grad_norm,
            "noprogressbar": True,
        },
        checkpointer=sb.utils.checkpoints.Checkpointer(folder, {"net": net}),
    )
    brain.fit(
        sb.utils.epoch_loop.EpochCounter(1),
        list(numbers),
        train_loader_kwargs={"batch_size": 1, "collate_fn": Batch},
    )
    assert isinstance(brain.hparams, SimpleNamespace)
    return net["a"].item(), net["b"].item(), brain


@pytest.mark.parametrize(
    "factor, windows",
    [
        (1, [[1], [2], [4], [8], [16]]),
        (2, [[1, 2], [4, 8], [16]]),
        (3, [[1, 2, 4], [8, 16]]),
        (4, [[1, 2, 4, 8], [16]]),
        (5, [[1, 2, 4, 8, 16]]),
        (9, [[1, 2, 4, 8, 16]]),  # more than the epoch has
    ],
)
def test_each_window_makes_a_step_by_the_mean_of_its_batches(
    tmp_path, factor, windows
):
    a, b, brain = fit(tmp_path, [1, 2, 4, 8, 16], factor)
    expected = -sum(sum(window) / len(window) for window in windows)
    assert a == pytest.approx(expected, rel=1e-6)
    assert b == pytest.approx(2 * expected, rel=1e-6)
    assert brain.optimizer_step == len(windows)


def test_all_groups_are_clipped_together(tmp_path):
    a, b, brain = fit(tmp_path, [3], 1, max_grad_norm=1.0)
    # The gradients 3 and 6 have the norm 3 sqrt(5).
    assert a == pytest.approx(-1 / 5**0.5, rel=1e-5)
    assert b == pytest.approx(-2 / 5**0.5, rel=1e-5)
    assert brain.gradient_norms[0].item() == pytest.approx(3 * 5**0.5)


def test_a_batch_that_is_not_finite_costs_its_own_window_only(tmp_path, caplog):
    a, b, brain = fit(tmp_path, [1, float("nan"), 4, 8, 16], 2)
    assert a == pytest.approx(-(6 + 16)) and b == pytest.approx(-2 * (6 + 16))
    assert brain.optimizer_step == 2
    (line,) = [t for t in caplog.messages if "nothing changes" in t]
    assert line.endswith("mixtures: id1, idnan")
