"""Metrics that take their time."""

import time


def slow(estimate, reference, sample_rate):
    """Half a second."""
    time.sleep(0.5)
    return 1.0


def endless(estimate, reference, sample_rate):
    """Longer than anyone waits."""
    time.sleep(60)
    return 1.0
