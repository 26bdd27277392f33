"""MM-IPC: mix modification by inverted phase cancellation.

A PolSESS mixture is stored together with each of its components. Adding a
component in opposite phase removes it, so that one stored mixture becomes
several: a variant is named by the letters of what it KEEPS, S the scene, E the
event, R the reverberation of the speakers, C none of them (clean speech).
Only the files that are cancelled have to be read.

From: M. Klec, K. Szklanny, A. Wieczorkowska, "A Solution for Developing
Corpora for Polish Speech Enhancement in Complex Acoustic Environments", 2024.

Authors
 * The PolSESS recipe team 2026
"""

import difflib

from prepare_polsess import FILES, VARIANT_SETTINGS

VARIANTS = tuple(VARIANT_SETTINGS)
FILE_COLUMNS = tuple(FILES)  # of the manifests, the mixture first
# Where a mixture is heard. A dry one is of a corpus without reverberation that
# stores each of its variants, as Libri2Mix does.
SETTINGS = ("indoor", "outdoor", "dry")

# What each letter keeps, as columns of the manifest. The reverberation of the
# event belongs to the event: it is heard, and cancelled, with it.
COMPONENTS = {
    "S": ("scene_wav",),
    "E": ("event_wav", "event_reverb_wav"),
    "R": ("s1_reverb_wav", "s2_reverb_wav"),
}
# A task is the list of its references; each is a sum of dry speakers.
# ES, enhance single; EB, enhance both; SB, separate both.
TASKS = {
    "ES": (("s1_wav",),),
    "EB": (("s1_wav", "s2_wav"),),
    "SB": (("s1_wav",), ("s2_wav",)),
}


def check_task(task):
    """Raises ValueError unless the task (str) is one of ES, EB and SB."""
    if task not in TASKS:
        raise ValueError(
            f"task: expected one of {', '.join(TASKS)}, found {task!r}"
        )


def check_variants(name, variants):
    """Raises ValueError unless the variants are a list out of VARIANTS.

    Arguments
    ---------
    name : str
        The key of the YAML, for the message.
    variants : list of str
        The variants.
    """
    if not isinstance(variants, (list, tuple)) or not variants:
        raise ValueError(
            f"{name}: expected a list out of {', '.join(VARIANTS)}, found "
            f"{variants!r}"
        )
    for variant in variants:
        if variant not in VARIANTS:
            text = str(variant).upper()
            near = difflib.get_close_matches(text, VARIANTS, 1, 0)
            raise ValueError(
                f"{name}: {variant!r} is none of {', '.join(VARIANTS)}; is "
                f"{near[0]} meant?"
            )


def num_outputs(task):
    """Counts the sources the model of a task estimates.

    Raises ValueError when the task is unknown.

    Arguments
    ---------
    task : str
        ES, EB or SB.

    Returns
    -------
    int
        1 or 2.

    Example
    -------
    >>> [num_outputs(task) for task in ("ES", "EB", "SB")]
    [1, 1, 2]
    """
    check_task(task)
    return len(TASKS[task])


def source_names(task):
    """Names a task's sources, as in test_scores.csv.

    Arguments
    ---------
    task : str
        ES, EB or SB.

    Returns
    -------
    list of str
        One name for each output of the model.

    Example
    -------
    >>> source_names("EB"), source_names("SB")
    (['s1+s2'], ['s1', 's2'])
    """
    return [
        "+".join(column[: -len("_wav")] for column in columns)
        for columns in TASKS[task]
    ]


def default_variants(task):
    """Lists the variants on which a task is trained and tested by default.

    C is the task of SB only: for ES and EB it leaves nothing to remove.

    Arguments
    ---------
    task : str
        ES, EB or SB.

    Returns
    -------
    list of str
        Seven variants for ES and EB, eight for SB, where C is reported for
        indoor and outdoor mixtures apart.

    Example
    -------
    >>> default_variants("ES")
    ['SER', 'SR', 'ER', 'R', 'SE', 'S', 'E']
    """
    check_task(task)
    return [v for v in VARIANTS if counts_in_means(v, task)]


def counts_in_means(variant, task):
    """Tells whether a variant belongs into means over variants.

    For ES and EB the mixture of C is the reference up to rounding, so its
    scores say nothing about the model.

    Arguments
    ---------
    variant : str
        One of VARIANTS.
    task : str
        ES, EB or SB.

    Returns
    -------
    bool
        False for C with ES and EB.

    Example
    -------
    >>> [counts_in_means("C", task) for task in ("ES", "EB", "SB")]
    [False, False, True]
    """
    return variant != "C" or task == "SB"


def cancelled(variant, task, setting):
    """Lists the components that are subtracted from the stored mixture.

    Arguments
    ---------
    variant : str
        What is kept: SER, SR, ER, R, SE, S, E or C.
    task : str
        ES, EB or SB; ES also cancels the second speaker and its reverberation.
    setting : str
        One of SETTINGS; only indoors there is reverberation, and of a dry
        mixture no component is cancelled.

    Returns
    -------
    list of str
        Columns of the manifest.

    Example
    -------
    >>> cancelled("SR", "SB", "indoor")
    ['event_wav', 'event_reverb_wav']
    >>> cancelled("SE", "ES", "outdoor")
    ['s2_wav']
    >>> cancelled("C", "SB", "dry")
    []
    """
    kept = set(COMPONENTS) if setting == "dry" else set(variant)
    columns = [
        column
        for letter, group in COMPONENTS.items()
        if letter not in kept
        for column in group
    ]
    if task == "ES":
        columns += ["s2_wav", "s2_reverb_wav"]
    if setting != "indoor":
        columns = [c for c in columns if "reverb" not in c]
    return sorted(set(columns), key=columns.index)
