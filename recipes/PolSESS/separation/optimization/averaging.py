"""Averages of weights: over the steps of a training, or of its best epochs.

From: B. T. Polyak, A. B. Juditsky, "Acceleration of stochastic approximation by
averaging", SIAM J. Control Optim. 1992; P. Izmailov et al., "Averaging weights
leads to wider optima and better generalization", UAI 2018.

Authors
 * The PolSESS recipe team 2026
"""

import time
from functools import partial

import torch
import yaml
from checkpoints.checksums import write_checksums
from checkpoints.weights import moving_average_of
from paths import replacing
from runs.folder import fsync_path
from torch.optim.swa_utils import get_ema_multi_avg_fn

from speechbrain.utils.checkpoints import (
    METAFNAME,
    average_checkpoints,
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)


def decay_of(n_updates, decay):
    """Computes the decay of an update; the first ones have a shorter memory.

    Example
    -------
    >>> [round(decay_of(n, 0.99), 3) for n in (0, 10, 90, 10_000)]
    [0.1, 0.55, 0.91, 0.99]
    """
    return min(decay, (1 + n_updates) / (10 + n_updates))


@register_checkpoint_hooks
class MovingAverage:
    """An exponential moving average of the parameters of a network.

    It holds a second set of weights. After a swap the network has the average,
    and the second set are the weights that are trained. Buffers are not
    averaged. Raises ValueError unless the decay is in [0, 1).

    Arguments
    ---------
    network : torch.nn.Module
        Its parameters are changed by swaps alone.
    decay : float
        Part of the average that an update leaves; 0 for no average.

    Example
    -------
    >>> network = torch.nn.Linear(1, 1, bias=False)
    >>> torch.nn.init.zeros_(network.weight).item()
    0.0
    >>> average = MovingAverage(network, 0.5)
    >>> average.start()
    >>> torch.nn.init.ones_(network.weight).item()
    1.0
    >>> average.update()
    >>> average.swap()
    >>> round(network.weight.item(), 4)  # the decay of the first one is 0.1
    0.9
    """

    def __init__(self, network, decay):
        is_number = isinstance(decay, (int, float)) and decay is not True
        if not is_number or not 0 <= decay < 1:
            raise ValueError(
                "ema_decay: expected a number from 0 (no average) to below 1, "
                f"for instance 0.999, found {decay!r}"
            )
        self.network, self.decay = network, decay
        self.weights = None  # name -> tensor
        self.n_updates = 0
        self.is_swapped = False

    def start(self):
        """Begins with the weights of the network, or goes on as loaded."""
        parameters = dict(self.network.named_parameters())
        weights = self.weights or parameters
        self.weights = {
            name: weights[name].detach().to(parameter.device, copy=True)
            for name, parameter in parameters.items()
        }
        if self.is_swapped:
            self.swap()

    def update(self):
        """Takes the weights of a step into the average."""
        average = get_ema_multi_avg_fn(decay_of(self.n_updates, self.decay))
        weights = list(self.weights.values())
        average(weights, list(self.network.parameters()), None)
        self.n_updates += 1

    @torch.no_grad()
    def swap(self):
        """Exchanges the weights of the network for the second set."""
        for name, parameter in self.network.named_parameters():
            kept = parameter.clone()
            parameter.copy_(self.weights[name])
            self.weights[name].copy_(kept)
        self.is_swapped = not self.is_swapped

    @mark_as_saver
    def save(self, path):
        """Saves the second set, and which one it is.

        Arguments
        ---------
        path : str
            The file.
        """
        names = ("weights", "n_updates", "is_swapped", "decay")
        torch.save({name: getattr(self, name) for name in names}, path)

    @mark_as_loader
    def load(self, path, end_of_epoch):
        """Loads them; ``start`` puts them to use, a test does not need them.

        Arguments
        ---------
        path : str
            The file.
        end_of_epoch : bool
            Not used.
        """
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.weights, self.n_updates = state["weights"], state["n_updates"]
        self.is_swapped = state["is_swapped"]


def load_mean(checkpoints, parts):
    """Loads the mean of the weights of checkpoints.

    Arguments
    ---------
    checkpoints : list of speechbrain.utils.checkpoints.Checkpoint
        Intact ones.
    parts : dict
        See ``parts_of``; changed in place.
    """
    load = partial(torch.load, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(average_checkpoints(checkpoints, name, load))


def save_mean(folder, checkpoints, parts):
    """Writes the mean of checkpoints, completely or not at all.

    Arguments
    ---------
    folder : Path
        Must not exist.
    checkpoints : list of speechbrain.utils.checkpoints.Checkpoint
        The best one first.
    parts : dict
        See ``parts_of``; with the mean.
    """
    with replacing(folder) as [hidden]:
        hidden.mkdir()
        _write_mean(hidden, checkpoints, parts)
    fsync_path(folder.parent)


def _write_mean(hidden, checkpoints, parts):
    """Writes the files of a mean."""
    for name, part in parts.items():
        torch.save(part.state_dict(), hidden / f"{name}.ckpt")
    best = checkpoints[0]
    epochs = sorted(checkpoint.meta["epoch"] for checkpoint in checkpoints)
    text = f"mean of the {len(epochs)} best epochs: "
    text += ", ".join(map(str, epochs))
    moving = moving_average_of(best.path)
    meta = {
        "epoch": best.meta["epoch"],
        "si_sdri": best.meta["si_sdri"],
        # A table of scores that is older is of other weights.
        "unixtime": time.time(),
        "averaged_epochs": epochs,
        "weights": f"{text}, each a {moving}" if moving else text,
    }
    text = yaml.safe_dump(meta)
    (hidden / METAFNAME).write_text(text, encoding="utf-8")
    write_checksums(hidden)
