"""Tells where the time of a step goes, and how fast it could be at most.

> python tools/profile_step.py results/benchmark

Systems of ``benchmark.py`` take turns at batch 1 on this machine's CPU. Each turn is
a pass that is timed, and one under torch's profiler, which gives the shares.

Authors
 * The PolSESS recipe team 2026
"""

import pathlib
import statistics
import sys
from collections import Counter

import torch
from readme_section import where
from torch.profiler import ProfilerActivity, profile

SYSTEMS = ("stock_fp32", "ours_fp32")
PASSES = ("training step", "forward pass")
TARGETS = {"training step": 2.2, "forward pass": 2.0}  # times stock
ROUNDS = 5
SAMPLES = 32000  # 4 s
LEAST_PERCENT = 2.0  # of the operations that are listed
PRODUCTS = ("aten::bmm", "aten::mm", "aten::addmm")
TRIED = """\
Tried and not faster, on such a CPU: the pointwise convolutions as conv1d of \
oneDNN, or with OpenBLAS instead of MKL; each half of the rows on a core of its \
own; the residual in another layout than the rest (the products 5 % faster, the \
copies eat it up); torch.compile (see `compiled/`). Faster, but left out: PReLU's \
gradient from sums of products, which loses digits. Strassen's product would save \
an eighth of the operations and, at these sizes, add as much reading and writing.
"""


def make_passes():
    """Pass -> system -> a function that makes the pass."""
    from benchmark_systems import System, make_batch
    from benchmark_work import Size

    batch = make_batch(1, SAMPLES, 1, "cpu")
    made = {name: {} for name in PASSES}
    for name in SYSTEMS:
        system = System(name, Size(), 1, "cpu")
        system.make_adam_state()
        made[PASSES[0]][name] = lambda s=system: s.train_step(*batch)
        made[PASSES[1]][name] = lambda s=system: s.infer(batch[0])
    return made


def seconds_by_operation(function):
    """Operation -> seconds in it, without those that it calls.

    Arguments
    ---------
    function : callable
        Without arguments.

    Returns
    -------
    Counter
        Names of torch's operations, and their seconds.

    Example
    -------
    >>> found = seconds_by_operation(
    ...     lambda: torch.ones(9, 9) @ torch.ones(9, 9)
    ... )
    >>> "aten::mm" in found
    True
    """
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        function()
    found = Counter()
    for event in profiler.key_averages():
        found[event.key] += event.self_cpu_time_total * 1e-6
    return found


def measure():
    """Pass -> system -> Counters of the rounds, and seconds without profiler."""
    from benchmark_machine import time_calls

    found = {}
    for name, systems in make_passes().items():
        found[name] = {system: ([], []) for system in systems}
        for number in range(ROUNDS + 1):  # the first one warms up
            for system, function in systems.items():
                seconds = time_calls(function, "cpu")
                counted = seconds_by_operation(function)
                if number:
                    found[name][system][0].append(counted)
                    found[name][system][1].append(seconds)
                print(name, system, f"{seconds:.2f} s", flush=True)
    return found


def limits_table(found, flop, rate):
    """How fast the passes are, and would be if only products took time.

    Arguments
    ---------
    found : dict
        Of ``measure``.
    flop : dict
        Pass -> operations.
    rate : float
        Operations a second that products reach alone.

    Returns
    -------
    list of str
        Lines of Markdown.
    """
    lines = [
        "| pass | stock, ms | ours, ms | times stock | target | products of ours, "
        "ms | GFLOP/s in them | times stock if all else took no time | times "
        "stock at the floor |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, systems in found.items():
        medians = [statistics.median(systems[s][1]) for s in SYSTEMS]
        stock, ours = medians
        shares = [
            sum(counted[p] for p in PRODUCTS) / sum(counted.values())
            for counted in systems[SYSTEMS[1]][0]
        ]
        products = statistics.median(shares) * ours
        cells = [
            name,
            f"{1000 * stock:.0f}",
            f"{1000 * ours:.0f}",
            f"{stock / ours:.2f}",
            TARGETS[name],
            f"{1000 * products:.0f}",
            f"{flop[name] / products / 1e9:.0f}",
            f"{stock / products:.2f}",
            f"{stock * rate / flop[name]:.2f}",
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def shares_table(rounds):
    """The operations that take the most time.

    Arguments
    ---------
    rounds : list of Counter
        Operation -> seconds.

    Returns
    -------
    list of str
        Lines of Markdown.
    """
    percents = {
        name: statistics.median(
            100 * counted[name] / sum(counted.values()) for counted in rounds
        )
        for name in set().union(*rounds)
    }
    listed = sorted(percents.items(), key=lambda item: -item[1])
    lines = ["| operation | % of the time |", "| --- | --- |"]
    return lines + [
        f"| `{name}` | {percent:.0f} |"
        for name, percent in listed
        if percent >= LEAST_PERCENT
    ]


def to_markdown(found, flop, rate):
    """The result with what is needed to repeat it."""
    commit, machine = where()
    lines = [
        "# Where the time of a step goes\n",
        *limits_table(found, flop, rate),
        f"\nTask ES, batch 1, 4 s, fp32, medians of {ROUNDS} turns. GFLOP/s count "
        "all convolutions as products. The floor is these operations at "
        f"{rate / 1e9:.0f} GFLOP/s, the best of such products alone in the same "
        f"run.\n\n{TRIED}",
    ]
    for name, systems in found.items():
        for system, (rounds, _) in systems.items():
            title = f"## {name.capitalize()}, {system.replace('_', ' ')}\n"
            lines += [title, *shares_table(rounds), ""]
    lines.append(
        "Seconds of an operation without those that it calls, as torch's profiler "
        f"gives them; those of at least {LEAST_PERCENT:g} %.\n\n"
        f"`make bench` (`tools/profile_step.py`) at commit {commit}: {machine}, "
        f"{torch.get_num_threads()} thread(s).\n"
    )
    return "\n".join(lines)


def main(output_folder):
    """Measures, and writes profile.md.

    Arguments
    ---------
    output_folder : str
        For the figures.
    """
    from benchmark_machine import measure_matrix_rate
    from benchmark_work import Size, count_flop

    frames = [16 * -(-Size().count_frames(SAMPLES) // 16)]
    rates = [measure_matrix_rate(Size(), frames, "fp32", "cpu")]
    found = measure()
    rates.append(measure_matrix_rate(Size(), frames, "fp32", "cpu"))
    inference, training = count_flop("ours", Size(), 1, SAMPLES)
    flop = dict(zip(PASSES, (training, inference)))
    output = pathlib.Path(output_folder)
    output.mkdir(parents=True, exist_ok=True)
    text = to_markdown(found, flop, max(rates))
    (output / "profile.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
