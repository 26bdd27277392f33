"""Batches of noise and their scores.

Authors
 * The PolSESS recipe team 2026
"""

from types import SimpleNamespace

import numpy as np
import torch
from scoring import Scorer


def batch(number=0, sources=1, samples=800, first=None, save_audio=False):
    """One mixture whose content is a function of the number.

    Returns the batch and its estimate, [1, time, source], which begins with
    the value first, if given; mixtures begin with another.
    """
    generator = np.random.default_rng(number)
    reference = generator.standard_normal((samples, sources)).astype("float32")
    estimate = reference + np.float32(0.1) * reference[::-1]
    if first is not None:
        estimate[0] = first
    lengths = torch.ones(1)
    mixture = torch.from_numpy(reference.sum(-1) + np.float32(0.3))
    made = SimpleNamespace(
        mix_sig=(mixture[None], lengths),
        sources_sig=(torch.from_numpy(reference)[None], lengths),
        mixture_id=[f"id{number}"],
        variant=["S"],
        setting=["outdoor"],
        save_audio=[save_audio],
    )
    return made, torch.from_numpy(estimate)[None]


def scorer_of(folder, metrics=("si_sdr",), sources=1, n_jobs=1):
    """A scorer of a task with so many sources."""
    task = {1: "ES", 2: "SB"}[sources]
    return Scorer(list(metrics), task, 8000, str(folder), n_jobs)


def submit(scorer, made, estimate):
    """Hands a batch over whose estimates are in the order of the references."""
    order = torch.arange(estimate.shape[-1])[None]
    scorer.submit(made, estimate, order)
