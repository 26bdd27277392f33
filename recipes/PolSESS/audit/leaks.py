"""Lists the rows that share speakers, recordings or scenes with another split.

The preparation counts them.

Authors
 * The PolSESS recipe team 2026
"""

import itertools
from collections import defaultdict

from prepare_polsess import SHARED, Finding


def list_leaks(rows):
    """Finds the rows that share something with an earlier split.

    Arguments
    ---------
    rows : list of dict
        The rows of all splits.

    Returns
    -------
    findings : list of Finding
        One for each row of the later split, and each value.
    """
    by_split = defaultdict(list)
    for row in rows:
        by_split[row["split"]].append(row)
    findings = []
    for (earlier, before), (_, after) in itertools.combinations(
        by_split.items(), 2
    ):
        for kind, keys in SHARED.items():
            known = {row[key] for row in before for key in keys} - {""}
            findings += [
                Finding(
                    f"shared {kind}",
                    *row["place"],
                    "",
                    f"none of {earlier}",
                    value,
                )
                for row in after
                for value in sorted(known & {row[key] for key in keys})
            ]
    return findings
