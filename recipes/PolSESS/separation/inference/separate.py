"""The command separate_file.py: separates recordings into files.

Authors
 * The PolSESS recipe team 2026
"""

import sys

from tqdm import tqdm

from inference.audio_files import (
    Recording,
    find_recordings,
    plan_outputs,
    scale,
    source_files,
    write,
)
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
        found, n_others = find_recordings(options.recordings)
        plan = plan_outputs(found, options.output_folder, separation.names)
    except (ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    if n_others:
        print(f"{n_others} other files in folders are left alone")
    failures = separate_all(separation, run, plan, options.overwrite)
    print(f"{len(plan) - len(failures)} of {len(plan)} recordings separated")
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return SOME_FAILED if failures else OK


def separate_all(separation, run, plan, overwrite):
    """Separates one recording after the other, with a progress bar.

    Arguments
    ---------
    separation : Separation
        The model.
    run : callable
        From blocks of samples to parts of estimates.
    plan : dict
        From ``plan_outputs``.
    overwrite : bool
        Whether existing files are replaced.

    Returns
    -------
    list of str
        One message for each recording that failed.
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
                if not overwrite:
                    check_free(paths)
                check_length(recording, separation.min_samples)
                separate(recording, run, paths, progress, overwrite)
            except (ValueError, OSError) as error:
                failures.append(str(error))
            except RuntimeError as error:  # for instance out of memory
                failures.append(f"{recording.path}: {error}")
    return failures


def check_free(paths):
    """Raises ValueError when one of the files, a list of Path, exists."""
    existing = [str(path) for path in paths if path.exists()]
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
        A file for each source.
    progress : tqdm.tqdm
        Counts samples.
    overwrite : bool
        Whether files that another process has made meanwhile are replaced.
    """
    level = LevelMatcher()
    rate, length = recording.sample_rate, recording.length
    with source_files(paths, rate, length, overwrite) as files:
        for estimates in run(level.listen(recording.blocks())):
            level.add(estimates)
            write(files, estimates)
            progress.update(len(estimates))
        if level.is_silent:
            raise ValueError(f"{recording.path}: silent, nothing to separate")
        scale(files, level.factors())
