# ======== scorer
"""Scores utterances in a pool of processes, beside the forward pass.

Authors
 * The PolSESS recipe team 2026
"""

import importlib
import os
from collections import deque

from baselines import BaselineCache
from metrics import METRICS, si_sdr
from scoring import ScoringPool, score_signal
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
    >>> from scoring import Utterance
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
# ======== processes
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
# ======== utterances
"""One utterance of the test: its estimates beside what they are compared with.

Authors
 * The PolSESS recipe team 2026
"""

from dataclasses import dataclass

import numpy as np
from losses import best_permutation, pairwise_si_sdr


@dataclass
class Utterance:
    """The signals of one mixture in one variant, without padding.

    Arguments
    ---------
    labels : dict
        ID, variant and setting.
    sources : list of str
        Names of the sources.
    estimate : np.ndarray
        In the order of the references, at the scale that the model gave them,
        [time, source].
    reference : np.ndarray
        [time, source].
    mixture : np.ndarray
        [time].
    """

    labels: dict
    sources: list
    estimate: np.ndarray
    reference: np.ndarray
    mixture: np.ndarray

    def scaled(self):
        """The estimates at the level of the references.

        Training with SI-SDR leaves the scale, and the sign, of an estimate
        free. Here each is multiplied by the factor that brings it closest to
        its reference in the least-squares sense, which is the projection of
        the reference onto it.

        Returns
        -------
        np.ndarray
            [time, source]; a silent or non-finite estimate as it is.

        Example
        -------
        >>> reference = np.array([[0.5], [-0.5], [0.1]])
        >>> utterance = Utterance({}, ["s1"], -7 * reference, reference, None)
        >>> utterance.scaled().round(3).ravel().tolist()
        [0.5, -0.5, 0.1]
        """
        # In double precision: the scale of a model may be anything.
        scaled = self.estimate.astype(np.float64)
        for signal, reference in zip(scaled.T, self.reference.T):
            energy = signal @ signal
            if np.isfinite(signal).all() and energy > 0:
                signal *= (signal @ reference) / energy
        return scaled.astype(self.estimate.dtype)

    def signals(self):
        """What one listens to, in the order in which it is shown.

        Returns
        -------
        dict
            Name -> [time]: the mixture, each estimate at the level of its
            reference, each reference. What is not finite is silence.

        Example
        -------
        >>> one = np.ones((4, 1))
        >>> list(Utterance({}, ["s1"], one, one, one[:, 0]).signals())
        ['mixture', 'estimate s1', 'reference s1']
        """
        estimates = zip(self.sources, self.scaled().T)
        references = zip(self.sources, self.reference.T)
        return {
            "mixture": self.mixture,
            **{
                f"estimate {name}": np.nan_to_num(signal, posinf=0, neginf=0)
                for name, signal in estimates
            },
            **{f"reference {name}": signal for name, signal in references},
        }


def utterances_of(batch, estimate, sources):
    """Cuts a batch into its utterances.

    Arguments
    ---------
    batch : speechbrain.dataio.batch.PaddedBatch
        With mixture_id, variant, setting, mix_sig and sources_sig.
    estimate : torch.Tensor
        What the model gave, in any order, [batch, time, source].
    sources : list of str
        Names of the sources.

    Returns
    -------
    list of Utterance
        Each at its own length, the estimates in the order of the references.
    """
    mixture, lengths = batch.mix_sig
    reference, _ = batch.sources_sig
    scores = pairwise_si_sdr(estimate, reference, lengths)
    _, order = best_permutation(scores)
    order = order.unsqueeze(1).expand_as(estimate)
    estimate = estimate.float().gather(-1, order)
    samples = (lengths * mixture.shape[1]).round().long().tolist()
    return [
        Utterance(
            labels={
                "ID": batch.mixture_id[number],
                "variant": batch.variant[number],
                "setting": batch.setting[number],
            },
            sources=sources,
            estimate=estimate[number, :length].cpu().numpy(),
            reference=reference[number, :length].cpu().numpy(),
            mixture=mixture[number, :length].cpu().numpy(),
        )
        for number, length in enumerate(samples)
    ]
# ======== audio
"""Saves the estimates of a test as WAV files.

Authors
 * The PolSESS recipe team 2026
"""

import os
from pathlib import Path

import torch
from mixtures import stratified

from speechbrain.dataio import audio_io


class AudioWriter:
    """Writes mixture, estimates and references of test mixtures.

    ``<folder>/<ID>_<variant>_<signal>.wav`` with the signals ``mixture``,
    ``estimate_s1``, ``reference_s1`` and so on, the sources in the order of the
    references. The mixture and the references are as in the corpus; estimates
    are projected onto their references, see ``Utterance.scaled``. Samples are
    32-bit floats, so nothing is clipped or rounded.

    Arguments
    ---------
    folder : str
        Made when the first file is written.
    sample_rate : int
        In Hz.
    limit : int or str
        Number of mixtures, each in every tested variant, or "all"; None for
        none. The pick has the proportions of the whole, see
        ``manifests.stratified``.

    Example
    -------
    >>> writer = AudioWriter("audio", 8000, limit=1)
    >>> row = {"setting": "indoor", "scene_class": "bus"}
    >>> writer.choose({"a": row, "b": row})
    >>> len(writer.chosen)
    1
    """

    def __init__(self, folder, sample_rate, limit=None):
        self.folder = folder
        self.sample_rate = sample_rate
        self.limit = limit
        self.chosen = set()

    def choose(self, mixtures):
        """Chooses the mixtures whose signals are saved.

        Raises ValueError when the ID of one is no name of a file.

        Arguments
        ---------
        mixtures : dict
            Mixture ID -> row of the manifest.
        """
        if self.limit == "all":
            self.chosen = set(mixtures)
        elif self.limit:
            self.chosen = set(stratified(mixtures, self.limit))
        for mixture_id in sorted(self.chosen):
            if os.path.basename(mixture_id) != mixture_id:
                raise ValueError(
                    f"mixture {mixture_id}: this ID cannot name a file, so its "
                    "audio cannot be saved; prepare the corpus again, or set "
                    "--save_audio=0"
                )

    def clear(self):
        """Removes the files of an earlier test: of another model, it may be."""
        for signal in ("mixture", "estimate_*", "reference_*"):
            for path in Path(self.folder).glob(f"*_{signal}.wav"):
                path.unlink()

    def write(self, utterance):
        """Writes the signals of an utterance if its mixture is chosen.

        Raises OSError where files cannot be written.

        Arguments
        ---------
        utterance : utterances.Utterance
            At the scale that the model gave it.
        """
        labels = utterance.labels
        if labels["ID"] not in self.chosen:
            return
        stem = f"{labels['ID']}_{labels['variant']}"
        try:
            os.makedirs(self.folder, exist_ok=True)
            for name, signal in utterance.signals().items():
                audio_io.save(
                    os.path.join(
                        self.folder, f"{stem}_{name.replace(' ', '_')}.wav"
                    ),
                    torch.as_tensor(signal).float().unsqueeze(0),
                    self.sample_rate,
                    subtype="FLOAT",
                )
        except (OSError, RuntimeError) as error:
            raise OSError(
                f"save_audio: {error}; free or change {self.folder}, or set "
                "--save_audio=0"
            ) from error
