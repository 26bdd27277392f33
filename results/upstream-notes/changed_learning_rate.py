"""A learning rate that is changed has no effect on a training that is resumed.

> python changed_learning_rate.py

It exits with 1 where the old rate is used without a word, with 0 otherwise.

Authors
 * The PolSESS recipe team 2026
"""

import sys
import tempfile
from functools import partial

import torch

import speechbrain as sb
from speechbrain.utils.checkpoints import Checkpointer


class Brain(sb.Brain):
    """Fits a linear layer."""

    def compute_forward(self, batch, stage):
        """The output of the layer."""
        return self.modules.model(batch)

    def compute_objectives(self, predictions, batch, stage):
        """The mean square of the output."""
        return predictions.square().mean()

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Saves after each epoch."""
        self.checkpointer.save_checkpoint()


def train(folder, lr, epochs):
    """Trains, or goes on, with the rate of the configuration.

    Arguments
    ---------
    folder : str
        Of the checkpoints.
    lr : float
        The learning rate that the configuration asks for.
    epochs : int
        Number of the last one.

    Returns
    -------
    float
        The learning rate of the optimizer.
    """
    counter = sb.utils.epoch_loop.EpochCounter(epochs)
    model = torch.nn.Linear(2, 1)
    brain = Brain(
        modules={"model": model},
        opt_class=partial(torch.optim.Adam, lr=lr),
        run_opts={"device": "cpu"},
        checkpointer=Checkpointer(folder, {"model": model, "count": counter}),
    )
    brain.fit(counter, [torch.ones(1, 2)], progressbar=False)
    return brain.optimizer.param_groups[0]["lr"]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        train(place, lr=0.1, epochs=1)
        used = train(place, lr=0.001, epochs=2)
    print(f"asked for: 0.001 after 0.1; used: {used:g}")
    sys.exit(used != 0.001)
