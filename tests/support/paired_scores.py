"""Scores of runs that differ by known gains.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np
import pandas as pd

ROWS = [
    (f"{setting}{number:02d}", variant, setting)
    for setting, count, variants in (
        ("indoor", 12, ("SER", "R")),
        ("outdoor", 4, ("S",)),
    )
    for number in range(count)
    for variant in variants
]


def scores_of(gains, sources=("s1",), seed=0):
    """A run whose SI-SDRi is above 5 dB by a gain for each row."""
    generator = np.random.default_rng(seed)
    table = pd.DataFrame(ROWS, columns=["ID", "variant", "setting"])
    table["source"] = [list(sources)] * len(table)
    table["gain"] = gains
    table = table.explode("source", ignore_index=True)
    table["si_sdr_mix"] = np.random.default_rng(9).normal(size=len(table))
    table["si_sdri"] = 5 + table.pop("gain")
    table["si_sdr"] = table["si_sdri"] + table["si_sdr_mix"]
    labels = ["ID", "variant", "setting", "source"]
    columns = [*labels, "si_sdr", "si_sdr_mix", "si_sdri"]
    table = table[columns].assign(pesq_mix=1.0)
    table["pesq"] = 2 + generator.random(len(table))
    return table.sort_values(labels, ignore_index=True)


def lines_of(table, score="si_sdri"):
    table = table[table["score"] == score]
    return table.set_index(["variant", "setting"])


GAINS = [{"SER": 1.0, "R": 3.0, "S": -1.0}[variant] for _, variant, _ in ROWS]
