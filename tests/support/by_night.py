"""Rows of a table of cases that run by night only."""

import pytest


def by_night(*rows):
    """Parameters marked nightly; a row is a tuple, or a single value."""
    return [
        pytest.param(
            *(row if isinstance(row, tuple) else (row,)),
            marks=pytest.mark.nightly,
        )
        for row in rows
    ]


def sampled(rows, is_in_sample):
    """All rows, of which only a sample is not for the night."""
    return [row if is_in_sample(row) else by_night(row)[0] for row in rows]
