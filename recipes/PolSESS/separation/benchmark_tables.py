"""The tables of ``benchmark.py``.

Authors
 * The PolSESS recipe team 2026
"""

import statistics

from benchmark_machine import GIB
from benchmark_memory import MOST_ITEMS
from benchmark_systems import parse

STOCK = "stock_fp32"
COLUMNS = (
    "task",
    "batch",
    "system",
    "items/s",
    "ms, median (range)",
    "times as fast as stock fp32, median (range)",
    "floor of the products, ms",
    "reached, %",
    "floor of the memory, ms",
)
MEMORY_COLUMNS = (
    "task",
    "system",
    "loaded, GiB",
    "forward pass of 1 item, GiB",
    "training step, items: GiB",
    "largest batch in 12 GiB",
    "first pass and step, s",
)


def label(name):
    """A system as the tables name it.

    Arguments
    ---------
    name : str
        Of the system.

    Returns
    -------
    str
        With spaces.

    Example
    -------
    >>> label("ours_fp32_compiled")
    'ours fp32 compiled'
    """
    return name.replace("_", " ")


def spread(values, digits):
    """Median and range.

    Arguments
    ---------
    values : list of float
        At least one.
    digits : int
        After the decimal point.

    Returns
    -------
    str
        For a cell.

    Example
    -------
    >>> spread([3.0, 1.0, 2.0], 1)
    '2.0 (1.0 to 3.0)'
    """
    figures = (statistics.median(values), min(values), max(values))
    return "{} ({} to {})".format(*(f"{f:.{digits}f}" for f in figures))


def _row(cells):
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _head(columns):
    return [_row(columns), _row(["---"] * len(columns))]


def timing_table(result, kind):
    """Times of all cases.

    Arguments
    ---------
    result : dict
        What benchmark.json holds.
    kind : str
        training or inference.

    Returns
    -------
    list of str
        Lines of Markdown.
    """
    lines = _head(COLUMNS)
    for case in result["cases"]:
        stock = case["systems"].get(STOCK, {}).get(kind)
        for name, found in case["systems"].items():
            cells = [case["task"], case["batch"], label(name)]
            if "problem" in found:
                cells += [
                    "",
                    found["problem"].replace("|", "/"),
                    "",
                    "",
                    "",
                    "",
                ]
            else:
                cells += _figures(result, case, name, kind, stock)
            lines.append(_row(cells))
    return lines


def _figures(result, case, name, kind, stock):
    """The cells of a system that was timed."""
    found, rates = case["systems"][name], result["rates"]
    seconds = found[kind]
    median = statistics.median(seconds)
    ratios = ""
    if stock:
        # Within a round, so that both have met the same machine.
        ratios = spread([a / b for a, b in zip(stock, seconds)], 2)
    products = found["flop"][kind] / rates[f"{parse(name)[1]} products"]
    memory = found["bytes"][kind] / rates["bandwidth"]
    return [
        f"{case['batch'] / median:.3g}",
        spread([1000 * s for s in seconds], 1),
        ratios,
        f"{1000 * products:.1f}",
        f"{100 * products / median:.0f}",
        f"{1000 * memory:.1f}",
    ]


def memory_table(result):
    """Memory of all systems.

    Arguments
    ---------
    result : dict
        What benchmark.json holds.

    Returns
    -------
    list of str
        Lines of Markdown.
    """
    lines = _head(MEMORY_COLUMNS)
    for task, systems in result["memory"].items():
        for name, found in systems.items():
            cells = [task, label(name)]
            if "problem" in found:
                cells += ["", "", found["problem"].replace("|", "/"), "", ""]
            else:
                cells += _memory_figures(found)
            lines.append(_row(cells))
    return lines


def _memory_figures(found):
    steps = [f"{b}: {n / GIB:.2f}" for b, n in found["training"].items()]
    forward = list(found["inference"].values())[:1]
    more = " or more" if found["largest_batch"] >= MOST_ITEMS else ""
    about = "about " if found["extrapolated"] else ""
    return [
        f"{found['loaded'] / GIB:.2f}",
        *([f"{forward[0] / GIB:.2f}"] if forward else [""]),
        ", ".join(steps) or "does not fit",
        f"{about}{found['largest_batch']}{more}",
        f"{found['first_seconds']:.1f}" if "first_seconds" in found else "",
    ]


def to_markdown(result):
    """README.md of a result.

    Arguments
    ---------
    result : dict
        What benchmark.json holds.

    Returns
    -------
    str
        Markdown.
    """
    size = ", ".join(f"{name} {n}" for name, n in result["size"].items())
    rates = dict(result["rates"])
    bandwidth = rates.pop("bandwidth") / 1e9
    products = ", ".join(f"{r / 1e9:.0f} in {n}" for n, r in rates.items())
    rounds = {
        len(found["training"])
        for case in result["cases"]
        for found in case["systems"].values()
        if "training" in found
    }
    return "\n".join(
        [
            "# Benchmark: a training step, a forward pass, memory\n",
            NETWORKS.format(size=size, seconds=result["seconds"]),
            "## Training step\n",
            "Forward pass, loss, backward pass, clipping, Adam.\n",
            *timing_table(result, "training"),
            "\n## Forward pass\n",
            "Without gradients.\n",
            *timing_table(result, "inference"),
            "\n## Memory\n",
            MEMORY,
            *memory_table(result),
            "\n## How it was measured\n",
            METHOD.format(
                rounds=" to ".join(
                    str(n)
                    for n in sorted(
                        {min(rounds, default=0), max(rounds, default=0)}
                    )
                ),
                products=products,
                bandwidth=f"{bandwidth:.1f}",
            ),
            f"`{result['command']}` at commit {result['commit']}: "
            f"{result['machine']}, {result['threads']} thread(s), "
            f"{result['versions']}.\n",
        ]
    )


NETWORKS = """\
Conv-TasNet with {size}; items of {seconds:g} s at 8 kHz of noise; ES has one \
output, SB two. *stock* are SpeechBrain's modules as they are, *ours* those of \
this recipe with the same weights, *torchaudio* its ConvTasNet with the same \
letters, which has skip connections besides. bf16 and fp16 are mixed precision \
by autocast, fp16 with a scaled loss.
"""
MEMORY = """\
The peak of a fresh process for each system, on a CPU its resident memory, on a \
GPU what torch has allocated. *Loaded* are Python, torch, network and Adam's \
moments on a CPU, network and moments on a GPU; the others contain it. On a CPU \
the memory of a compiled system contains what compiling takes in its process. \
*about* is an extrapolation by a line through the two largest measurements; \
without it the batch was tried on a GPU limited to 12 GiB, the context of CUDA \
not counted. The last column contains compiling, where it is.
"""
METHOD = """\
All systems of a task and batch size take turns after a warm-up; rounds: \
{rounds}; a system too slow for more has one, and its range is that single turn. \
Ratios are taken within a round. A turn repeats calls up to 0.1 s. The \
floor of the products is the FLOP of all convolutions of a system over the \
machine's rate, the best of products of [H, B] and [B, frames] in the same run \
(GFLOP/s: {products}; in fp32 a GPU may use TF32, as in training; on a CPU \
without instructions for 16 bits they are made in fp32, and converting counts as \
a part of them); *reached* is \
its share of the median. The floor of the memory is the least traffic over the \
bandwidth of a large copy, read and written ({bandwidth} GB/s): each block \
reads its input and writes its result, and what enters its two normalisations \
is written and read once, as they need the mean of the whole signal first; in \
training the gradients likewise, what was kept is read again, and Adam goes \
over weights and moments (`benchmark_work.py`). Where a cache holds a signal, \
traffic can be less. All figures are in `benchmark.json`.
"""
