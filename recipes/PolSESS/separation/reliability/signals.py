"""Signals: a training saves and ends, a test ends, workers do not outlive it.

Authors
 * The PolSESS recipe team 2026
"""

import atexit
import faulthandler
import multiprocessing
import os
import signal
import threading
import traceback
from contextlib import contextmanager

from runs.folder import disk_errors
from runs.ranks import all_reduce

from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

# Schedulers send the first two before pre-emption, Ctrl-C the third.
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


def ignore_signals(worker_id):
    """Makes a DataLoader worker ignore the signals.

    Schedulers and terminals signal workers too. The training needs them to
    finish its step.

    Arguments
    ---------
    worker_id : int
        Not used.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def end_workers():
    """Kills DataLoader workers at exit.

    They ignore the SIGTERM of multiprocessing, which would block on join.
    """
    # torch raises an error for each.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for worker in multiprocessing.active_children():
        worker.kill()


@contextmanager
def listening(handler):
    """Installs a handler of the signals; restores the former ones at exit.

    Python allows handlers in the main thread only; elsewhere none is installed.
    They get a stack of their own, since oneDNN may take that of the thread for
    its data, as in the backward pass of an LSTM on a CPU; a signal then damages
    the memory (oneDNN, issue 4845).

    Arguments
    ---------
    handler : callable
        Gets the number of the signal and the frame.

    Example
    -------
    >>> before = signal.getsignal(signal.SIGUSR1)
    >>> with listening(lambda number, frame: print("heard")):
    ...     signal.raise_signal(signal.SIGUSR1)
    heard
    >>> signal.getsignal(signal.SIGUSR1) == before
    True
    """
    numbers = SIGNALS
    if threading.current_thread() is not threading.main_thread():
        numbers = ()
    elif not faulthandler.is_enabled():
        faulthandler.enable(file=2)  # makes the stack
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, former in before.items():
            # None: it was not installed from Python.
            signal.signal(number, former or signal.SIG_DFL)


@contextmanager
def worker_errors():
    """Adds to the error of a killed DataLoader worker what to do.

    Example
    -------
    >>> with worker_errors():
    ...     raise RuntimeError("DataLoader worker (pid 7) is killed")
    Traceback (most recent call last):
        ...
    RuntimeError: a process that reads data was killed (DataLoader worker (pid \
7) is killed). The system does so when memory runs out: lower --num_workers; \
the same command goes on from the last checkpoint
    """
    try:
        yield
    except Exception as error:
        # torch raises it wherever the main process is, for instance in a save.
        chain = [error]
        while chain[-1].__cause__ is not None:
            chain.append(chain[-1].__cause__)
        causes = [error for error in chain if _is_of_a_worker(error)]
        if not causes:
            raise
        raise RuntimeError(
            "a process that reads data was killed "
            f"({str(causes[-1]).rstrip(' .')}). "
            "The system does so when memory runs out: lower --num_workers; the "
            "same command goes on from the last checkpoint"
        ) from causes[-1]


def _is_of_a_worker(error):
    # torch has no class for it; or the connection breaks before torch notices.
    frames = traceback.extract_tb(error.__traceback__)
    return "DataLoader worker (pid" in str(error) or (
        isinstance(error, (OSError, EOFError))
        and any("multiprocessing" in frame.filename for frame in frames)
    )


class Interruptible:
    """A mixin for sb.Brain that saves and ends when a signal asks for it.

    With sb.Brain alone, SIGTERM, SIGUSR1 and Ctrl-C lose everything since the
    last checkpoint, and a kill in validation a whole epoch. Here the window of
    gradient accumulation is finished and saved, and an epoch is saved before it
    is validated. A second Ctrl-C quits at once.
    """

    interrupted_by = None  # number of the signal
    checkpoint_is_due = False
    common_steps = 0  # steps of a validation that all ranks make

    def window_is_open(self):
        """Says whether gradients wait for the step of their window."""
        return False

    def make_dataloader(self, dataset, stage, *arguments, **loader_kwargs):
        """Makes a loader whose workers ignore the signals, see the parent."""
        if loader_kwargs.get("num_workers", 0):
            loader_kwargs.setdefault("worker_init_fn", ignore_signals)
            atexit.register(end_workers)
        return super().make_dataloader(
            dataset, stage, *arguments, **loader_kwargs
        )

    def fit(self, *arguments, **keywords):
        """Trains, listening to signals; see the parent."""
        self.interrupted_by = None
        self.checkpoint_is_due = False
        with self._handling(self._on_signal):
            super().fit(*arguments, **keywords)
            self._end_if_interrupted("The training is saved and ends here")

    def evaluate(self, *arguments, **keywords):
        """Tests; signals end a test at once. See the parent."""
        try:
            with self._handling(_quit):
                return super().evaluate(*arguments, **keywords)
        finally:
            # Scores that are being computed would delay the end.
            if hasattr(self.hparams, "scorer"):
                self.hparams.scorer.close()

    @contextmanager
    def _handling(self, handler):
        """Listens to signals, and adds to errors what to do."""
        folder = getattr(self.hparams, "output_folder", "The output folder")
        with listening(handler), disk_errors(folder), worker_errors():
            yield

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
        """Whether any rank got a signal; all ranks get the same answer."""
        number = int(all_reduce(self.interrupted_by or 0, "MAX"))
        if number:  # a signal that came during the reduction is kept
            self.interrupted_by = number
        return number > 0

    def _end_if_interrupted(self, message):
        if self._is_interrupted():
            logger.warning(message)
            raise SystemExit(128 + self.interrupted_by)

    def _should_save_intra_epoch_ckpt(self, last_ckpt_time, steps_since_ckpt):
        """Postpones a checkpoint that is due to the end of the window."""
        self.checkpoint_is_due |= super()._should_save_intra_epoch_ckpt(
            last_ckpt_time, steps_since_ckpt
        )
        if self.window_is_open():
            return False
        return self._is_interrupted() or self.checkpoint_is_due

    def _save_intra_epoch_ckpt(self):
        """Saves, and ends the training if a signal asked for it."""
        super()._save_intra_epoch_ckpt()
        self.checkpoint_is_due = False
        self._end_if_interrupted("The training is saved and ends here")

    def _fit_valid(self, valid_set, epoch, enable):
        """Saves the epoch before it is validated."""
        self._save_intra_epoch_ckpt()
        self.common_steps = all_reduce(len(valid_set or []), "MIN")
        super()._fit_valid(valid_set, epoch, enable)
        self.common_steps = 0

    def update_average(self, loss, avg_loss):
        """Ends a validation that was interrupted; its epoch is saved."""
        if self.step <= self.common_steps:
            self._end_if_interrupted(
                "The validation ends here; its epoch is saved"
            )
        return super().update_average(loss, avg_loss)


def _quit(number, frame):
    """Ends a test: there is nothing to save."""
    raise SystemExit(128 + number)
