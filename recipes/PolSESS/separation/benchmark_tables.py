"""The tables of ``benchmark.py``.

Authors
 * The PolSESS recipe team 2026
"""

import statistics

from benchmark_machine import GIB
from benchmark_memory import MOST_ITEMS
from benchmark_systems import parse
from benchmark_texts import MEMORY, METHOD, NETWORKS

STOCK = "stock_fp32"
COLUMNS = (
    "task",
    "batch",
    "system",
    "items/s",
    "ms, median (range)",
    "times as fast as stock fp32, median (range)",
    "floor of the products, ms",
    "floor of the memory, ms",
    "reached, %",
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
        f"{1000 * memory:.1f}",
        f"{100 * max(products, memory) / median:.0f}",
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
