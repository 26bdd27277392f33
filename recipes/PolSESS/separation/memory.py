"""How much memory there is left on Linux, and errors where it ends.

Authors
 * The PolSESS recipe team 2026
"""

import contextlib
import ctypes
import gc
import math
import os
import pathlib

import torch

from speechbrain.utils.distributed import ddp_barrier

# How torch, oneDNN, cuBLAS and cuDNN say that there is no memory, where they do
# not use torch's class for it.
OUT_OF_MEMORY = (
    "out of memory",
    "alloc_failed",
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "could not create a primitive",
    "could not create a memory",
)

# The files of a control group, its limit and what it uses, by version.
GROUP_FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    2: ("memory.max", "memory.current"),
}
# What of that can be dropped: files, and names of files. Version 1 has those of
# the groups within under names of their own.
CACHE = {
    1: ("total_inactive_file", "total_active_file"),
    2: ("inactive_file", "active_file", "slab_reclaimable"),
}


def is_out_of_memory(error):
    """Whether an error says that there is not enough memory.

    Arguments
    ---------
    error : Exception
        Of a step.

    Returns
    -------
    bool

    Example
    -------
    >>> is_out_of_memory(RuntimeError("CUDNN_STATUS_ALLOC_FAILED"))
    True
    """
    kinds = (torch.OutOfMemoryError, MemoryError)
    text = str(error).lower()
    return isinstance(error, kinds) or any(t in text for t in OUT_OF_MEMORY)


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


def _group_folders(table, root):
    """Version and folder of each control group that this process is in."""
    for line in pathlib.Path(table).read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        version = 1 if controllers else 2
        if version == 1 and "memory" not in controllers.split(","):
            continue
        base = pathlib.Path(root, "memory" if version == 1 else "")
        folder = base / path.lstrip("/")
        # In a container the path may be that of the host, its root is seen here.
        yield from ((version, f) for f in (folder, *folder.parents))


def _left_in_group(version, folder):
    limit, used = GROUP_FILES[version]
    try:
        limit = int((folder / limit).read_text(encoding="utf-8"))
        used = int((folder / used).read_text(encoding="utf-8"))
        lines = (folder / "memory.stat").read_text(encoding="utf-8")
        statistics = dict(line.split() for line in lines.splitlines())
        cached = sum(int(statistics.get(name, 0)) for name in CACHE[version])
        return max(0, limit - used + cached)
    except (OSError, ValueError):  # "max" is no number
        return math.inf


def group_memory(table="/proc/self/cgroup", root="/sys/fs/cgroup"):
    """Memory that the container, or the job of a cluster, may still take.

    The tightest of the control groups around this process counts. Files that are
    kept in memory do not: they are dropped when memory is asked for.

    Arguments
    ---------
    table : str
        The groups of this process, see cgroups(7).
    root : str
        Where the groups are mounted.

    Returns
    -------
    float
        In bytes; infinite where there is no limit.
    """
    try:
        groups = set(_group_folders(table, root))
    except (OSError, ValueError):
        return math.inf
    return min((_left_in_group(*g) for g in groups), default=math.inf)


def available_memory(with_swap=False):
    """Memory that this process may take before the system swaps, or kills it.

    What this process has freed is given back first. The limit of a control group
    (a container, a job of Slurm) counts, see ``group_memory``.

    Arguments
    ---------
    with_swap : bool
        Whether free swap counts too; never beyond the limit of the group.

    Returns
    -------
    int
        In bytes; None where the system does not tell.
    """
    gc.collect()
    if os.path.exists("/proc/meminfo"):
        # glibc keeps gigabytes of what was freed; others have no such function.
        getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)(0)
    available = proc_bytes("/proc/meminfo", "MemAvailable")
    if available is None:
        return None
    if with_swap:
        available += proc_bytes("/proc/meminfo", "SwapFree") or 0
    return min(available, group_memory())


@contextlib.contextmanager
def memory_limit():
    """Makes asking for more memory than there is an error, on Linux.

    Otherwise Linux grants it, and kills the process that uses it. Swap counts as
    memory, but not beyond the limit of a container; the processes of torchrun on
    this machine share it. A lower limit stays.

    Yields
    ------
    int
        The limit on the data of this process in bytes, None where there is none.
    """
    torch.ones(2**20).sum()  # threads that start later would count
    ddp_barrier()  # what another process tries would count too
    available = available_memory(with_swap=True)
    used = proc_bytes("/proc/self/status", "VmData")
    ddp_barrier()
    if available is None or used is None:
        yield None
        return
    import resource  # not on Windows

    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit = used + available // int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    limit = min([limit, *(n for n in before if n != resource.RLIM_INFINITY)])
    resource.setrlimit(resource.RLIMIT_DATA, (limit, before[1]))
    try:
        yield limit
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
