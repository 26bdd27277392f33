"""Peak memory of a system, in a process of its own.

> python benchmark_memory.py '{"name": "ours_fp32", "batch_sizes": [1, 2], ...}'

On a CPU the peak is that of the process's resident memory, which is not set
back: hence a process for each system, and batches in rising order. What
counts as loaded is the process with Python, torch, network and Adam's moments;
what a step adds are signals, gradients and what libraries allocate for their
work, for a compiled system also what compiling takes within the process. On a
CUDA GPU it is what torch has allocated there.

Authors
 * The PolSESS recipe team 2026
"""

import json
import math
import os
import resource
import subprocess
import sys

import torch
from benchmark_machine import GIB, SAFE_SHARE, free_memory, time_calls
from benchmark_systems import System, make_batch, reason
from benchmark_work import Size
from memory import is_out_of_memory

CARD_BYTES = 12 * GIB
MOST_ITEMS = 1024  # where the search for the largest batch ends
TIMEOUT_SECONDS = 1800


def measure_memory(**request):
    """Measures in a fresh process.

    Arguments
    ---------
    **request : object
        The arguments of ``_measure``.

    Returns
    -------
    dict
        loaded (bytes), inference and training (batch size -> bytes, the loaded
        ones among them), first_seconds (of the first forward pass and the first
        step), largest_batch (in 12 GiB), extrapolated (whether that follows
        from the others); problem alone where it fails.
    """
    command = [sys.executable, __file__, json.dumps(request)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"problem": f"no end within {TIMEOUT_SECONDS} s"}
    if done.returncode == 0:
        result = json.loads(done.stdout.splitlines()[-1])
        for kind in {"inference", "training"} & set(result):
            # JSON has no keys but strings.
            result[kind] = {int(k): v for k, v in result[kind].items()}
        return result
    if done.returncode < 0:
        return {
            "problem": "does not fit: the process was ended by signal "
            f"{-done.returncode}"
        }
    return {"problem": (done.stderr.strip() or "unknown").splitlines()[-1]}


def largest_batch(fits):
    """The largest number of items that fits, by trying.

    Arguments
    ---------
    fits : callable
        Number of items -> bool.

    Returns
    -------
    int
        At most MOST_ITEMS.

    Example
    -------
    >>> largest_batch(lambda items: items <= 13)
    13
    """
    high = 1
    while high <= MOST_ITEMS and fits(high):
        high *= 2
    low = high // 2
    while high - low > 1 and low < MOST_ITEMS:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def extrapolated_batch(training):
    """The largest number of items that fits, by a line through two batches.

    Arguments
    ---------
    training : dict
        Batch size -> bytes in all; 0 -> bytes that are loaded. The line goes
        through the two largest.

    Returns
    -------
    int
        0 where not even one item fits.

    Example
    -------
    >>> extrapolated_batch({0: 2 * GIB, 1: 3 * GIB, 2: 5 * GIB})
    5
    """
    if len(training) < 2:
        return 0
    first, last = sorted(training)[-2:]
    slope = (training[last] - training[first]) / (last - first)
    if slope <= 0:  # lost in the noise of a tiny network
        return MOST_ITEMS
    more = math.floor((CARD_BYTES - training[first]) / slope)
    return max(0, min(MOST_ITEMS, first + more))


def _can_reset(device):
    return device.startswith("cuda")


def _peak(device):
    if _can_reset(device):
        return torch.cuda.max_memory_allocated(device)
    if os.path.exists("/proc/self/status"):
        # Not ru_maxrss, which begins with the peak of the parent process.
        with open("/proc/self/status", encoding="utf-8") as file:
            lines = dict(line.split(":", 1) for line in file)
        return 1024 * int(lines["VmHWM"].split()[0])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _reset(device):
    if _can_reset(device):
        torch.cuda.reset_peak_memory_stats(device)


def _measure(
    name,
    size,
    outputs,
    samples,
    device,
    batch_sizes,
    limit_gib=math.inf,
    step_limit=math.inf,
):
    """Runs the system with each batch; see ``measure_memory``."""
    size = Size(**size)
    system = System(name, size, outputs, device)
    system.make_adam_state()
    loaded = _peak(device)
    result = {"loaded": loaded, "inference": {}, "training": {}}
    for batch in sorted(batch_sizes):
        free = free_memory(device, limit_gib)
        item = result["training"].get(1, loaded) - loaded
        # A compiled system needs the second batch: the first one has what
        # compiling takes, in seconds and in bytes.
        slow = result.get("first_seconds", 0) * batch > step_limit
        slow = slow and not system.compiled
        if batch > 1 and (slow or batch * item > SAFE_SHARE * free):
            break
        mixture, reference = make_batch(batch, samples, outputs, device)
        _reset(device)
        try:
            seconds = time_calls(lambda: system.infer(mixture), device)
            # On a CPU the peak of an earlier step would hide it.
            if _can_reset(device) or not result["training"]:
                result["inference"][batch] = _peak(device)
            _reset(device)
            seconds += time_calls(
                lambda: system.train_step(mixture, reference), device
            )
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            break
        result.setdefault("first_seconds", seconds)
        result["training"][batch] = _peak(device)
    result.update(
        _largest(system, outputs, samples, loaded, result["training"])
    )
    return result


def _largest(system, outputs, samples, loaded, training):
    """The largest batch in 12 GiB: tried on a GPU, else extrapolated."""
    device = system.device
    # Each batch would have to be compiled.
    if device.startswith("cuda") and not system.compiled:
        total = torch.cuda.get_device_properties(device).total_memory
        fraction = min(1.0, CARD_BYTES / total)
        torch.cuda.set_per_process_memory_fraction(fraction, device)

        def fits(batch):
            """Whether a training step has enough memory."""
            torch.cuda.empty_cache()
            system.optimizer.zero_grad(set_to_none=True)
            try:
                data = make_batch(batch, samples, outputs, device)
                system.train_step(*data)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                return False
            return True

        return {"largest_batch": largest_batch(fits), "extrapolated": False}
    return {
        "largest_batch": extrapolated_batch({0: loaded, **training}),
        "extrapolated": True,
    }


if __name__ == "__main__":
    wanted = json.loads(sys.argv[1])
    try:
        answer = _measure(**wanted)
    except Exception as error:
        answer = {"problem": reason(error, wanted["name"])}
    print(json.dumps(answer))
