"""Trained models for a test on another corpus, as its YAML needs them.

Authors
 * The PolSESS recipe team 2026
"""

from pathlib import PurePath

from inference.trained import load_trained

TASK = "SB"  # the only task for which other corpora have references


def separator_for(path, task, sample_rate):
    """Loads the network of a trained model that fits the corpus.

    Raises ValueError when task or sample rate differ, and as
    ``trained.load_trained`` does.

    Arguments
    ---------
    path : str
        Output folder of a run, one of its checkpoints, or an export.
    task : str
        Task of the test.
    sample_rate : int
        Sample rate of the corpus in Hz.

    Returns
    -------
    separator.Separator
        With its weights.
    """
    if task != TASK:
        raise ValueError(
            f"task: expected {TASK}, found {task}; this corpus has two "
            "speakers to separate: leave --task out"
        )
    if not path:
        raise ValueError(
            "init_from: expected a trained model to test, found none; name the "
            "output folder of a run by --init_from"
        )
    try:
        trained = load_trained(path)
    except ValueError as error:
        raise ValueError(f"init_from: {error}") from error
    if (trained.task, trained.sample_rate) != (task, sample_rate):
        raise ValueError(
            f"init_from: {path}: expected a model of task {task} for "
            f"{sample_rate} Hz, found one of task {trained.task} for "
            f"{trained.sample_rate} Hz; train one with --task={task}, or give "
            f"--sample_rate if the corpus exists at that rate"
        )
    return trained.separator


def model_name(path):
    """Names the folder for the test of a model.

    Arguments
    ---------
    path : str
        The folder of the model; may be None.

    Returns
    -------
    str
        The last two folders, since seeds of a system differ in the last one.

    Example
    -------
    >>> model_name("../results/convtasnet_SB/1234/")
    'convtasnet_SB_1234'
    """
    return "_".join(PurePath(str(path or "none").strip("/")).parts[-2:])
