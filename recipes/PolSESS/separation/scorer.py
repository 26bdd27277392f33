"""Scores utterances in a pool of processes, beside the forward pass.

Authors
 * The PolSESS recipe team 2026
"""

import importlib
import os
from collections import deque

from baselines import BaselineCache
from metrics import METRICS, si_sdr
from processes import ScoringPool, score_signal
from tqdm import tqdm

from speechbrain.utils.logger import get_logger
from speechbrain.utils.parallel import get_available_cpu_count

logger = get_logger(__name__)

LABELS = ("ID", "variant", "setting", "source")  # columns beside the scores


def find_metrics(names):
    """The functions of the metrics that a YAML names.

    Raises ValueError that says which of them is unknown, cannot be imported,
    or would give two metrics one name.

    Arguments
    ---------
    names : list
        Out of METRICS, or ``module.function`` for one of your own, or the
        function itself (``!name:module.function``). SI-SDR is always computed.

    Returns
    -------
    dict
        Name, which is that of the columns -> function; si_sdr first.

    Example
    -------
    >>> list(find_metrics(["pesq", "math.dist"]))
    ['si_sdr', 'pesq', 'dist']
    """
    found = {"si_sdr": si_sdr}
    for name in names:
        function = METRICS.get(name) if isinstance(name, str) else name
        if function is None:
            function = _imported(name)
        if not callable(function):
            raise ValueError(f"metrics: {name!r} is no function")
        name = getattr(function, "func", function)
        name = getattr(name, "__name__", type(name).__name__)
        if found.setdefault(name, function) is not function:
            raise ValueError(f"metrics: two functions have the name {name!r}")
    columns = [*LABELS, *score_columns(found)]
    for name in sorted({name for name in columns if columns.count(name) > 1}):
        raise ValueError(f"metrics: {name!r} is the name of another column")
    return found


def _imported(name):
    module, _, attribute = str(name).rpartition(".")
    if not module:
        raise ValueError(
            f"metrics: {name!r} is none of {', '.join(METRICS)}, and to be "
            "imported it needs its module: module.function"
        )
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"metrics: {name!r}: {error}") from error
    except Exception as error:
        # Whatever the module does when imported.
        raise ValueError(f"metrics: {name!r}: {error!r}") from error


def score_columns(metrics):
    """The columns of test_scores.csv that hold scores.

    Arguments
    ---------
    metrics : iterable of str
        Names; si_sdr comes first whether named or not.

    Returns
    -------
    list of str
        Each metric with the mixture's value, SI-SDR with its improvement.

    Example
    -------
    >>> score_columns(["stoi"])
    ['si_sdr', 'si_sdr_mix', 'si_sdri', 'stoi', 'stoi_mix']
    """
    columns = ["si_sdr", "si_sdr_mix", "si_sdri"]
    for name in metrics:
        if name != "si_sdr":
            columns += [name, f"{name}_mix"]
    return columns


class Scorer:
    """Scores utterances beside the forward pass.

    The scores of the mixtures, which no model changes, are looked up in a
    cache; see ``baselines.BaselineCache``.

    Arguments
    ---------
    metrics : list
        See ``find_metrics``. With SI-SDR alone no processes are
        started.
    sample_rate : int
        In Hz.
    cache_folder : str
        Folder of the cache; None for none.
    n_jobs : int
        Number of processes; None for the number of CPU cores.

    Example
    -------
    >>> import numpy as np
    >>> from utterances import Utterance
    >>> reference = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    >>> mixture = np.array([2.0, 0.0, 0.0, -2.0])
    >>> scorer = Scorer(metrics=["si_sdr"], sample_rate=8000)
    >>> scorer.submit(
    ...     Utterance({"ID": "a"}, ["s1"], mixture[:, None], reference, mixture)
    ... )
    >>> scorer.rows()
    [{'ID': 'a', 'source': 's1', 'si_sdr': 0.0, 'si_sdr_mix': 0.0, 'si_sdri': 0.0}]
    """

    def __init__(self, metrics, sample_rate, cache_folder=None, n_jobs=None):
        self.metrics = metrics
        self.sample_rate = sample_rate
        self.cache = BaselineCache(cache_folder)
        # The processes of a distributed test share the cores.
        processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        cores = get_available_cpu_count() // processes
        self.n_jobs = n_jobs or max(1, cores)
        self.pool = ScoringPool(self.n_jobs)
        self.pending = deque()
        self.finished = []

    def submit(self, utterance):
        """Begins to score one utterance.

        Arguments
        ---------
        utterance : utterances.Utterance
            Its estimates are in the order of the references.
        """
        # Found here and not before, since the YAML is loaded before checked.
        metrics = find_metrics(self.metrics)
        jobs = []
        for number in range(len(utterance.sources)):
            reference = utterance.reference[:, number]
            known = self.cache.look_up(
                utterance.mixture, reference, self.sample_rate, metrics
            )
            missing = {n: metrics[n] for n in metrics if n not in known.scores}
            jobs.append(
                [
                    known,
                    self._begin(
                        utterance.estimate[:, number], reference, metrics
                    ),
                    self._begin(utterance.mixture, reference, missing),
                ]
            )
        self.pending.append((utterance.labels, utterance.sources, jobs))
        # The queue is bounded, so a fast model does not fill the memory.
        while len(self.pending) > 16 * self.n_jobs:
            self._finish_oldest()

    def rows(self, progressbar=True):
        """Waits for all scores; the scorer is then empty again.

        Arguments
        ---------
        progressbar : bool
            Whether to show how many utterances are still to be scored.

        Returns
        -------
        list of dict
            One row for each utterance and source, in the order of submission.
        """
        try:
            for _ in tqdm(
                range(len(self.pending)),
                desc="scoring the last utterances",
                delay=2,
                disable=not progressbar,
            ):
                self._finish_oldest()
            self.pool.close()
        finally:
            self.close()
        rows, self.finished = self.finished, []
        return rows

    def close(self):
        """Ends at once, without the scores that are not computed yet."""
        self.pool.close(at_once=True)
        self.pending.clear()
        self.cache.save()

    def _begin(self, signal, reference, metrics):
        """A function that returns the scores, computed meanwhile if slow."""
        job = (signal, reference, self.sample_rate, metrics)
        if set(metrics) <= {"si_sdr"}:
            scores = score_signal(*job)
            return lambda: scores
        return self.pool.submit(*job)

    def _finish_oldest(self):
        labels, sources, jobs = self.pending.popleft()
        failures = []
        for source, (known, estimate, mixture) in zip(sources, jobs):
            computed = mixture()
            self.cache.add(known, computed)
            scores = estimate()
            baseline = {**known.scores, **computed}
            row = {}
            for name in scores:
                for column, result in (
                    (name, scores[name]),
                    (f"{name}_mix", baseline[name]),
                ):
                    row[column], failure = result
                    if failure:
                        failures.append(f"{source}, {column}: {failure}")
            row["si_sdri"] = row["si_sdr"] - row["si_sdr_mix"]
            ordered = {column: row[column] for column in score_columns(scores)}
            self.finished.append({**labels, "source": source, **ordered})
        if failures:
            logger.warning(f"no score for {labels}: {'; '.join(failures)}")
