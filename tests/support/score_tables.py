"""Tables of scores as test_scores.csv has them."""

import pandas as pd


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
