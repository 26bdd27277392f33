"""What the machine can do: rate of products, bandwidth, free memory.

Authors
 * The PolSESS recipe team 2026
"""

import gc
import math
import os
import time

import torch
from benchmark_systems import PRECISIONS
from memory import available_memory
from fast.products import matrices

GIB = 2**30
SAFE_SHARE = 0.95  # of the free memory, which others take too
TRIALS = 7
COPY_BYTES = {"cpu": GIB // 2, "cuda": GIB}  # far more than a cache holds


def synchronise(device):
    """Waits until a GPU has done what it was given.

    Arguments
    ---------
    device : str
        Nothing is done for a CPU.
    """
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def time_calls(function, device, calls=1):
    """Seconds of a call.

    Arguments
    ---------
    function : callable
        Without arguments.
    device : str
        Where it computes.
    calls : int
        Over how many the time is averaged.

    Returns
    -------
    float
        In seconds.
    """
    synchronise(device)
    start = time.perf_counter()
    for _ in range(calls):
        function()
    synchronise(device)
    return (time.perf_counter() - start) / calls


def _best(function, device):
    """Seconds of the fastest call of several, after one that warms up."""
    first = max(time_calls(function, device), 1e-6)
    calls = min(100, math.ceil(0.02 / first))  # short ones are timed together
    return min(time_calls(function, device, calls) for _ in range(TRIALS))


def measure_matrix_rate(size, frames, precision, device):
    """Operations a second of products like those of the network.

    On a CPU without instructions for 16 bits they are made in float32, as by the
    network, see ``products.matrices``.

    Arguments
    ---------
    size : benchmark_work.Size
        Of the network.
    frames : list of int
        Columns of the products that are tried.
    precision : str
        fp32, bf16 or fp16.
    device : str
        Where it computes.

    Returns
    -------
    float
        Of the best product of [H, B] and [B, frames].
    """
    kind = {"dtype": PRECISIONS[precision], "device": device}
    weight = torch.randn(1, size.H, size.B, **kind)
    rates = []
    for columns in frames:
        signal = torch.randn(1, size.B, columns, **kind)
        result = torch.empty(1, size.H, columns, **kind)
        seconds = _best(lambda: matrices(weight, signal, result), device)
        rates.append(2 * size.H * size.B * columns / seconds)
    return max(rates)


def measure_bandwidth(device):
    """Bytes a second that a large copy reads and writes.

    Arguments
    ---------
    device : str
        Whose memory is measured.

    Returns
    -------
    float
        Twice the bytes copied, over the seconds.
    """
    n_bytes = COPY_BYTES[torch.device(device).type]
    source = torch.ones(n_bytes, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    return 2 * n_bytes / _best(lambda: target.copy_(source), device)


def free_memory(device, limit_gib=math.inf):
    """Bytes that may be taken, once this process has given back what it freed.

    Arguments
    ---------
    device : str
        Whose memory is asked for.
    limit_gib : float
        No more than this, in GiB.

    Returns
    -------
    float
        As far as the system tells it.
    """
    if device.startswith("cuda"):
        gc.collect()
        torch.cuda.empty_cache()
        free = torch.cuda.mem_get_info(device)[0]
    else:
        free = available_memory()
    if free is None:
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(free, limit_gib * GIB)
