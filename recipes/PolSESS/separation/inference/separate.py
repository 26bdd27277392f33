#!/usr/bin/env python3
"""Separates recordings with a trained model.

> python separate_file.py results/convtasnet_SB/1234 meeting.wav \
      --output_folder separated

The model is the output folder of a training, one of its checkpoints, or an export.
Recordings are files, folders (with what is below them) or patterns such as
"calls/*.flac", of any length, sample rate and number of channels. Each source
becomes a WAV file of 32-bit floats at the sample rate of the model and the level of
the recording, <name>_<source>.wav. A recording that cannot be used is named, the
others go on; the exit code then is 1.

Authors
 * The PolSESS recipe team 2026
"""

import argparse
import sys

import torch
from inference.audio_files import Recording, SourceFiles
from inference.levels import Level, in_pairs
from inference.recordings import find_recordings, plan_outputs
from inference.separation import PRECISIONS, Separation
from tqdm import tqdm

OK, SOME_FAILED, USAGE = 0, 1, 2


def parse_arguments(arguments):
    """The command line.

    Arguments
    ---------
    arguments : list of str
        Without the script.

    Returns
    -------
    argparse.Namespace
        With the device filled in, and what depends on it.
    """
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("model", help="output folder of a training, a checkpoint, an export")
    add("recordings", nargs="+", help="files, folders, or patterns in quotes")
    add("--output_folder", required=True, help="for the sources")
    add("--overwrite", action="store_true", help="replace files there")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--precision", default="fp32", choices=list(PRECISIONS))
    add("--window_seconds", type=float, default=8.0, help="of long recordings")
    add("--overlap_seconds", type=float, default=1.6, help="of two windows")
    add("--batch_size", type=int, help="windows at a time; GPU 8, CPU 1")
    add("--stream", action="store_true", help="block by block, as if live")
    add("--block_ms", type=float, default=32.0, help="with --stream")
    options = parser.parse_args(arguments)
    if options.batch_size is None:
        options.batch_size = 1 if options.device == "cpu" else 8
    return options


def separate(separation, recording, paths, options, progress):
    """Separates one recording into files.

    Raises ValueError when it cannot be used, OSError when the files cannot be
    written; nothing is left of them then.

    Arguments
    ---------
    separation : Separation
        The model.
    recording : Recording
        What to separate.
    paths : list of Path
        A file for each source.
    options : argparse.Namespace
        The command line.
    progress : tqdm.tqdm
        Counts samples.
    """
    existing = [str(path) for path in paths if path.exists()]
    if existing and not options.overwrite:
        raise ValueError(
            f"{', '.join(existing)} exists; --overwrite replaces it"
        )
    if recording.length < separation.min_samples:
        raise ValueError(
            f"{recording.path}: too short, the model takes at least "
            f"{separation.min_samples / recording.sample_rate:.3f} s"
        )
    run = separation.stream
    if options.stream:
        run = streamed(separation, options.block_ms)
    level = Level()
    with SourceFiles(paths, recording.sample_rate, recording.length) as files:
        for mixture, estimates in run(recording.blocks()):
            level.add(mixture, estimates)
            files.write(estimates)
            progress.update(len(mixture))
        if level.is_silent:
            raise ValueError(f"{recording.path}: silent, nothing to separate")
        files.scale(level.factors())


def streamed(separation, block_ms):
    """Has a causal model work as it would on live audio.

    Raises ValueError when the model is not causal.

    Arguments
    ---------
    separation : Separation
        On the CPU.
    block_ms : float
        Length of a block in milliseconds.

    Returns
    -------
    callable
        Like ``Separation.stream``.
    """
    from streaming.streaming import StreamingSeparator

    stream = StreamingSeparator(separation.separator)
    size = max(1, round(block_ms * separation.sample_rate / 1000))

    def run(blocks):
        """What comes out of the stream, part by part."""
        for block in blocks:
            for part in block.split(size):
                yield stream.push(part).cpu()
        yield stream.flush().cpu()

    return lambda blocks: in_pairs(run, blocks)


def main(arguments):
    """Separates all recordings.

    Arguments
    ---------
    arguments : list of str
        Of the command line.

    Returns
    -------
    int
        The exit code: 0, or 1 if a recording could not be used, or 2 if nothing
        could be begun.
    """
    options = parse_arguments(arguments)
    try:
        separation = Separation.from_run(
            options.model,
            window_seconds=options.window_seconds,
            overlap_seconds=options.overlap_seconds,
            batch_size=options.batch_size,
            device=options.device,
            precision=options.precision,
        )
        if options.stream:
            streamed(separation, options.block_ms)
        found, left_alone = find_recordings(options.recordings)
        plan = plan_outputs(found, options.output_folder, separation.names)
    except (ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    if left_alone:
        print(f"{left_alone} other files in folders are left alone")
    failures = separate_all(separation, plan, options)
    done = len(plan) - len(failures)
    print(f"{done} of {len(plan)} recordings separated")
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return SOME_FAILED if failures else OK


def separate_all(separation, plan, options):
    """Separates one recording after the other.

    Arguments
    ---------
    separation : Separation
        The model.
    plan : dict
        See ``plan_outputs``.
    options : argparse.Namespace
        The command line.

    Returns
    -------
    list of str
        What went wrong.
    """
    recordings, failures = [], []
    for path in plan:
        try:
            recordings.append(Recording(path, separation.sample_rate))
        except ValueError as error:
            failures.append(str(error))
    total = sum(recording.length for recording in recordings)
    bar = "{l_bar}{bar}| {elapsed}, {remaining} left"
    with tqdm(total=total, bar_format=bar) as progress:
        for recording in recordings:
            if recording.changes:
                changes = ", ".join(recording.changes)
                progress.write(f"{recording.path}: {changes}")
            paths = plan[recording.path]
            try:
                separate(separation, recording, paths, options, progress)
            except (ValueError, OSError, RuntimeError) as error:
                failures.append(str(error))
    return failures


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
