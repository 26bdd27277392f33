"""A Brain that learns one number, in the run folder of a YAML with a seed."""

from collections import Counter

import torch
from reliability.throughput import Throughput
from reliability.training import Reliable

import speechbrain as sb
from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.epoch_loop import EpochCounter


class Batch:
    """Numbers as a batch."""

    def __init__(self, items):
        self.values = torch.tensor([float(item) for item in items])
        self.mixture_id = [f"id{item}" for item in items]

    def __len__(self):
        return len(self.values)


class Toy(sb.Brain):
    """The loss is the mean of x * (a + 2 b), so gradients are x and 2 x."""

    valid_mean = 0.0
    added = 0.0  # to the loss
    lr = 1.0

    def compute_forward(self, batch, stage):
        """Returns the products; calls ``at`` before."""
        self.at(stage, batch.mixture_id[0])
        return batch.values * (self.modules.net.a + 2 * self.modules.net.b)

    def compute_objectives(self, predictions, batch, stage):
        """Returns their mean."""
        return predictions.mean() + self.added

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Keeps what the mixins expect of a Brain; calls ``at``."""
        if stage == sb.Stage.TRAIN:
            self.train_stats = {"loss": stage_loss}
        self.at(stage, f"end of epoch {epoch}")
        self.valid_stats = {"SI-SDRi": self.valid_mean}

    def init_optimizers(self):
        """One optimizer with a group for each parameter."""
        groups = [{"params": [p]} for p in self.modules.net.parameters()]
        self.optimizer = torch.optim.SGD(groups, lr=self.lr)
        self.optimizers_dict = {"opt_class": self.optimizer}
        self.checkpointer.add_recoverable("optimizer", self.optimizer)


class ToyBrain(Reliable, Throughput, Toy):
    """With the mixins of the recipe."""


def toy(folder, epochs=1, at=lambda stage, name: None, seed=1, **options):
    """A Brain with run options, whose a and b are zero; see Toy for ``at``."""
    (folder / "hyperparams.yaml").write_text(f"seed: {seed}\n")
    net = torch.nn.ParameterDict({"a": torch.zeros(()), "b": torch.zeros(())})
    counter = EpochCounter(epochs)
    brain = ToyBrain(
        modules={"net": net},
        opt_class=torch.optim.SGD,
        hparams={
            "seed": seed,
            "counter": counter,
            "output_folder": str(folder),
            "save_folder": str(folder / "save"),
        },
        run_opts={
            "device": "cpu",
            "noprogressbar": True,
            "max_grad_norm": 1e9,
            **options,
        },
        checkpointer=Checkpointer(
            folder / "save", {"net": net, "counter": counter}
        ),
    )
    brain.at = at
    return brain


LOADER = {"batch_size": 1, "collate_fn": Batch}


def fit(brain, numbers=(1, 2, 4), valid=(8,), **loader):
    """Trains; returns a, which is b / 2."""
    brain.fit(
        brain.hparams.counter,
        numbers,
        list(valid),
        train_loader_kwargs={**LOADER, **loader},
        valid_loader_kwargs={**LOADER},
    )
    a, b = (brain.modules.net[name].item() for name in "ab")
    assert abs(b - 2 * a) <= 1e-6 * abs(b)
    return a


def evaluate(brain, numbers=(8, 9)):
    """Tests."""
    return brain.evaluate(list(numbers), test_loader_kwargs={**LOADER})


class At:
    """Does something once, before the number-th batch (or end) of a name."""

    def __init__(self, name, do, number=1):
        self.name, self.do, self.number = name, do, number
        self.seen = Counter()

    def __call__(self, stage, name):
        """Counts, and does it."""
        self.seen[name] += 1
        if name == self.name and self.seen[name] == self.number:
            self.do()
