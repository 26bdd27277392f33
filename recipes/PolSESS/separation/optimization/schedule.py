"""Learning rate: plateau or cosine, with or without a warm-up.

From: P. Goyal et al., "Accurate, large minibatch SGD", 2017 (warm-up);
I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm
restarts", ICLR 2017 (cosine).

Authors
 * The PolSESS recipe team 2026
"""

import math

import torch

from speechbrain.nnet.schedulers import ReduceLROnPlateau
from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

KINDS = ("plateau", "cosine")
STATE = ("losses", "anchor", "patience_counter", "step", "total_steps")


def scale(step, warmup_steps, total_steps):
    """Computes the learning rate of a step relative to the highest one.

    It grows linearly to 1 at the last step of the warm-up, then falls as half a
    cosine to 0 at the last step of all.

    SpeechBrain's schedulers have none of both: its LinearWarmupScheduler falls
    linearly, and its CyclicCosineScheduler begins near 1, since the cosine
    of a step before the end of its warm-up is near 1 too.

    Arguments
    ---------
    step : int
        From 1 on.
    warmup_steps, total_steps : int
        Last step of the warm-up and of the cosine.

    Returns
    -------
    float
        In [0, 1].

    Example
    -------
    >>> [round(scale(step, 4, 12), 3) for step in (1, 2, 4, 6, 8, 12, 13)]
    [0.25, 0.5, 1.0, 0.854, 0.5, 0.0, 0.0]
    """
    if step <= warmup_steps:
        return step / warmup_steps
    progress = (step - warmup_steps) / (total_steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1)))


def check_schedule(kind, warmup_steps):
    """Raises ValueError for an unknown schedule or an impossible warm-up.

    Arguments
    ---------
    kind : str
        Out of KINDS.
    warmup_steps : int
        0 for none.
    """
    if kind not in KINDS:
        raise ValueError(
            f"lr_schedule: expected {' or '.join(KINDS)}, found {kind!r}"
        )
    if type(warmup_steps) is not int or warmup_steps < 0:
        raise ValueError(
            "warmup_steps: expected a number of optimizer steps, 0 for none, "
            f"found {warmup_steps!r}"
        )


@register_checkpoint_hooks
class Schedule(ReduceLROnPlateau):
    """SpeechBrain's ReduceLROnPlateau, with a warm-up, or replaced by a cosine.

    Without a warm-up and without a cosine it is the parent. The plateau does
    not act while the warm-up lasts.

    Arguments
    ---------
    **options : dict
        See the parent.

    Example
    -------
    >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    >>> schedule = Schedule(factor=0.5, patience=0, dont_halve_until_epoch=0)
    >>> schedule.start("plateau", warmup_steps=2)
    >>> rates = []
    >>> for step in (1, 2, 3):
    ...     schedule.set_rate(optimizer, step)
    ...     rates.append(optimizer.param_groups[0]["lr"])
    >>> rates, schedule([optimizer], 1, -5.0), schedule([optimizer], 2, -4.0)
    ([0.05, 0.1, 0.1], (0.1, 0.1), (0.1, 0.05))
    """

    def __init__(self, **options):
        super().__init__(**options)
        self.kind, self.warmup_steps = "plateau", 0
        self.step = 0  # the last one whose rate was set
        self.total_steps = None  # of the cosine

    def start(self, kind, warmup_steps, total_steps=None):
        """Begins a training, or goes on with the loaded state.

        A cosine keeps the length with which it began. Raises ValueError where
        the warm-up leaves no step for it.

        Arguments
        ---------
        kind : str
            Out of KINDS.
        warmup_steps : int
            0 for none.
        total_steps : int
            Steps of the training; needed by a cosine.
        """
        self.kind, self.warmup_steps = kind, warmup_steps
        if kind != "cosine":
            return
        self.total_steps = self.total_steps or total_steps
        if self.total_steps <= warmup_steps:
            raise ValueError(
                f"warmup_steps: expected fewer than the {self.total_steps} "
                f"steps of the training, found {warmup_steps}"
            )
        if self.total_steps != total_steps:
            logger.warning(
                f"lr_schedule: the cosine keeps its {self.total_steps} steps, "
                f"although the training has {total_steps} now; after its end "
                f"the learning rate stays at {self.lr_min:g}"
            )

    def set_rate(self, optimizer, step):
        """Sets the learning rate of a step that is to be made.

        Arguments
        ---------
        optimizer : torch.optim.Optimizer
            The rate with which it was made is the highest one.
        step : int
            From 1 on.
        """
        self.step = step
        if self.kind == "cosine" or step <= self.warmup_steps:
            factor = scale(step, self.warmup_steps, self.total_steps)
        elif self.total_steps is None:
            return
        else:  # A resume without the cosine begins at the highest rate.
            factor, self.total_steps = 1, None
        for group in optimizer.param_groups:
            group["lr"] = max(optimizer.defaults["lr"] * factor, self.lr_min)

    def __call__(self, optim_list, current_epoch, current_loss):
        """Returns the learning rate of an epoch and of the next, see the parent.

        Arguments
        ---------
        optim_list : list of torch.optim.Optimizer
            See the parent.
        current_epoch : int
            See the parent.
        current_loss : float
            See the parent.

        Returns
        -------
        tuple of float
            Both are the same where steps set the rate.
        """
        if self.kind == "plateau" and self.step >= self.warmup_steps:
            return super().__call__(optim_list, current_epoch, current_loss)
        self.losses.append(current_loss)
        self.anchor = current_loss
        rate = optim_list[0].param_groups[0]["lr"]
        return rate, rate

    @mark_as_saver
    def save(self, path):
        """Saves the state.

        Arguments
        ---------
        path : str
            The file.
        """
        torch.save({name: getattr(self, name) for name in STATE}, path)

    @mark_as_loader
    def load(self, path, end_of_epoch=False):
        """Loads the state, or the one of the parent, which has fewer keys.

        Arguments
        ---------
        path : str
            The file.
        end_of_epoch : bool
            Not used.
        """
        state = torch.load(path, weights_only=True)
        vars(self).update({n: state[n] for n in STATE if n in state})
