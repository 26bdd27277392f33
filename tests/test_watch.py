"""What is measured while a Brain trains, on a Brain small enough to check."""

import tempfile
import time

import pytest
import torch
from reliability.training import Reliable
from torch.utils.data import Dataset
from tqdm import tqdm
from reliability.throughput import Watch

import speechbrain as sb
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain.utils.run_opts import RunOptions


class Items(Dataset):
    """Vectors that all are the same, each read in some seconds."""

    def __init__(self, number, value=(3.0, 4.0), seconds=0.0):
        self.number = number
        self.value = torch.tensor(value)
        self.seconds = seconds

    def __len__(self):
        return self.number

    def __getitem__(self, index):
        time.sleep(self.seconds)
        item = str(index)
        return {"id": item, "mixture_id": item, "vector": self.value}


class ToyBrain(Reliable, Watch, sb.Brain):
    """Minimises w x, whose gradient is the mean of x, wherever w is."""

    computing = 0.0

    def compute_forward(self, batch, stage):
        time.sleep(self.computing)
        return self.modules.model(batch.vector.data)

    def compute_objectives(self, predictions, batch, stage):
        return predictions.mean()

    def on_stage_start(self, stage, epoch=None):
        self.watch_start()

    def on_stage_end(self, stage, stage_loss, epoch=None):
        self.stats = self.watch_stats()


def toy_brain(**options):
    options = {"device": "cpu", "noprogressbar": True, **options}
    folder = tempfile.TemporaryDirectory()
    brain = ToyBrain(
        modules={"model": torch.nn.Linear(2, 1, bias=False)},
        opt_class=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        hparams={"seed": 1},
        run_opts=RunOptions.from_dictionary(options),
        checkpointer=Checkpointer(folder.name),
    )
    brain.folder = folder  # removed together with the Brain
    return brain


def train(brain, items, batch_size=4, epochs=1):
    options = {"batch_size": batch_size, "collate_fn": PaddedBatch}
    brain.fit(EpochCounter(epochs), items, train_loader_kwargs=options)
    return brain.stats


@pytest.mark.parametrize("accumulation", [1, 2])
def test_gradient_norm_is_that_before_clipping(accumulation):
    # Clipped to 0.1; x is (3, 4).
    brain = toy_brain(grad_accumulation_factor=accumulation, max_grad_norm=0.1)
    stats = train(brain, Items(16), epochs=2)
    assert stats["gradient_norm"] == pytest.approx(5)
    assert stats["gradient_norm_max"] == pytest.approx(5)
    assert stats["nonfinite_gradient_steps"] == 0
    assert len(brain.gradient_norms) == 4 // accumulation
    assert brain.optimizer_step == 8 // accumulation


def test_clipping_still_happens():
    brain = toy_brain(max_grad_norm=0.5)
    before = brain.modules.model.weight.detach().clone()
    train(brain, Items(4))
    moved = brain.modules.model.weight.detach() - before
    # lr 0.1 times the clipped norm
    assert moved.norm().item() == pytest.approx(0.05, rel=1e-4)


def test_gradient_norm_is_without_the_scale_of_half_precision():
    brain = toy_brain()
    brain.scaler = torch.GradScaler("cpu", init_scale=1024.0)
    stats = train(brain, Items(8))
    assert stats["gradient_norm"] == pytest.approx(5)
    assert brain.scaler.get_scale() == 1024


def test_mean_and_maximum_are_of_the_finite_norms():
    brain = toy_brain()
    brain.watch_start()
    for norm in (1.0, float("inf"), 3.0, float("nan")):
        brain.gradient_norms.append(torch.tensor(norm))
    stats = brain.watch_stats()
    assert stats["gradient_norm"] == 2 and stats["gradient_norm_max"] == 3
    assert stats["nonfinite_gradient_steps"] == 2


def test_training_counts_nonfinite_gradients():
    brain = toy_brain(skip_nonfinite_grads=True, nonfinite_patience=9)
    stats = train(brain, Items(8, value=(float("inf"), 1.0)))
    assert stats["nonfinite_gradient_steps"] == 2
    assert "gradient_norm" not in stats
    assert "gradient_norm_max" not in stats


def test_slow_reading_is_waiting_and_slow_forward_is_computing():
    brain = toy_brain()
    brain.computing = 0.03
    # sleep may not return early, so these are lower limits on any machine.
    stats = train(brain, Items(10, seconds=0.02))
    assert stats["waiting_seconds"] >= 10 * 0.02
    assert stats["computing_seconds"] >= 3 * 0.03
    total = stats["waiting_seconds"] + stats["computing_seconds"]
    assert stats["items_per_second"] == pytest.approx(10 / total)
    assert {type(value) for value in stats.values()} == {float, int}


def test_every_epoch_is_measured_by_itself():
    brain = toy_brain()
    stats = train(brain, Items(8), epochs=3)
    assert brain.watched_items == 8 and len(brain.gradient_norms) == 2
    assert stats["waiting_seconds"] > 0


def test_epoch_without_batches_leaves_out_what_is_undefined():
    assert train(toy_brain(), Items(0)) == {
        "waiting_seconds": 0.0,
        "computing_seconds": 0.0,
        "nonfinite_gradient_steps": 0,
    }


def test_progress_bar_shows_the_loss_and_items_a_second(capsys):
    brain = toy_brain(noprogressbar=False, tqdm_colored_bar=False)
    with tqdm(total=7, desc="another") as other:
        train(brain, Items(8), batch_size=4)
        assert other.unit == "it"
    text = capsys.readouterr().err
    assert "mixture/s, train_loss=" in text
    assert "| 8/8 [" in text


def test_no_progress_bar_is_no_problem(capsys):
    train(toy_brain(noprogressbar=True), Items(8))
    assert "mixture" not in capsys.readouterr().err
