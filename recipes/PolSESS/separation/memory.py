"""How much memory a Linux system has left, and an error where it ends.

Authors
 * The PolSESS recipe team 2026
"""

import contextlib
import ctypes
import gc
import os

KIB = 2**10


def _fields(path, *names):
    """Bytes that a table of /proc gives, in the sum; 0 for what it lacks."""
    with open(path, encoding="utf-8") as file:
        lines = dict(line.split(":", 1) for line in file)
    return sum(KIB * int(lines[n].split()[0]) for n in names if n in lines)


def available_memory():
    """Memory that may be taken before the system begins to swap.

    What this process has freed is given back first.

    Returns
    -------
    int
        In bytes; None where there is no /proc/meminfo.
    """
    if not os.path.exists("/proc/meminfo"):
        return None
    gc.collect()
    # glibc keeps gigabytes of what was freed; others have no such function.
    getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)(0)
    return _fields("/proc/meminfo", "MemAvailable")


@contextlib.contextmanager
def memory_limit():
    """Makes asking for more memory than there is an error, on Linux.

    Otherwise Linux grants it, and kills the process that uses it. Swap counts as
    memory. A limit that is lower already stays.

    Yields
    ------
    int
        The limit on the data of this process in bytes, None where there is none.
    """
    available = available_memory()
    if available is None:
        yield None
        return
    import resource  # not on Windows

    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit = available + _fields("/proc/meminfo", "SwapFree")
    limit += _fields("/proc/self/status", "VmData")
    lower = [n for n in before if n != resource.RLIM_INFINITY]
    limit = min([limit, *lower])
    resource.setrlimit(resource.RLIMIT_DATA, (limit, before[1]))
    try:
        yield limit
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
