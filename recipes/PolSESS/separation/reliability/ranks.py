"""What the processes of a distributed run tell one another.

Authors
 * The PolSESS recipe team 2026
"""

import ctypes
import os
import signal
import sys

import torch

from speechbrain.utils.distributed import is_distributed_initialized

DEATH_SIGNAL = 1  # Linux's PR_SET_PDEATHSIG


def end_with_torchrun():
    """Lets this process end, with a checkpoint, when torchrun is killed.

    Killed, or ended by a signal that it does not pass on, such as SIGUSR1,
    torchrun leaves its processes alone, which train on. With this, where Linux
    is the system, they get SIGTERM.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ and sys.platform == "linux":
        number = ctypes.c_ulong(signal.SIGTERM)
        ctypes.CDLL(None).prctl(DEATH_SIGNAL, number)


def gathered(rows):
    """The rows of all processes.

    Arguments
    ---------
    rows : list
        Of this process.

    Returns
    -------
    list
        The same in all processes.

    Example
    -------
    >>> gathered([1, 2])
    [1, 2]
    """
    if not is_distributed_initialized():
        return rows
    parts = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, rows)
    return [row for part in parts for row in part]


def agreed(number, reduce):
    """One number out of those of all processes.

    Arguments
    ---------
    number : float
        Of this process.
    reduce : str
        MAX, MIN or SUM.

    Returns
    -------
    float
        The same in all processes.

    Example
    -------
    >>> agreed(15, "MAX")
    15.0
    """
    number = torch.tensor(float(number), dtype=torch.float64)
    if is_distributed_initialized():
        if torch.distributed.get_backend() == "nccl":
            number = number.cuda()
        operation = getattr(torch.distributed.ReduceOp, reduce)
        torch.distributed.all_reduce(number, operation)
    return number.item()
