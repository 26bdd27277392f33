"""Batches of noise for a scorer, and tables of scores as test_scores.csv has them."""

from types import SimpleNamespace

import pandas as pd
import torch
from scoring import Scorer


def batch(number=0, lengths=(800,), sources=1, save_audio=False):
    """Mixtures of these lengths, padded with zeros, by the number.

    Returns the batch and its estimates, [item, time, source].
    """
    generator = torch.Generator().manual_seed(number)
    items, time = len(lengths), max(lengths)
    reference = torch.randn(items, time, sources, generator=generator)
    mixture = reference.sum(-1) + 0.3
    for item, length in enumerate(lengths):
        reference[item, length:] = 0
        mixture[item, length:] = 0
    relative = torch.tensor(lengths) / time
    made = SimpleNamespace(
        mix_sig=(mixture, relative),
        sources_sig=(reference, relative),
        mixture_id=[f"id{number + item}" for item in range(items)],
        variant=["S", "SER", "C"][:items],
        setting=["outdoor", "indoor", "indoor"][:items],
        save_audio=[save_audio] * items,
    )
    return made, reference + 0.1 * reference.flip(1)


def scorer_of(folder, metrics=("si_sdr",), sources=1, n_jobs=1):
    """A scorer of a task with so many sources."""
    task = {1: "ES", 2: "SB"}[sources]
    return Scorer(list(metrics), task, 8000, str(folder), n_jobs)


def submit(scorer, made, estimate):
    """Hands a batch over whose estimates are in the order of the references."""
    order = torch.arange(estimate.shape[-1]).expand(len(estimate), -1)
    scorer.submit(made, estimate, order)


def scores_of(rows, **more):
    """Rows (ID, variant, setting, source, si_sdr, si_sdr_mix)."""
    names = ["ID", "variant", "setting", "source", "si_sdr", "si_sdr_mix"]
    scores = pd.DataFrame(rows, columns=names)
    scores["si_sdri"] = scores["si_sdr"] - scores["si_sdr_mix"]
    return scores.assign(**more)


SMALL = scores_of(
    [
        ("a", "SER", "indoor", "s1", 1.0, 0.0),
        ("b", "SER", "indoor", "s1", 3.0, 0.0),
        ("a", "C", "indoor", "s1", 10.0, 0.0),
        ("c", "C", "outdoor", "s1", 30.0, 0.0),
    ]
)
