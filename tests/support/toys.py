"""A Brain that learns one number, and checkpoints of a network that is one."""

import os
from collections import Counter

import torch
from checkpoints.checkpointer import SafeCheckpointer
from checkpoints.random_state import RandomState
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


FILES = (
    "CKPT.yaml counter.ckpt network.ckpt optimizer.ckpt random.ckpt sha256.json"
).split()


def make(folder):
    """A checkpointer with recoverables of several kinds."""
    network = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(2)).sum().backward()
    optimizer.step()
    return SafeCheckpointer(
        folder,
        {
            "network": network,
            "optimizer": optimizer,
            "counter": EpochCounter(10),
            "random": RandomState(),
        },
    )


def save(saver, number, **options):
    """Saves a checkpoint named after the number, and deletes nothing."""
    saver.recoverables["network"].weight.data.fill_(number)
    options = {"meta": {"score": number}, **options}
    return saver.save_checkpoint(name=str(number), **options)


def keep(saver, number, **options):
    """Saves as the recipe does; deletes as it does at the end of an epoch."""
    saver.recoverables["network"].weight.data.fill_(number)
    options = {"max_keys": ["score"], **options}
    saver.save_and_keep_only(name=str(number), **options)


def loaded(folder, **options):
    """The number of the checkpoint from which a new process starts."""
    saver = make(folder)
    found = saver.recover_if_possible(**options)
    weight = saver.recoverables["network"].weight
    assert (weight == weight[0, 0]).all()
    assert found.path.name == f"CKPT+{weight[0, 0].item():g}"
    return weight[0, 0].item()


def names(folder):
    """Lists a folder."""
    return sorted(os.listdir(folder))


def flip(path):
    """Changes one byte in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


DAMAGES = {
    "truncated": lambda p: p.write_bytes(p.read_bytes()[: -len(p.name)]),
    "emptied": lambda p: p.write_bytes(b""),
    "zeroed": lambda p: p.write_bytes(bytes(p.stat().st_size)),
    "deleted": lambda p: p.unlink(),
    "flipped": flip,
}
