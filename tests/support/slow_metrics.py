"""Metrics that take their time, added to those of the recipe."""

import time

import metrics


def slow(estimate, reference, sample_rate):
    time.sleep(0.2)
    return 1.0


def endless(estimate, reference, sample_rate):
    time.sleep(600)
    return 1.0


def add():
    metrics.METRICS.update(slow=slow, endless=endless)


def score_signal(*arguments):
    """The recipe's; a process that computes it imports this module."""
    add()
    return metrics.score_signal(*arguments)
