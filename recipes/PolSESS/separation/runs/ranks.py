"""Collective operations across ranks.

Authors
 * The PolSESS recipe team 2026
"""

import ctypes
import os
import signal
import sys

import torch

from speechbrain.utils.distributed import (
    if_main_process,
    is_distributed_initialized,
)

PR_SET_PDEATHSIG = 1  # of Linux's prctl


def all_reduce(number, operation):
    """Reduces one number of each rank.

    Arguments
    ---------
    number : float
        Number of this rank.
    operation : str
        MAX, MIN or SUM.

    Returns
    -------
    float
        The same in all ranks.

    Example
    -------
    >>> all_reduce(15, "MAX")
    15.0
    """
    number = torch.tensor(float(number), dtype=torch.float64)
    if is_distributed_initialized():
        if torch.distributed.get_backend() == "nccl":
            number = number.cuda()
        reduce_op = getattr(torch.distributed.ReduceOp, operation)
        torch.distributed.all_reduce(number, reduce_op)
    return number.item()


def run_on_main_or_end(function, *arguments):
    """Runs a function on the main process; all ranks end if it fails.

    ``speechbrain.utils.distributed.run_on_main`` lets the other ranks go on.

    Arguments
    ---------
    function : callable
        Run on the main process only.
    *arguments : tuple
        Its arguments.
    """
    error = None
    if if_main_process():
        try:
            function(*arguments)
        except Exception as caught:
            error = caught
    failed = all_reduce(error is not None, "MAX")
    if error is not None:
        raise error
    if failed:
        raise SystemExit(1)  # The main process says why.


def end_with_torchrun():
    """Lets this process end, with a checkpoint, when torchrun is killed.

    When torchrun is killed, or ended by a signal that it does not pass on, such
    as SIGUSR1, its processes train on. On Linux they get SIGTERM instead.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        end_with_parent()


def end_with_parent():
    """Lets Linux send SIGTERM to this process when its parent ends."""
    if sys.platform == "linux":
        number = ctypes.c_ulong(signal.SIGTERM)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
