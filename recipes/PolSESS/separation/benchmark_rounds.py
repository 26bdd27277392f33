"""One task and batch size of ``benchmark.py``: all systems take turns.

Authors
 * The PolSESS recipe team 2026
"""

import math
import statistics
import time

import torch
from benchmark_machine import GIB, SAFE_SHARE, free_memory, time_calls
from benchmark_systems import System, make_batch, reason
from benchmark_work import count_bytes, count_flop
from variants import num_outputs

LEAST_ROUNDS = 2  # where the time is over
SLOW_SHARE = 0.5  # of a case's seconds: a step of more has one turn
TURN_SECONDS = 0.1  # calls are repeated until a turn takes so long
WARM_UP_SECONDS = 1.0
MOST_CALLS = 20


def why_not(options, batch, memory, item_seconds):
    """Why a system is left out; None where it is not.

    Arguments
    ---------
    options : argparse.Namespace
        Device and limits.
    batch : int
        Number of items.
    memory : dict
        What ``measure_memory`` returned for the system.
    item_seconds : float
        What an item of a training step took in a smaller batch; 0 if unknown.

    Returns
    -------
    str
        The reason, as the table shows it.
    """
    if "problem" in memory:
        return memory["problem"]
    added = {b: n - memory["loaded"] for b, n in memory["training"].items()}
    free = free_memory(options.device, options.memory_limit_gib)
    if not added:
        return f"does not fit: {free / GIB:.1f} GiB are free"
    last = max(added)
    needed = added.get(batch, added[last] / last * batch)
    if needed >= SAFE_SHARE * free:
        return (
            f"does not fit: needs {needed / GIB:.1f} GiB, "
            f"{free / GIB:.1f} GiB are free"
        )
    if item_seconds * batch > options.step_limit:
        return f"left out: a step would take about {item_seconds * batch:.0f} s"
    return None


def warm_up(system, mixture, reference):
    """Calls of a training step and of a forward pass that make up a turn."""
    calls = {}
    for kind in ("training", "inference"):
        step = step_of(system, kind, mixture, reference)
        spent = [time_calls(step, system.device)]
        while len(spent) < MOST_CALLS and (
            sum(spent) < WARM_UP_SECONDS or system.compiled and len(spent) < 3
        ):
            spent.append(time_calls(step, system.device))
        calls[kind] = min(MOST_CALLS, math.ceil(TURN_SECONDS / spent[-1]))
    return calls


def step_of(system, kind, mixture, reference):
    """The function to be timed."""
    if kind == "training":
        return lambda: system.train_step(mixture, reference)
    return lambda: system.infer(mixture)


def take_turns(options, systems, mixture, reference):
    """Rounds in which each system has its turn, a slow one in the first alone.

    Arguments
    ---------
    options : argparse.Namespace
        Device, number of rounds and seconds after which no further one begins.
    systems : dict
        Name -> (system, calls of a turn).
    mixture, reference : torch.Tensor
        What is estimated, and from what.

    Returns
    -------
    dict
        Name -> training and inference, the seconds of each round.
    """
    seconds = {name: {"training": [], "inference": []} for name in systems}
    names = list(systems)
    for number in range(options.rounds):
        if number == 1:
            most = SLOW_SHARE * options.case_seconds
            names = [n for n in names if seconds[n]["training"][0] <= most]
            if not names:
                break
            end = time.perf_counter() + options.case_seconds
        if number >= LEAST_ROUNDS and time.perf_counter() > end:
            break
        shift = number % max(1, len(names))
        for name in names[shift:] + names[:shift]:
            system, calls = systems[name]
            for kind, spent in seconds[name].items():
                step = step_of(system, kind, mixture, reference)
                spent.append(time_calls(step, options.device, calls[kind]))
        print({n: seconds[n]["training"][-1] for n in names}, flush=True)
    return seconds


def run_case(options, task, batch, memory, item_seconds):
    """Times all systems with one task and batch size.

    Arguments
    ---------
    options : argparse.Namespace
        The command line.
    task : str
        ES, EB or SB.
    batch : int
        Number of items.
    memory : dict
        System -> what ``measure_memory`` returned.
    item_seconds : dict
        System -> seconds of an item of a step, of smaller batches; updated.

    Returns
    -------
    dict
        task, outputs, batch, and systems: name -> figures or problem.
    """
    outputs = num_outputs(task)
    torch.compiler.reset()  # which compiles anew only a few times otherwise
    data = make_batch(batch, options.samples, outputs, options.device)
    found, systems = {}, {}
    for name in options.systems:
        problem = why_not(
            options, batch, memory[name], item_seconds.get(name, 0)
        )
        if problem is None:
            try:
                system = System(name, options.size, outputs, options.device)
                systems[name] = system, warm_up(system, *data)
                found[name] = work_of(options, system, outputs, batch)
                continue
            except Exception as error:
                problem = reason(error, name)
        found[name] = {"problem": problem}
        print(task, batch, name, problem, flush=True)
    for name, seconds in take_turns(options, systems, *data).items():
        found[name].update(seconds)
        item_seconds[name] = statistics.median(seconds["training"]) / batch
    return {"task": task, "outputs": outputs, "batch": batch, "systems": found}


def work_of(options, system, outputs, batch):
    """Operations and bytes of a forward pass and of a training step."""
    flop = count_flop(
        system.implementation, options.size, outputs, options.samples
    )
    parameters = sum(p.numel() for p in system.parameters)
    n_bytes = count_bytes(
        options.size,
        batch,
        options.samples,
        4 if system.precision == "fp32" else 2,
        parameters,
    )
    kinds = ("inference", "training")
    return {
        "parameters": parameters,
        "flop": dict(zip(kinds, [batch * one for one in flop])),
        "bytes": dict(zip(kinds, n_bytes)),
    }
