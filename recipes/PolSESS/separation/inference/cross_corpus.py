"""Tests a trained model on a corpus of others: what its YAML needs.

Authors
 * The PolSESS recipe team 2026
"""

import re

from inference.trained import load_trained

TASK = "SB"  # the one for which other corpora have references


def separator_for(path, task, sample_rate):
    """The network of a trained model, if the corpus fits it.

    Raises ValueError when the model does another task, or was trained at
    another sample rate, and where ``trained.load_trained`` does.

    Arguments
    ---------
    path : str
        The output folder of a run, one checkpoint of it, or an export. Without
        one nothing is loaded: ``checks.check_hparams`` asks for it then, and a
        YAML can be loaded without a model.
    task : str
        The task of the test.
    sample_rate : int
        Of the corpus, in Hz.

    Returns
    -------
    separator.Separator
        With its weights; None without a path.
    """
    if task != TASK:
        raise ValueError(
            f"task: expected {TASK}, found {task}; this corpus has two "
            "speakers to separate: leave --task out"
        )
    if not path:
        return None
    try:
        trained = load_trained(path)
    except ValueError as error:
        raise ValueError(f"init_from: {error}") from error
    if trained.task != task:
        raise ValueError(
            f"init_from: {path}: expected a model of task {task}, which "
            f"separates both speakers, found one of task {trained.task}; "
            f"train one with --task={task}"
        )
    if trained.sample_rate != sample_rate:
        raise ValueError(
            f"init_from: {path}: expected a model for {sample_rate} Hz, found "
            f"one for {trained.sample_rate} Hz; if the corpus exists at that "
            f"rate, give --sample_rate={trained.sample_rate}"
        )
    return trained.separator


def model_name(path):
    """A name for the folder in which the test of a model is kept.

    Arguments
    ---------
    path : str
        See ``separator_for``.

    Returns
    -------
    str
        The last two folders, so that the seeds of a system stay apart.

    Example
    -------
    >>> model_name("../results/convtasnet_SB/1234/")
    'convtasnet_SB_1234'
    >>> model_name(None)
    'none'
    """
    folders = [part for part in re.split(r"[/\\]", str(path or "")) if part]
    return "_".join(folders[-2:]) or "none"
