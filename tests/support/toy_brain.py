"""A Brain that learns one number, in the run folder of a YAML without keys."""

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

    def compute_forward(self, batch, stage):
        """Returns the products; calls ``at`` before."""
        self.at(stage, batch.mixture_id[0])
        return batch.values * (self.modules.net.a + 2 * self.modules.net.b)

    def compute_objectives(self, predictions, batch, stage):
        """Returns their mean."""
        return predictions.mean()

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Keeps what the mixins expect of a Brain."""
        if stage == sb.Stage.TRAIN:
            self.train_stats = {"loss": stage_loss}
        self.valid_stats = {"SI-SDRi": self.valid_mean}

    def init_optimizers(self):
        """One optimizer with a group for each parameter."""
        groups = [{"params": [p]} for p in self.modules.net.parameters()]
        self.optimizer = torch.optim.SGD(groups, lr=1.0)
        self.optimizers_dict = {"opt_class": self.optimizer}


class ToyBrain(Reliable, Throughput, Toy):
    """With the mixins of the recipe."""


def toy(folder, epochs=1, at=lambda stage, name: None, **options):
    """A Brain that has not yet learnt.

    Arguments
    ---------
    folder : Path
        Output folder.
    epochs : int
        How many to train.
    at : callable
        Called before each batch with stage and the first ID.
    **options : dict
        Run options.

    Returns
    -------
    ToyBrain
        With a and b at zero.
    """
    (folder / "hyperparams.yaml").write_text("seed: 1\n")
    net = torch.nn.ParameterDict({"a": torch.zeros(()), "b": torch.zeros(())})
    counter = EpochCounter(epochs)
    brain = ToyBrain(
        modules={"net": net},
        opt_class=torch.optim.SGD,
        hparams={
            "seed": 1,
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


def fit(brain, numbers=(1, 2, 4), valid=(8,)):
    """Trains; returns a, which is -b / 2."""
    brain.fit(
        brain.hparams.counter,
        list(numbers),
        list(valid),
        train_loader_kwargs={**LOADER},
        valid_loader_kwargs={**LOADER},
    )
    return brain.modules.net["a"].item()
