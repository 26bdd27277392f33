"""Utterances of noise, metrics of one's own, and a cache with one score."""

import importlib
import sys

import numpy as np
from baselines import BaselineCache
from metrics import si_sdr
from scoring import Scorer
from scoring import Utterance

SIGNAL = np.linspace(-1, 1, 800, dtype="float32")


def utterance(number=0, sources=1, first=None):
    """Noise whose content is a function of the number.

    The estimates begin with a sample of the value first, if given; mixtures
    begin with another.
    """
    generator = np.random.default_rng(number)
    reference = generator.standard_normal((800, sources)).astype("float32")
    estimate = reference + np.float32(0.1) * reference[::-1]
    if first is not None:
        estimate[0] = first
    names = [f"s{source + 1}" for source in range(sources)]
    labels = {"ID": f"id{number}", "variant": "S", "setting": "outdoor"}
    mixture = reference.sum(-1) + np.float32(0.3)
    return Utterance(labels, names, estimate, reference, mixture)


def score(metrics, *utterances, folder=None, n_jobs=1):
    """The rows of utterances, with this folder of the cache."""
    scorer = Scorer(metrics, 8000, folder, n_jobs)
    for one in utterances:
        scorer.submit(one)
    return scorer.rows()


def import_written(folder, name, text, monkeypatch):
    """Writes a module into a folder and imports it, for processes too."""
    (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, name, raising=False)
    importlib.invalidate_caches()
    return importlib.import_module(name)


def fill(folder, metric=si_sdr, failure=None):
    """Puts a score of SIGNAL against itself, 0.1, or a failure into a cache."""
    cache = BaselineCache(folder)
    known = cache.look_up(SIGNAL, SIGNAL, 8000, {"name": metric})
    cache.add(known, {"name": (np.nan if failure else 0.1, failure)})
    cache.save()


def find(folder, metric=si_sdr, mixture=SIGNAL, reference=SIGNAL, rate=8000):
    """What a cache newly opened has for signals: (score, failure) or None."""
    cache = BaselineCache(folder)
    known = cache.look_up(mixture, reference, rate, {"name": metric})
    cache.save()
    return known.scores.get("name")
