"""A corpus to audit."""

import pytest
from made_corpus import MadeCorpus


@pytest.fixture
def corpus(tmp_path):
    """Of 4 + 2 + 2 mixtures."""
    return MadeCorpus(tmp_path)
