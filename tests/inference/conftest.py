"""A run for SB, which no test changes."""

import pytest
import torch
from made_runs import make_run


@pytest.fixture(scope="session")
def run_of_sb(tmp_path_factory):
    """Its folder and its network."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return folder, make_run(folder, task="SB")
