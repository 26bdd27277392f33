"""Computes metrics in processes of their own.

A process imports this file and the metrics, and no torch, which costs seconds.
One that dies, as PESQ's C code does with a signal of some minutes, costs the
score that it was computing and no other.

Authors
 * The PolSESS recipe team 2026
"""

import os
import threading
import time
from pickle import PicklingError

import numpy as np
from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import (
    BrokenProcessPool,
    TerminatedWorkerError,
)

DIED = (
    "the process that computed it died: the metric crashed, or memory ran out"
)
# One thread each: the processes already use all cores.
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def end_with(parent):
    """Lets this process end when the one that uses it was killed.

    Arguments
    ---------
    parent : int
        Number of that process.
    """

    def watch():
        """Waits for another parent, which orphans get."""
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def make_pool(n_jobs):
    """Processes that compute metrics.

    Arguments
    ---------
    n_jobs : int
        Their number.

    Returns
    -------
    ProcessPoolExecutor
        Of loky, whose processes do not import train.py.
    """
    return ProcessPoolExecutor(
        n_jobs, env=THREADS, initializer=end_with, initargs=(os.getpid(),)
    )


def score_signal(signal, reference, sample_rate, metrics):
    """Metrics of one signal; one that fails does not touch the others.

    Arguments
    ---------
    signal : np.ndarray
        Estimate or mixture, [time].
    reference : np.ndarray
        [time].
    sample_rate : int
        In Hz.
    metrics : dict
        Name -> function (estimate, reference, sample_rate).

    Returns
    -------
    dict
        Name -> (score, None), or (NaN, what went wrong).

    Example
    -------
    >>> from metrics import si_sdr
    >>> reference = np.array([1.0, -1.0, 1.0, -1.0])
    >>> error = np.array([1.0, 1.0, -1.0, -1.0])
    >>> score_signal(reference + error, reference, 8000, {"si_sdr": si_sdr})
    {'si_sdr': (0.0, None)}
    >>> score_signal(error, 0 * error, 8000, {"si_sdr": si_sdr})
    {'si_sdr': (nan, "ValueError('silent reference')")}
    """
    scores = {}
    for name, metric in metrics.items():
        try:
            for part in (signal, reference):
                if not np.isfinite(part).all():
                    raise ValueError("samples that are not finite")
            # Copies, since a metric may write into its arguments.
            score = metric(signal.copy(), reference.copy(), sample_rate)
            scores[name] = _checked(score), None
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # The packages raise exceptions of many kinds; sys.exit is one.
            scores[name] = np.nan, _described(error)
    return scores


def _checked(score):
    # Arrays and tensors of one element count as numbers.
    score = float(score.item() if hasattr(score, "item") else score)
    if not np.isfinite(score):
        raise ValueError(f"the score is {score}")
    return score + 0.0  # -0.0, which the cache cannot keep, becomes 0.0


def _described(error):
    try:
        text = repr(error)
    except Exception:
        text = type(error).__name__
    return text.encode("utf-8", "backslashreplace").decode()


class ScoringPool:
    """Scores signals in processes, which start when the first one comes.

    Arguments
    ---------
    n_jobs : int
        Number of processes.

    Example
    -------
    >>> pool = ScoringPool(n_jobs=2)
    >>> pool.close()
    """

    def __init__(self, n_jobs):
        self.n_jobs = n_jobs
        self.shared = None
        self.alone = None

    def submit(self, *job):
        """Begins to score a signal.

        Arguments
        ---------
        *job : tuple
            The arguments of ``score_signal``.

        Returns
        -------
        callable
            Waits for the scores and returns them.
        """
        try:
            future = self._submit_shared(job)
        except BrokenProcessPool:
            self.shared.shutdown()  # broken by an earlier job
            self.shared = None
            future = self._submit_shared(job)
        return lambda: self._result(future, job)

    def close(self, at_once=False):
        """Ends all processes.

        Arguments
        ---------
        at_once : bool
            Without waiting for the jobs that they still have.
        """
        for pool in (self.shared, self.alone):
            if pool is not None:
                pool.shutdown(kill_workers=at_once)
        self.shared = self.alone = None

    def _submit_shared(self, job):
        if self.shared is None:
            self.shared = make_pool(self.n_jobs)
        return self.shared.submit(score_signal, *job)

    def _result(self, future, job):
        try:
            return future.result()
        except (BrokenProcessPool, PicklingError):
            # All jobs in the pool fail together; this need not be the culprit.
            signal, reference, sample_rate, metrics = job
            scores = {}
            for name, metric in metrics.items():
                one = signal, reference, sample_rate, {name: metric}
                scores.update(self._score_alone(*one))
            return scores

    def _score_alone(self, *job):
        if self.alone is None:
            self.alone = make_pool(1)
        try:
            return self.alone.submit(score_signal, *job).result()
        except TerminatedWorkerError:
            failure = DIED
        except (BrokenProcessPool, PicklingError) as error:
            # The last line of the traceback of the process.
            cause = str(error.__cause__).strip("\n\"' ").splitlines()[-1:]
            failure = " ".join([_described(error), *cause])
        self.alone.shutdown()
        self.alone = None
        return dict.fromkeys(job[-1], (np.nan, failure))
