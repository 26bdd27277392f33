"""Scores utterances in a pool of processes, beside the forward pass.

Authors
 * The PolSESS recipe team 2026
"""

from collections import deque

from joblib.externals.loky import ProcessPoolExecutor
from metrics import score_utterance
from tqdm import tqdm

from speechbrain.utils.logger import get_logger
from speechbrain.utils.parallel import get_available_cpu_count

logger = get_logger(__name__)


class Scorer:
    """Scores utterances beside the forward pass.

    Arguments
    ---------
    metrics : list of str
        Names out of METRICS. With SI-SDR alone no processes are started.
    sample_rate : int
        In Hz.
    n_jobs : int
        Number of processes; None for the number of CPU cores.

    Example
    -------
    >>> import numpy as np
    >>> scorer = Scorer(metrics=["si_sdr"], sample_rate=8000)
    >>> reference = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    >>> mixture = np.array([2.0, 0.0, 0.0, -2.0])
    >>> scorer.submit(
    ...     {"ID": "abc"}, ["s1"], mixture[:, None], reference, mixture
    ... )
    >>> scorer.rows()[0]["si_sdr"]
    0.0
    """

    def __init__(self, metrics, sample_rate, n_jobs=None):
        self.metrics = list(metrics)
        self.sample_rate = sample_rate
        self.n_jobs = n_jobs or get_available_cpu_count()
        self.pool = None
        self.pending = deque()
        self.finished = []

    def submit(self, labels, sources, estimate, reference, mixture):
        """Begins to score one utterance.

        Arguments
        ---------
        labels : dict
            Columns that precede the scores: ID, variant, setting.
        sources : list of str
            Names of the sources.
        estimate : np.ndarray
            In the order of the references, [time, source].
        reference : np.ndarray
            [time, source].
        mixture : np.ndarray
            [time].
        """
        job = (estimate, reference, mixture, self.sample_rate, self.metrics)
        if set(self.metrics) <= {"si_sdr"}:
            self._finish(labels, sources, score_utterance(*job))
            return
        if self.pool is None:
            # loky's workers import neither train.py nor torch.
            self.pool = ProcessPoolExecutor(max_workers=self.n_jobs)
        self.pending.append(
            (labels, sources, self.pool.submit(score_utterance, *job))
        )
        # The queue is bounded, so a fast model does not fill the memory.
        while len(self.pending) > 16 * self.n_jobs:
            self._finish_oldest()

    def rows(self):
        """Waits for all scores; the scorer is then empty again.

        Returns
        -------
        list of dict
            One row for each utterance and source, in the order of submission.
        """
        for _ in tqdm(range(len(self.pending)), desc="scoring", delay=2):
            self._finish_oldest()
        if self.pool is not None:
            self.pool.shutdown()
            self.pool = None
        rows, self.finished = self.finished, []
        return rows

    def _finish_oldest(self):
        labels, sources, future = self.pending.popleft()
        self._finish(labels, sources, future.result())

    def _finish(self, labels, sources, result):
        scores, failures = result
        for failure in failures:
            logger.warning(f"no score for {labels}, {failure}")
        for source, row in zip(sources, scores):
            self.finished.append({**labels, "source": source, **row})
