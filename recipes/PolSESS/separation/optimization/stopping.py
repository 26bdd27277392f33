"""Early stopping: a training ends after some epochs without gain.

From: L. Prechelt, "Early stopping - but when?", in "Neural Networks: Tricks of
the Trade", 1998.

Authors
 * The PolSESS recipe team 2026
"""

import yaml

from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.epoch_loop import EpochCounterWithStopper
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)


@register_checkpoint_hooks
class EpochCounter(EpochCounterWithStopper):
    """Counts epochs; ends after ``limit_to_stop`` epochs without gain.

    * The decision is made when an epoch begins. SpeechBrain keeps it, so that
      no other limit could take effect at a resume.
    * The state is saved. SpeechBrain registers the hooks of its EpochCounter
      alone, which save the epoch and nothing else.
    * A gain is a higher value. SpeechBrain calls a positive value that stays
      the same a gain: its least difference has the wrong sign for maxima.
    * An epoch whose validation is not finite has no gain.

    Raises ValueError unless both limits are whole numbers from 1 on.

    Arguments
    ---------
    limit : int
        Number of epochs.
    limit_to_stop : int
        Epochs without gain that end the training.
    **options : dict
        See the parent.

    Example
    -------
    >>> counter = EpochCounter(9, 2, limit_warmup=0, direction="max")
    >>> for epoch in counter:
    ...     counter.update_metric([5.0, 6.0, 6.0, 5.5, 7.0][epoch - 1])
    >>> counter.current, counter.best_limit
    (4, 2)
    """

    def __init__(self, limit, limit_to_stop, **options):
        if type(limit) is not int or limit < 1:
            raise ValueError(
                f"number_of_epochs: expected 1 or more, found {limit!r}"
            )
        if type(limit_to_stop) is not int or limit_to_stop < 1:
            raise ValueError(
                "early_stopping_epochs: expected a number of epochs, 1 or "
                f"more, found {limit_to_stop!r}; number_of_epochs for never"
            )
        super().__init__(limit, limit_to_stop, **options)
        self.min_delta = 0.0

    def __next__(self):
        without_gain = self.current - self.best_limit
        self.should_stop = without_gain >= self.limit_to_stop
        if self.should_stop:
            logger.info(
                f"The training ends after epoch {self.current}: {without_gain} "
                "epochs without gain (early_stopping_epochs)"
            )
        return super().__next__()

    # Hooks count in the class that has them.
    _save = mark_as_saver(EpochCounterWithStopper._save)

    @mark_as_loader
    def _recover(self, path, end_of_epoch=True, device=None):
        with open(path, encoding="utf-8") as file:
            saved = yaml.safe_load(file)
        if isinstance(saved, int):  # by SpeechBrain's EpochCounter
            self.current = self.best_limit = saved - (not end_of_epoch)
        else:
            super()._recover(path, end_of_epoch, device)
