#!/usr/bin/env python3
"""Separates recordings with a trained model.

> python separate_file.py results/convtasnet_SB/1234 meeting.wav \
      --output_folder separated

The model is the output folder of a training, one of its checkpoints, or an export.
Recordings are files, folders (searched recursively) or patterns such as
"calls/*.flac", of any length, sample rate and number of channels. Each source is
written to <name>_<source>.wav, 32-bit floats at the sample rate of the model and
the level of the recording. A recording that cannot be separated is reported, and
the others go on; the exit code is then 1. It is 2 when nothing could be begun.

Authors
 * The PolSESS recipe team 2026
"""

import argparse
import math
import os
import sys

import torch
from inference.separate import separate_recordings
from inference.separation import PRECISIONS
from paths import expand_home
from reliability.defaults import leave_one_core_free
from streaming.streaming import StreamingSeparator


def parse_arguments(arguments):
    """Parses the command line.

    Arguments
    ---------
    arguments : list of str
        Without the script.

    Returns
    -------
    argparse.Namespace
        The batch size is filled in as it fits the device.
    """
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("model", help="output folder of a training, a checkpoint, an export")
    add("recordings", nargs="+", help="files, folders, patterns; - is stdin")
    place = parser.add_mutually_exclusive_group(required=True).add_argument
    place("--output_folder", help="for the sources")
    place("--beside", action="store_true", help="sources beside recordings")
    add("--suffix", default="", help="at the end of names, before .wav")
    add("--keep_residual", action="store_true", help="mixture less sources")
    add("--channel", type=int, help="take this one, from 1; not the average")
    add("--allow_truncated", action="store_true", help="separate cut files")
    there = parser.add_mutually_exclusive_group().add_argument
    there("--overwrite", action="store_true", help="replace files there")
    there("--skip_existing", action="store_true", help="do only what is new")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--precision", default="fp32", choices=list(PRECISIONS))
    add("--window_seconds", type=float, default=8.0, help="of long recordings")
    add("--overlap_seconds", type=float, default=1.6, help="of two windows")
    add("--batch_size", type=int, help="windows at a time; GPU 8, CPU 1")
    add("--stream", action="store_true", help="block by block, as if live")
    add("--block_ms", type=float, default=32.0, help="with --stream")
    options = parser.parse_args(expand_home(arguments))
    if options.batch_size is None:
        options.batch_size = 1 if options.device == "cpu" else 8
    if options.channel is not None and options.channel < 1:
        parser.error(f"--channel: expected 1 or more, found {options.channel}")
    for name in ("batch_size", "window_seconds", "overlap_seconds", "block_ms"):
        value = getattr(options, name)
        if not 0 < value < math.inf:
            parser.error(f"--{name}: expected more than 0, found {value}")
    if "" in (options.model, options.output_folder, *options.recordings):
        parser.error("expected names of files and folders, found an empty one")
    if "/" in options.suffix or os.sep in options.suffix:
        parser.error(f"--suffix: expected no folder, found {options.suffix}")
    return options


def main(arguments):
    """Separates the recordings.

    Arguments
    ---------
    arguments : list of str
        Command line without the script.

    Returns
    -------
    int
        Exit code.
    """
    options = parse_arguments(arguments)
    leave_one_core_free()

    def choose_run(separation):
        """Windows, or a stream in blocks."""
        if not options.stream:
            return separation.run
        size = round(options.block_ms * separation.sample_rate / 1000)
        stream = StreamingSeparator(separation.separator)
        return lambda blocks: stream.run(blocks, max(1, size))

    return separate_recordings(options, choose_run)


if __name__ == "__main__":
    # The name of a file may be no text.
    sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(main(sys.argv[1:]))
