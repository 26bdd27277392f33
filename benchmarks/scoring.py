"""Time of the scoring of a test against a loop with torchmetrics.

> python benchmarks/scoring.py bench results/scoring

Both compute SI-SDR, SDR, PESQ, STOI and ESTOI of estimates and mixtures of the
same batches. The loop stands for common practice: one signal after the other.

Authors
 * The PolSESS recipe team 2026
"""

import itertools
import tempfile
import time

import numpy as np
import torch
from common import (
    add_ratios,
    load_data,
    make_corpus,
    parse,
    spread_table,
    write_results,
)
from torchmetrics.functional import audio

METRICS = ["si_sdr", "sdr", "pesq", "stoi", "estoi"]
TASK = "SB"


def load_batches(corpus):
    """Test batches of one mixture, each with estimates [1, time, source].

    An estimate is its reference with a third of what the mixture adds to it.
    """
    from speechbrain.dataio.batch import PaddedBatch

    variants = ["SER", "SE"]
    dataset, _ = load_data(corpus, "test", task=TASK, test_variants=variants)
    batches = [PaddedBatch([item]) for item in dataset]
    for batch in batches:
        sources = batch.sources_sig.data
        mixture = batch.mix_sig.data[..., None]
        yield batch, sources + (mixture - sources) / 3


def run_loop(batches):
    """Scores by torchmetrics, [signal, metric]; of each source its estimate,
    then the mixture."""
    scores = []
    for batch, estimates in batches:
        for number in range(estimates.shape[-1]):
            reference = batch.sources_sig.data[0, :, number]
            for signal in (estimates[0, :, number], batch.mix_sig.data[0]):
                pair = (signal, reference)
                stoi = audio.short_time_objective_intelligibility
                si_sdr = audio.scale_invariant_signal_distortion_ratio
                pesq = audio.perceptual_evaluation_speech_quality
                row = [
                    si_sdr(*pair, zero_mean=True),
                    audio.signal_distortion_ratio(*pair),
                    pesq(*pair, 8000, "nb"),
                    stoi(*pair, 8000),
                    stoi(*pair, 8000, extended=True),
                ]
                scores.append([float(score) for score in row])
    return np.array(scores)


def run_scorer(batches, n_jobs):
    """The same scores by the recipe's scorer with that many processes."""
    from scoring import Scorer

    with tempfile.TemporaryDirectory() as folder:
        scorer = Scorer(METRICS, TASK, 8000, folder, n_jobs=n_jobs)
        for batch, estimates in batches:
            order = torch.arange(estimates.shape[-1])[None]
            scorer.submit(batch, estimates, order)
        rows = scorer.rows()
        scorer.close()
    columns = [[f"{name}{end}" for name in METRICS] for end in ("", "_mix")]
    return np.array([[row[c] for c in cs] for row in rows for cs in columns])


def main():
    """Measures and writes."""
    options = parse(
        __doc__, "work_folder output_folder", mixtures=150, rounds=5
    )
    corpus = options.work_folder / f"scoring_{options.mixtures}/PolSESS"
    make_corpus(corpus, n_test=options.mixtures)
    batches = list(load_batches(corpus))
    ways = {
        "loop with torchmetrics": run_loop,
        "recipe, 1 process": lambda x: run_scorer(x, 1),
        "recipe, a process for each core": lambda x: run_scorer(x, None),
    }
    rows, scores = [], {}
    for number, way in itertools.product(range(options.rounds), ways):
        start = time.perf_counter()
        scores[way] = ways[way](batches)
        ms = 1000 * (time.perf_counter() - start) / len(batches)
        rows.append({"round": number, "way": way, "ms_per_mixture": ms})
        print(rows[-1], flush=True)
    loop, recipe, _ = scores.values()
    add_ratios(rows, "ms_per_mixture", ["round"], way=next(iter(ways)))
    difference = zip(METRICS, np.abs(loop - recipe).max(0))
    text = (
        f"{len(batches)} mixtures of two sources; median (range) of "
        f"{options.rounds} rounds in turn, the start of the processes included; "
        "*times* is against the loop in the same round. Largest difference of a "
        f"score: {', '.join(f'{name} {x:.1g}' for name, x in difference)}."
    )
    digits = {"ms_per_mixture": 0, "times ms_per_mixture": 2}
    table = spread_table(rows, ["way"], **digits)
    title = "Scoring: the recipe against a loop with torchmetrics"
    write_results(options.output_folder, title, [table, text], rows)


if __name__ == "__main__":
    main()
