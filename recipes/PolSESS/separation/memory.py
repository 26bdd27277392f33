"""How much memory a Linux system has left, and an error where it ends.

Authors
 * The PolSESS recipe team 2026
"""

import contextlib
import ctypes
import gc
import os

import torch


def proc_bytes(path, name):
    """What a table of /proc says.

    Arguments
    ---------
    path : str
        /proc/meminfo or /proc/self/status.
    name : str
        Of the field.

    Returns
    -------
    int
        In bytes; None where the system does not tell.
    """
    try:
        with open(path, encoding="utf-8") as file:
            lines = dict(line.split(":", 1) for line in file)
        return 1024 * int(lines[name].split()[0])
    except (OSError, KeyError, ValueError):
        return None


def available_memory():
    """Memory that may be taken before the system begins to swap.

    What this process has freed is given back first.

    Returns
    -------
    int
        In bytes; None where the system does not tell.
    """
    gc.collect()
    if os.path.exists("/proc/meminfo"):
        # glibc keeps gigabytes of what was freed; others have no such function.
        getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)(0)
    return proc_bytes("/proc/meminfo", "MemAvailable")


@contextlib.contextmanager
def memory_limit():
    """Makes asking for more memory than there is an error, on Linux.

    Otherwise Linux grants it, and kills the process that uses it. Swap counts as
    memory; the processes of torchrun on this machine share it. A lower limit
    stays.

    Yields
    ------
    int
        The limit on the data of this process in bytes, None where there is none.
    """
    torch.ones(2**20).sum()  # threads that start later would count
    available = available_memory()
    used = proc_bytes("/proc/self/status", "VmData")
    if available is None or used is None:
        yield None
        return
    import resource  # not on Windows

    before = resource.getrlimit(resource.RLIMIT_DATA)
    available += proc_bytes("/proc/meminfo", "SwapFree") or 0
    limit = used + available // int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    limit = min([limit, *(n for n in before if n != resource.RLIM_INFINITY)])
    resource.setrlimit(resource.RLIMIT_DATA, (limit, before[1]))
    try:
        yield limit
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
