"""Sources and a corpus that the tests of this room share."""

import pytest
from own_sources import make, write_sources


@pytest.fixture(scope="session")
def own(once):
    """The table of a user's own sources; no test changes them."""
    return once("own", write_sources) / "sources.csv"


@pytest.fixture(scope="session")
def corpus(once, own):
    """A corpus made of them; no test changes it."""
    return once("simulated", lambda f: make(f / "Mini", sources=own)) / "Mini"
