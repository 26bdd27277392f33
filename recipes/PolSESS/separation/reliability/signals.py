"""A mix-in that ends a training or a test when it is asked to by a signal.

Authors
 * The PolSESS recipe team 2026
"""

import atexit
import multiprocessing
import os
import signal
import threading
import traceback
from contextlib import contextmanager

from reliability.ranks import agreed
from reliability.run_folder import explained

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


@contextmanager
def listening(handler):
    """Lets a function handle the signals for a while, in the main thread.

    Elsewhere Python allows no handler, and nothing is listened to.

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
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, former in before.items():
            # None: it was not installed from Python.
            signal.signal(number, former or signal.SIG_DFL)


@contextmanager
def workers_explained():
    """Says what to do when a worker of a data loader was killed.

    Example
    -------
    >>> with workers_explained():
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
        # It comes wherever the process is, for instance while it saves.
        chain = [error]
        while chain[-1].__cause__ is not None:
            chain.append(chain[-1].__cause__)
        telling = [error for error in chain if _tells_of_a_worker(error)]
        if not telling:
            raise
        raise RuntimeError(
            "a process that reads data was killed "
            f"({str(telling[-1]).rstrip(' .')}). "
            "The system does so when memory runs out: lower --num_workers; the "
            "same command goes on from the last checkpoint"
        ) from telling[-1]


def _tells_of_a_worker(error):
    # Torch tells of it; or the connection breaks first, while data is received.
    frames = traceback.extract_tb(error.__traceback__)
    return "DataLoader worker (pid" in str(error) or (
        isinstance(error, (OSError, EOFError))
        and any("multiprocessing" in frame.filename for frame in frames)
    )


class Interruptible:
    """A mix-in before sb.Brain; it answers this defect of it:

    * SIGTERM, SIGUSR1 and Ctrl-C lose everything since the last checkpoint, and
      a kill in validation a whole epoch: here the window of accumulation is
      finished and saved, and an epoch is saved before it is validated. A second
      Ctrl-C quits.
    """

    interrupted_by = None
    common_steps = 0  # of a validation: those that all processes make

    def make_dataloader(self, dataset, stage, *arguments, **loader_kwargs):
        """Makes a loader whose workers outlive the signals, see the parent."""
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
            if self._is_interrupted():
                raise SystemExit(128 + self.interrupted_by)

    def evaluate(self, *arguments, **keywords):
        """Tests, which signals end at once; see the parent."""
        try:
            with self._handling(_quit):
                return super().evaluate(*arguments, **keywords)
        finally:
            # Scores that are still computed would delay the end.
            if hasattr(self.hparams, "scorer"):
                self.hparams.scorer.close()

    @contextmanager
    def _handling(self, handler):
        """Listens to signals, and says of errors what to do."""
        folder = getattr(self.hparams, "output_folder", "The output folder")
        with listening(handler), explained(folder), workers_explained():
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
        """Whether any process got a signal; all get the same answer."""
        number = int(agreed(self.interrupted_by or 0, "MAX"))
        if number:  # one that came meanwhile stays for the next time
            self.interrupted_by = number
        return number > 0

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
        self.common_steps = agreed(len(valid_set or []), "MIN")
        super()._fit_valid(valid_set, epoch, enable)
        self.common_steps = 0

    def update_average(self, loss, avg_loss):
        """Ends a validation that was interrupted; its epoch is saved."""
        if self.step <= self.common_steps and self._is_interrupted():
            logger.warning("The validation ends here; its epoch is saved")
            raise SystemExit(128 + self.interrupted_by)
        return super().update_average(loss, avg_loss)


def _quit(number, frame):
    """Ends a test: there is nothing to save."""
    raise SystemExit(128 + number)
