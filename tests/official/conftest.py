"""A small official table and its corpora, which the tests of this room share."""

import official_trees
import pytest


@pytest.fixture(scope="session")
def made(once):
    """Table, list of speakers and corpora; no test changes them."""
    return once("official", official_trees.write_official)
