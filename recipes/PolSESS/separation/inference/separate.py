"""The command separate_file.py: separates recordings into files.

Authors
 * The PolSESS recipe team 2026
"""

import contextlib
import functools
import os
import sys

import torch
from tqdm import tqdm

from inference.audio_files import (
    Recording,
    scale,
    source_files,
    subtract,
    write,
)
from inference.inputs import find_recordings, needs_copy, plan_outputs, readable
from inference.separation import LevelMatcher, Separation

OK, SOME_FAILED, USAGE = 0, 1, 2


def separate_recordings(options, choose_run):
    """Separates all recordings; a failure is reported, the others go on.

    Arguments
    ---------
    options : argparse.Namespace
        The command line of separate_file.py.
    choose_run : callable
        From the Separation to a function that takes blocks of samples, [time],
        and yields estimates, [time, source], in parts.

    Returns
    -------
    int
        Exit code: 0, or 1 when a recording failed, or 2 when nothing could be
        begun.
    """
    try:
        separation = Separation.from_run(
            options.model,
            window_seconds=options.window_seconds,
            overlap_seconds=options.overlap_seconds,
            batch_size=options.batch_size,
            device=options.device,
            precision=options.precision,
        )
        run = choose_run(separation)
        found, n_others, problems = find_recordings(options.recordings)
    except (ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    if n_others:
        print(f"{n_others} other files in folders are left alone")
    sources = [*separation.names, *["residual"] * options.keep_residual]
    plan, refused = plan_outputs(
        found, sources, options.output_folder, options.suffix
    )
    if options.skip_existing:
        plan = {
            p: x for p, x in plan.items() if not all(map(os.path.exists, x))
        }
        n_before = len(found) - len(refused) - len(plan)
        print(f"{n_before} recordings were separated before")
    failures = separate_all(separation, run, plan, options)
    print(f"{len(plan) - len(failures)} of {len(found)} recordings separated")
    failures = problems + refused + failures
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return SOME_FAILED if failures else OK


def separate_all(separation, run, plan, options):
    """Separates one recording after the other, with a progress bar.

    Arguments
    ---------
    separation : Separation
        The model.
    run : callable
        From blocks of samples to parts of estimates.
    plan : dict
        From ``plan_outputs``.
    options : argparse.Namespace
        Its overwrite, channel and allow_truncated are used.

    Returns
    -------
    list of str
        One message for each recording that failed.
    """
    failures, recordings = [], {}
    open_ = functools.partial(
        Recording,
        sample_rate=separation.sample_rate,
        channel=options.channel,
        allow_truncated=options.allow_truncated,
    )
    for path in plan:
        with _noted(path, failures):
            recordings[path] = None if needs_copy(path) else open_(path)
    total = sum(x.length for x in recordings.values() if x)
    bar = "{l_bar}{bar}| {elapsed}, {remaining} left"
    with tqdm(total=total, bar_format=bar) as progress:
        for path, recording in recordings.items():
            with _noted(path, failures), contextlib.ExitStack() as stack:
                if not options.overwrite:
                    check_free(plan[path])
                if recording:
                    progress.total -= recording.length
                else:
                    file = stack.enter_context(readable(path, progress.write))
                    recording = open_(file)
                recording.survey()
                progress.total += recording.length
                if recording.changes:
                    changes = ", ".join(recording.changes)
                    progress.write(f"{path}: {changes}")
                check_length(recording, separation.min_samples)
                separate(
                    recording, run, plan[path], progress, options.overwrite
                )
    return failures


@contextlib.contextmanager
def _noted(path, failures):
    """Whatever a recording does, it is named and the others go on."""
    try:
        yield
    except Exception as error:
        text = str(error) or type(error).__name__
        failures.append(text if str(path) in text else f"{path}: {text}")


def check_free(paths):
    """Raises ValueError when one of the files, a list of Path, exists."""
    existing = [str(path) for path in paths if os.path.exists(path)]
    if existing:
        raise ValueError(
            f"{', '.join(existing)} exists; --overwrite replaces it"
        )


def check_length(recording, min_samples):
    """Raises ValueError when a Recording is shorter than the network takes."""
    if recording.length < min_samples:
        raise ValueError(
            f"{recording.path}: too short, the model takes at least "
            f"{min_samples / recording.sample_rate:.3f} s"
        )


def separate(recording, run, paths, progress, overwrite=True):
    """Separates one recording into files.

    Raises ValueError when it is silent or damaged, OSError when a file cannot be
    written; no file is left then.

    Arguments
    ---------
    recording : Recording
        The mixture.
    run : callable
        From blocks of samples to parts of estimates.
    paths : list of Path
        A file for each source, and one for the residual if there is to be one.
    progress : tqdm.tqdm
        Counts samples.
    overwrite : bool
        Whether existing files are replaced.
    """
    level = LevelMatcher()
    rate, length = recording.sample_rate, recording.length
    with source_files(paths, rate, length, overwrite) as files:
        for estimates in run(level.listen(recording.blocks())):
            mixture = level.waiting[: len(estimates), None]
            level.add(estimates)
            # The file of the residual, if there is one, begins as the mixture.
            write(files, torch.cat([estimates, mixture], dim=1))
            progress.update(len(estimates))
        if level.is_silent:
            raise ValueError(f"{recording.path}: silent, nothing to separate")
        factors = level.factors()
        scale(files[: len(factors)], factors)
        for residual in files[len(factors) :]:
            subtract(residual, files[: len(factors)])
