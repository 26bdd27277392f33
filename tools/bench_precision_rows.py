"""Reads what a training of bench_precision.py came to.

Authors
 * The PolSESS recipe team 2026
"""

import json
import re
import statistics
import sys

import yaml

from speechbrain.utils.checkpoints import CKPT_PREFIX

LAST_FILE = "test_summary.md"  # where it stands, a training is complete


def best_si_sdri(output):
    """The best validation SI-SDRi in dB, and its epoch, with all digits.

    Arguments
    ---------
    output : pathlib.Path
        Of a training.

    Returns
    -------
    si_sdri : float
        Of the checkpoints that are kept, the best one among them.
    epoch : int
        Of that checkpoint.
    """
    metas = [
        yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in output.glob(f"save/{CKPT_PREFIX}+*/CKPT.yaml")
    ]
    # Those within an epoch have no score.
    scores = [(m["si_sdri"], m["epoch"]) for m in metas if "si_sdri" in m]
    if not scores:
        sys.exit(f"{output}: no checkpoint with a score")
    return max(scores)


def speed_and_skips(log):
    """Median mixtures a second, and steps without finite gradients.

    Arguments
    ---------
    log : str
        The text of train_log.txt.

    Returns
    -------
    items_per_second : float
        Median of the epochs.
    skipped : int
        Sum over the epochs.

    Example
    -------
    >>> log = (
    ...     "train nonfinite_gradient_steps: 1, train items_per_second: 24.5\\n"
    ... )
    >>> speed_and_skips(log)
    (24.5, 1)
    """
    speeds = re.findall(r"train items_per_second: ([\d.]+)", log)
    skipped = re.findall(r"train nonfinite_gradient_steps: (\d+)", log)
    return statistics.median(map(float, speeds)), sum(map(int, skipped))


def row_of(output, precision, seed, threads):
    """What a training came to."""
    si_sdri, epoch = best_si_sdri(output)
    log = (output / "train_log.txt").read_text(encoding="utf-8")
    start = max(output.glob("record/start-*.json"))  # the last one
    start = json.loads(start.read_text(encoding="utf-8"))
    speed, skipped = speed_and_skips(log)
    return {
        "seed": seed,
        "precision": precision,
        "threads": threads,
        "si_sdri": si_sdri,
        "best_epoch": epoch,
        "items_per_second": speed,
        "nonfinite_steps": skipped,
        "commit": start["commit"],
    }
