"""MM-IPC: mix modification by inverted phase cancellation.

A PolSESS mixture is stored together with each of its components. Adding a
component in opposite phase removes it, so one stored mixture becomes several. A
variant is named by the letters of what it KEEPS: S the scene, E the event, R
the reverberation of the speakers, C none of them (clean speech).

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
    """Raises ValueError unless ``variants`` is a list out of VARIANTS.

    ``name`` (str) is the key of the YAML, for the message.
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
    """Counts the sources that the model of a task (str) estimates.

    Raises ValueError when the task is unknown.

    Example
    -------
    >>> [num_outputs(task) for task in ("ES", "EB", "SB")]
    [1, 1, 2]
    """
    check_task(task)
    return len(TASKS[task])


def source_names(task):
    """Names the sources of a task (str), one for each output of the model.

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
    """Lists the variants on which a task (str) is trained and tested.

    All that ``counts_in_means``; raises ValueError when the task is unknown.

    Example
    -------
    >>> default_variants("ES")
    ['SER', 'SR', 'ER', 'R', 'SE', 'S', 'E']
    """
    check_task(task)
    return [v for v in VARIANTS if counts_in_means(v, task)]


def counts_in_means(variant, task):
    """Tells whether a variant belongs into the means of a task (both str).

    For ES and EB the mixture of C is the reference up to rounding: there is
    nothing to remove, and its scores say nothing about the model.

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
    variant, setting : str
        Out of VARIANTS and SETTINGS. Only indoors there is reverberation; of a
        dry mixture none of COMPONENTS is cancelled.
    task : str
        ES, EB or SB; ES also cancels the second speaker and its reverberation.

    Returns
    -------
    list of str
        Columns of the manifest.

    Example
    -------
    >>> cancelled("SR", "SB", "indoor")
    ['event_wav', 'event_reverb_wav']
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
