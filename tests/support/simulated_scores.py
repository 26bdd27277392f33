"""Scores of simulated corpora whose true mean is known.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np
import pandas as pd

VARIANTS = {"indoor": ["SER", "SR", "ER", "R"], "outdoor": ["SE", "S", "E"]}


def rows_of(values, setting="indoor", variant="SER"):
    """One row a mixture."""
    ids = [f"{setting}{number:06d}" for number in range(len(values))]
    return pd.DataFrame(
        {"ID": ids, "setting": setting, "variant": variant, "x": values}
    )


def corpus(generator, counts, effects):
    """Scores whose rows share what their mixture, and variant, adds.

    Settings differ in size, in mean (indoor 2.5, outdoor 8) and in variance.
    """
    parts = []
    for setting, count in counts.items():
        spread, first = (1, 1) if setting == "indoor" else (3, 7)
        of_mixture = effects(generator, count)
        for number, variant in enumerate(VARIANTS[setting]):
            of_variant = of_mixture + 0.3 * generator.standard_normal(count)
            for _ in ("s1", "s2"):
                noise = 0.5 * generator.standard_normal(count)
                values = first + number + spread * (of_variant + noise)
                parts.append(rows_of(values, setting, variant))
    return pd.concat(parts, ignore_index=True)


def truth_of(counts, kind):
    """The expected mean of a corpus."""
    means = {"indoor": 2.5, "outdoor": 8.0}
    weights = {s: len(VARIANTS[s]) for s in counts}
    if kind == "micro":
        weights = {s: counts[s] * weights[s] for s in counts}
    total = sum(weights.values())
    return sum(weights[s] * means[s] for s in counts) / total


def normal(generator, count):
    return generator.standard_normal(count)


def skewed(generator, count):
    """Gamma, skewness 1.4."""
    return (generator.gamma(2, size=count) - 2) / np.sqrt(2)
