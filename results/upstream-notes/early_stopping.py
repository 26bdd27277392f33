"""An early stop forgets its best epoch at a resume, and calls a plateau a gain.

> python early_stopping.py

It exits with 1 where one of both is so, with 0 otherwise.

Authors
 * The PolSESS recipe team 2026
"""

import sys
import tempfile

from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.epoch_loop import EpochCounterWithStopper


def make_counter():
    """A counter that stops after three epochs without gain."""
    return EpochCounterWithStopper(
        limit=99, limit_to_stop=3, limit_warmup=0, direction="max"
    )


def stop_epoch(scores, resume_after=None):
    """Counts epochs with these scores; returns the last one.

    Arguments
    ---------
    scores : list of float
        Validation score of each epoch; the last one is repeated.
    resume_after : int
        Epoch after which another process goes on from a checkpoint.

    Returns
    -------
    int
        Number of epochs.
    """
    counter = make_counter()
    for epoch in counter:
        counter.update_metric(scores[min(epoch, len(scores)) - 1])
        if epoch == resume_after:
            break
        if epoch == 20:
            return epoch
    if resume_after is None:
        return counter.current
    with tempfile.TemporaryDirectory() as folder:
        Checkpointer(folder, {"counter": counter}).save_checkpoint()
        resumed = make_counter()
        Checkpointer(folder, {"counter": resumed}).recover_if_possible()
    for epoch in resumed:
        resumed.update_metric(scores[min(epoch, len(scores)) - 1])
    return resumed.current


if __name__ == "__main__":
    scores = [9.0, 8.0, 7.0, 6.0, 5.0]  # a gain in the first epoch alone
    straight, resumed = stop_epoch(scores), stop_epoch(scores, resume_after=2)
    print(f"stops after epoch {straight}, after a resume {resumed}")
    flat = stop_epoch([9.0])
    print(f"with equal scores after epoch {flat}" + " or later" * (flat == 20))
    sys.exit(straight != resumed or flat != 4)
