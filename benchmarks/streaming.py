"""Real-time factor of live audio on one core.

> python benchmarks/streaming.py results/streaming

The causal network, with random weights, separates noise in blocks and, for
comparison, in one pass. The block lengths take turns.

Authors
 * The PolSESS recipe team 2026
"""

import statistics
import time

import torch
from common import SEED, load_hparams, parse, spread_table, write_results

SIZES = {
    "small": {"N": 128, "B": 128, "H": 256, "X": 6, "R": 3},
    "default": {},
}


def separate(separator, signal, length):
    """Separates a signal in blocks.

    Arguments
    ---------
    separator : separator.Separator
        A causal network.
    signal : torch.Tensor
        [time]
    length : int
        Samples of a block; 0 for one pass.

    Returns
    -------
    estimate : torch.Tensor
        [time, source]
    seconds : list of float
        For each block the time to compute it.
    """
    from inference.offset import RunningMean
    from streaming.streaming import StreamingSeparator

    if not length:
        with torch.no_grad():
            start = time.perf_counter()
            estimate = separator(RunningMean()(signal)[None])[0]
            return estimate, [time.perf_counter() - start]
    stream = StreamingSeparator(separator)
    parts, seconds = [], []
    for block in signal.split(length):
        start = time.perf_counter()
        parts.append(stream.push(block))
        seconds.append(time.perf_counter() - start)
    parts.append(stream.flush())
    return torch.cat(parts), seconds


def main():
    """Measures and writes."""
    options = parse(
        __doc__,
        "output_folder",
        sizes=list(SIZES),
        blocks_ms=[8, 16, 32, 128],
        rounds=5,
        seconds=3.0,
    )
    torch.set_num_threads(1)
    rows = []
    for size in options.sizes:
        hparams = load_hparams(norm_type="cLN", causal=True, **SIZES[size])
        separator, rate = hparams["separator"].eval(), hparams["sample_rate"]
        torch.manual_seed(SEED)
        signal = 0.1 * torch.randn(round(options.seconds * rate))
        expected, _ = separate(separator, signal, 0)  # warms up
        for number in range(options.rounds):
            for block_ms in (0, *options.blocks_ms):
                length = block_ms * rate // 1000
                estimate, seconds = separate(separator, signal, length)
                late = [1000 * x > block_ms for x in seconds]
                row = {"round": number, "size": size, "block_ms": block_ms}
                row["real_time_factor"] = sum(seconds) / options.seconds
                row["ms_per_block"] = 1000 * statistics.median(seconds)
                if block_ms:
                    row["late_percent"] = 100 * statistics.mean(late)
                else:
                    row["late_percent"] = None
                row["error"] = (estimate - expected).abs().max().item()
                rows.append(row)
                print(row, flush=True)
    digits = {"real_time_factor": 2, "ms_per_block": 1, "late_percent": 1}
    table = spread_table(rows, ["size", "block_ms"], **digits)
    text = (
        f"Median (range) of {options.rounds} rounds. A real-time factor below 1 "
        "keeps up with live audio. A block is late if its computation takes "
        "longer than it lasts; 0 ms is one pass over the whole signal. "
        f"{options.seconds:g} s of noise at 8 kHz, one thread, fp32. The streams "
        "differ from the pass by at most "
        f"{max(row['error'] for row in rows):.1e}."
    )
    title = "Live audio: real-time factor on one core"
    write_results(options.output_folder, title, [table, text], rows)


if __name__ == "__main__":
    main()
