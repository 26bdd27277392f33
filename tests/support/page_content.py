"""The content of a report: three variants, two sources, thirty mixtures."""

import numpy as np
import pandas as pd
from reporting.media import sound_and_picture
from reporting.page import write_page

RATE = 8000  # Hz
GROUPS = [("SER", "indoor"), ("R", "indoor"), ("SE", "outdoor")]
SCORES = ("si_sdr", "si_sdr_mix", "si_sdri", "pesq", "pesq_mix")


def score_rows():
    """Rows of test_scores.csv; one PESQ failed."""
    generator = np.random.default_rng(0)
    rows = []
    for number in range(30):
        variant, setting = GROUPS[number % 3]
        for source in ("s1", "s2"):
            mixture, gain = generator.normal(0, 3), generator.normal(9, 3)
            rows.append(
                [f"mixture{number}", variant, setting, source]
                + [mixture + gain, mixture, gain, 1.5 + gain / 20, 1.2]
            )
    names = ["ID", "variant", "setting", "source", *SCORES]
    scores = pd.DataFrame(rows, columns=names)
    scores.loc[0, "pesq"] = np.nan
    return scores


def summary_row(labels, rows):
    """One row of the summary; the interval is not what the recipe computes."""
    row = {**labels, "n": len(rows), "mixtures": rows["ID"].nunique()}
    for name in SCORES:
        row[f"{name}_failures"] = int(rows[name].isna().sum())
        row[f"{name}_mean"] = mean = rows[name].mean()
        row[f"{name}_median"] = rows[name].dropna().median()
        row[f"{name}_std"] = rows[name].std()
        row[f"{name}_ci_low"], row[f"{name}_ci_high"] = mean - 0.5, mean + 0.6
    return row


def summary_of(scores):
    """A row for each variant, for C, which no mixture has, and the means."""
    table = []
    for variant, setting in [*GROUPS, ("C", "")]:
        part = scores[scores["variant"] == variant]
        labels = {"variant": variant, "setting": setting}
        table.append(summary_row(labels, part))
    for name in ("macro mean", "micro mean"):
        table.append(summary_row({"variant": name, "setting": ""}, scores))
    return pd.DataFrame(table)


def strata_of(scores):
    """Dogs, often; cats, seldom."""
    parts = {"dog": scores[:55], "cat": scores[55:]}
    return pd.DataFrame(
        summary_row(
            {"stratum": "event_class", "value": value, "few": len(part) < 10},
            part,
        )
        for value, part in parts.items()
    )


def example(variant, setting, rule, seconds=1.5, gain=1):
    """An example of one speaker, as make_examples returns it."""
    time = np.arange(round(seconds * RATE)) / RATE
    tone = 0.5 * np.sin(2 * np.pi * 440 * time)
    noise = gain * np.random.default_rng(0).uniform(-0.5, 0.5, len(time))
    signals = {"mixture": noise, "estimate s1": tone, "reference s1": tone}
    return {
        "mixture_id": f"{variant}-{setting}-{rule}",
        "variant": variant,
        "setting": setting,
        "rule": rule,
        "scores": {"si_sdri s1": -7.25, "pesq s1": np.nan},
        **sound_and_picture(signals, RATE),
    }


EXAMPLES = [
    example(*group, rule, seconds=1.5 + index / 10)
    for index, group in enumerate(GROUPS)
    for rule in ("median", "worst")
]


CURVE = pd.DataFrame({"epoch": [1, 2, 3], "si_sdri": [1.0, 3.0, 2.0]})
CURVE = CURVE.assign(ci_low=0.5, ci_high=3.5, train_loss=[-1.0, -3.0, -4.0])


def write(path, **changes):
    """Writes a page, with changes of its content."""
    scores = score_rows()
    content = {
        "facts": {"System": "tiny.yaml", "Task": "SB, separate both"},
        "yaml": "lr: 0.001 # < 1\n",
        "summary": summary_of(scores),
        "scores": scores,
        "strata": strata_of(scores),
        "curve": CURVE,
        "examples": EXAMPLES,
        "no_examples": "",
        "notes": ["1 of 60 rows has no PESQ."],
    }
    write_page(path, **{**content, **changes})
