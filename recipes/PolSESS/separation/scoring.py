"""From estimates to test_scores.csv: one row per mixture, variant and source.

Utterances are scored in a pool of processes, during the forward pass. A process
that dies, as PESQ's C code does with a signal of some minutes, costs the score
that it was computing and no other.

Authors
 * The PolSESS recipe team 2026
"""

import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import BrokenProcessPool
from losses import pairwise_si_sdr
from metrics import METRICS, SILENT_DB, end_with, score_signal
from summary import LABELS, write_csv
from variants import VARIANTS, source_names

from speechbrain.dataio import audio_io
from speechbrain.utils.logger import get_logger
from speechbrain.utils.parallel import get_available_cpu_count

logger = get_logger(__name__)

DIED = (
    "the process that computed it died: the metric crashed, or memory ran out"
)
# The processes use all cores already.
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
PESQ_RATES = (8000, 16000)  # Hz


@dataclass
class Utterance:
    """The signals of one mixture in one variant, without padding.

    The estimates are in the order of the references, as the model scaled them.
    """

    labels: dict  # ID, variant and setting
    sources: list  # names
    estimate: np.ndarray  # [time, source]
    reference: np.ndarray  # [time, source]
    mixture: np.ndarray  # [time]

    def _scaled(self):
        """Projects the references onto the estimates, [time, source].

        Training with SI-SDR leaves the scale, and the sign, of an estimate
        free. A silent or non-finite estimate stays as it is.
        """
        # In double precision: the scale of a model may be anything.
        scaled = self.estimate.astype(np.float64)
        for signal, reference in zip(scaled.T, self.reference.T):
            energy = signal @ signal
            if np.isfinite(signal).all() and energy > 0:
                signal *= (signal @ reference) / energy
        return scaled.astype(self.estimate.dtype)

    def signals(self):
        """Lists what one listens to, name -> [time].

        These are mixture, each estimate at the level of its reference, such as
        ``estimate s1``, and each reference. Non-finite samples become zero.
        """
        signals = {"mixture": self.mixture}
        for name, signal in zip(self.sources, self._scaled().T):
            signal = np.nan_to_num(signal, posinf=0, neginf=0)
            signals[f"estimate {name}"] = signal
        for name, signal in zip(self.sources, self.reference.T):
            signals[f"reference {name}"] = signal
        return signals


def utterances_of(batch, estimate, order, sources):
    """Cuts a batch into its utterances.

    Arguments
    ---------
    batch : speechbrain.dataio.batch.PaddedBatch
        With mixture_id, variant, setting, mix_sig and sources_sig.
    estimate : torch.Tensor
        In the order of the model, [batch, time, source].
    order : torch.Tensor
        Which estimate belongs to each reference, [batch, source].
    sources : list of str
        Names of the sources.

    Returns
    -------
    list of Utterance
        Each at its own length, the estimates in the order of the references.
    """
    mixture, lengths = batch.mix_sig
    reference, _ = batch.sources_sig
    order = order.unsqueeze(1).expand_as(estimate)
    estimate = estimate.float().gather(-1, order)
    samples = (lengths * mixture.shape[1]).round().long().tolist()
    return [
        Utterance(
            labels,
            sources,
            estimate=estimate[number, :length].cpu().numpy(),
            reference=reference[number, :length].cpu().numpy(),
            mixture=mixture[number, :length].cpu().numpy(),
        )
        for number, (labels, length) in enumerate(zip(_labels(batch), samples))
    ]


def _labels(batch):
    """ID, variant and setting of each item of a batch."""
    items = zip(batch.mixture_id, batch.variant, batch.setting)
    return [dict(zip(LABELS, item)) for item in items]


def validation_rows(batch, si_sdr):
    """Computes the SI-SDRi from the SI-SDR of a batch, [batch, source], in dB.

    Returns a dict for each source: ID, variant, setting, si_sdri, silent and
    is_floor. Against a silent reference no score is defined, and it is NaN. A
    silent estimate has the floor of the test, which is the bound of the loss.
    """
    mixture, lengths = batch.mix_sig
    reference, _ = batch.sources_sig
    baseline = pairwise_si_sdr(mixture.unsqueeze(-1), reference, lengths)
    silent = reference.abs().amax(1) == 0
    si_sdri = (si_sdr - baseline[:, 0]).masked_fill(silent, torch.nan)
    is_floor = (si_sdr < SILENT_DB + 0.01) & ~silent  # rounding of float32
    columns = [x.tolist() for x in (si_sdri, silent, is_floor)]
    return [
        {**labels, **dict(zip(("si_sdri", "silent", "is_floor"), values))}
        for labels, *items in zip(_labels(batch), *columns)
        for values in zip(*items)
    ]


class Scorer:
    """Scores the utterances of a test and writes them to a run folder.

    Raises ValueError when a metric is unknown or does not take the sample rate.

    Arguments
    ---------
    metrics : list of str
        Out of ``metrics.METRICS``; SI-SDR is always computed.
    task : str
        ES, EB or SB.
    sample_rate : int
        In Hz.
    output_folder : str
        Folder for test_scores.csv and for ``audio``.
    n_jobs : int
        Number of processes; None for the CPU cores of this rank.
    """

    def __init__(self, metrics, task, sample_rate, output_folder, n_jobs=None):
        if not isinstance(metrics, list) or not set(metrics) <= set(METRICS):
            raise ValueError(
                f"metrics: expected a list out of {', '.join(METRICS)}, found "
                f"{metrics!r}; add your own to metrics.py"
            )
        if "pesq" in metrics and sample_rate not in PESQ_RATES:
            raise ValueError(
                f"metrics: pesq is defined at {PESQ_RATES} Hz, sample_rate is "
                f"{sample_rate}; leave pesq out"
            )
        self.metrics = list(dict.fromkeys(["si_sdr", *metrics]))
        self.sources = source_names(task)
        self.sample_rate = sample_rate
        self.output_folder = Path(output_folder)
        ranks = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        self.n_jobs = n_jobs or max(1, get_available_cpu_count() // ranks)
        self.pool = None
        self.pending = deque()
        self.finished = []

    def clear(self):
        """Deletes scores and audio of earlier tests, maybe of another model."""
        for name in ("test_scores.csv", "test_summary.csv"):
            (self.output_folder / name).unlink(missing_ok=True)
        for signal in ("mixture", "estimate_*", "reference_*"):
            for path in (self.output_folder / "audio").glob(f"*_{signal}.wav"):
                path.unlink()

    def submit(self, batch, estimate, order):
        """Begins to score a batch; saves the audio of items with save_audio.

        Arguments are those of ``utterances_of``.
        """
        utterances = utterances_of(batch, estimate, order, self.sources)
        for utterance, is_saved in zip(utterances, batch.save_audio):
            if is_saved:
                self._save_audio(utterance)
            jobs = [
                (signal, reference, self.sample_rate)
                for estimate, reference in zip(
                    utterance.estimate.T, utterance.reference.T
                )
                for signal in (estimate, utterance.mixture)
            ]
            futures = [self._start(*job, self.metrics) for job in jobs]
            self.pending.append((utterance.labels, jobs, futures))
        # The queue is bounded, so a fast model does not fill the memory.
        while len(self.pending) > 16 * self.n_jobs:
            self._finish_oldest()

    def rows(self):
        """Waits for all scores; the scorer is then empty again.

        Returns a list with a dict for each utterance and source, in the order
        of submission.
        """
        while self.pending:
            self._finish_oldest()
        self.close()
        rows, self.finished = self.finished, []
        return rows

    def write(self, rows):
        """Writes the rows of all ranks to test_scores.csv.

        They are sorted, so that the number of ranks does not matter.
        """
        table = pd.DataFrame(rows).round(6)
        order = table["variant"].map(VARIANTS.index)
        table = table.assign(order=order).sort_values(["ID", "order", "source"])
        path = self.output_folder / "test_scores.csv"
        write_csv(table.drop(columns="order"), path)

    def close(self):
        """Ends all processes at once."""
        self.pending.clear()
        if self.pool is not None:
            self.pool.shutdown(kill_workers=True)
            self.pool = None

    def _start(self, *job):
        """Starts a job in the pool; None for SI-SDR, which needs no pool."""
        if self.metrics == ["si_sdr"]:
            return None
        try:
            if self.pool is None:
                self.pool = ProcessPoolExecutor(
                    self.n_jobs,
                    env=THREADS,
                    initializer=end_with,
                    initargs=(os.getpid(),),
                )
            return self.pool.submit(score_signal, *job)
        except BrokenProcessPool:  # broken by an earlier job
            self.pool = None
            return self._start(*job)

    def _result(self, job, future):
        """Waits for a job; repeats it metric by metric if its pool died."""
        if future is None:
            return score_signal(*job, self.metrics)
        try:
            return future.result()
        except BrokenProcessPool:
            # All jobs of the pool fail together; this need not be the culprit.
            scores = {}
        for name in self.metrics:
            try:
                scores.update(self._start(*job, [name]).result())
            except BrokenProcessPool:
                scores[name] = np.nan, DIED
        return scores

    def _finish_oldest(self):
        """Turns the scores of the oldest utterance into rows."""
        labels, jobs, futures = self.pending.popleft()
        results = [self._result(*pair) for pair in zip(jobs, futures)]
        failures = []
        for source, *pair in zip(self.sources, results[::2], results[1::2]):
            row = {**labels, "source": source}
            for name in self.metrics:
                for suffix, scores in zip(("", "_mix"), pair):
                    row[name + suffix], reason = scores[name]
                    if reason:
                        failures.append(f"{source}, {name}{suffix}: {reason}")
                    if reason and suffix:  # floors are for estimates
                        row[name + suffix] = np.nan
                if name == "si_sdr":
                    row["si_sdri"] = row["si_sdr"] - row["si_sdr_mix"]
            self.finished.append(row)
        if failures:
            logger.warning(f"no score for {labels}: {'; '.join(failures)}")

    def _save_audio(self, utterance):
        """Writes signals as 32-bit floats: nothing is clipped or rounded."""
        stem = "{ID}_{variant}".format(**utterance.labels)
        folder = self.output_folder / "audio"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, signal in utterance.signals().items():
                path = folder / f"{stem}_{name.replace(' ', '_')}.wav"
                signal = torch.as_tensor(signal).float()
                audio_io.save(path, signal, self.sample_rate, subtype="FLOAT")
        except (OSError, RuntimeError) as error:
            raise OSError(
                f"save_audio: {error}; free or change {folder}, or set "
                "--save_audio=0"
            ) from error
