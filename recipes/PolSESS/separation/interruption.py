"""A mix-in that ends a training or a test when it is asked to by a signal.

Authors
 * The PolSESS recipe team 2026
"""

import atexit
import multiprocessing
import os
import signal

import torch

from speechbrain.utils.distributed import is_distributed_initialized
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

# What schedulers send, and Ctrl-C.
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


def ignore_signals(worker_id):
    """Lets a worker of a data loader live until its parent ends it.

    Schedulers, and the terminal, signal the workers too: without them the
    training could not finish its step.

    Arguments
    ---------
    worker_id : int
        Not used.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def end_workers():
    """Ends workers of data loaders when their parent ends, however it does.

    They ignore what multiprocessing then sends them, and for whose effect it
    would wait for ever.
    """
    # torch makes an error of each.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for worker in multiprocessing.active_children():
        worker.kill()


class Interruptible:
    """A mix-in before sb.Brain; it answers this defect of it:

    * SIGTERM, SIGUSR1 and Ctrl-C lose everything since the last checkpoint, and
      a kill in validation a whole epoch: here the window of accumulation is
      finished and saved, and an epoch is saved before it is validated. A second
      Ctrl-C quits.
    """

    interrupted_by = None

    def make_dataloader(self, dataset, stage, *arguments, **loader_kwargs):
        """Makes a loader whose workers outlive the signals, see the parent."""
        if loader_kwargs.get("num_workers", 0):
            loader_kwargs.setdefault("worker_init_fn", ignore_signals)
            atexit.register(end_workers)
        return super().make_dataloader(
            dataset, stage, *arguments, **loader_kwargs
        )

    def on_fit_start(self):
        """Begins to listen to signals."""
        super().on_fit_start()
        self.checkpoint_is_due = False
        for number in SIGNALS:
            signal.signal(number, self._on_signal)

    def on_evaluate_start(self, max_key=None, min_key=None):
        """Signals end a test at once."""
        if self.interrupted_by:
            raise SystemExit(128 + self.interrupted_by)
        super().on_evaluate_start(max_key=max_key, min_key=min_key)
        for number in SIGNALS:
            signal.signal(number, _quit)

    def _on_signal(self, number, frame):
        """Asks for a checkpoint and the end; a second Ctrl-C does not wait."""
        if number == signal.SIGINT and self.interrupted_by == number:
            end_workers()
            os._exit(128 + number)
        self.interrupted_by = number
        logger.warning(
            f"{signal.Signals(number).name}: the training ends after the "
            "present step, with a checkpoint; the same command resumes it"
        )

    def _is_interrupted(self):
        """Whether any process got a signal; all get the same answer."""
        number = torch.tensor(int(self.interrupted_by or 0))
        if is_distributed_initialized():
            number = number.to(self.device)
            torch.distributed.all_reduce(number, torch.distributed.ReduceOp.MAX)
        self.interrupted_by = int(number) or None
        return self.interrupted_by is not None

    def _should_save_intra_epoch_ckpt(self, last_ckpt_time, steps_since_ckpt):
        """Postpones a checkpoint that is due to the end of the window."""
        self.checkpoint_is_due |= super()._should_save_intra_epoch_ckpt(
            last_ckpt_time, steps_since_ckpt
        )
        if self.window_ids:
            return False
        return self._is_interrupted() or self.checkpoint_is_due

    def _save_intra_epoch_ckpt(self):
        """Saves, and ends the training if that was asked for."""
        super()._save_intra_epoch_ckpt()
        self.checkpoint_is_due = False
        if self._is_interrupted():
            logger.warning("The training is saved and ends here")
            raise SystemExit(128 + self.interrupted_by)

    def _fit_valid(self, valid_set, epoch, enable):
        """Saves the epoch before it is validated."""
        self._save_intra_epoch_ckpt()
        super()._fit_valid(valid_set, epoch, enable)

    def update_average(self, loss, avg_loss):
        """Ends a validation that was interrupted; its epoch is saved."""
        if not self.modules.training and self.interrupted_by:
            raise SystemExit(128 + self.interrupted_by)
        return super().update_average(loss, avg_loss)


def _quit(number, frame):
    """Ends a test: there is nothing to save."""
    raise SystemExit(128 + number)
