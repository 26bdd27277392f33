"""Decisions that all ranks share, in two forked processes."""

import ctypes
import os
import signal

import pytest
import torch
from runs.ranks import all_reduce, end_with_torchrun, run_on_main_or_end

PR_GET_PDEATHSIG = 2  # of Linux's prctl


def codes_of_two(folder, function):
    """Exit codes of two ranks that call a function of their number."""
    children = []
    for rank in (0, 1):
        if (child := os.fork()) == 0:
            try:
                signal.alarm(60)
                os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank))
                torch.distributed.init_process_group(
                    "gloo", f"file://{folder}/store", rank=rank, world_size=2
                )
                function(rank)
                os._exit(0)
            except BaseException as error:
                code = getattr(error, "code", None)
                os._exit(7 if code is None else code)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) for c in children]


def test_numbers_are_reduced_over_all_ranks(tmp_path):
    def reduce(rank):
        """Numbers that differ in each rank; single precision cannot hold one."""
        number = 2**24 + 1 + rank
        assert all_reduce(number, "MAX") == 2**24 + 2
        assert all_reduce(number, "MIN") == 2**24 + 1
        assert all_reduce(number, "SUM") == 2**25 + 3

    assert codes_of_two(tmp_path, reduce) == [0, 0]
    assert all_reduce(True, "SUM") == 1


def test_all_ranks_end_if_the_main_one_fails(tmp_path):
    called = tmp_path / "called"

    def call(rank):
        """Notes who calls it."""
        with called.open("a") as file:
            file.write(str(rank))

    def fail(rank):
        """Raises an error in the main process, at the second call."""
        run_on_main_or_end(call, rank)
        run_on_main_or_end(called.mkdir)

    assert codes_of_two(tmp_path, fail) == [7, 1]
    assert called.read_text() == "0"


@pytest.mark.parametrize("number", [signal.SIGTERM, 0])
def test_a_rank_gets_a_signal_when_torchrun_ends(monkeypatch, number):
    if number:
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    if (child := os.fork()) == 0:
        found = ctypes.c_int()
        end_with_torchrun()
        ctypes.CDLL(None).prctl(PR_GET_PDEATHSIG, ctypes.byref(found))
        os._exit(found.value)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == number
