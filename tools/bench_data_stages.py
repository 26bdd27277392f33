"""Tells how long reading, mixing, the pipeline and the batch take an item.

Authors
 * The PolSESS recipe team 2026
"""

import contextlib
import time

STAGES = ("reading", "mixing", "pipeline", "batch")


class Stopwatch:
    """A function that counts the seconds spent in it.

    Arguments
    ---------
    function : callable
        What is called.

    Example
    -------
    >>> watch = Stopwatch(sorted)
    >>> watch([2, 1]), watch.seconds > 0
    ([1, 2], True)
    """

    def __init__(self, function):
        self.function, self.seconds = function, 0.0

    def __call__(self, *arguments, **options):
        start = time.perf_counter()
        try:
            return self.function(*arguments, **options)
        finally:
            self.seconds += time.perf_counter() - start


@contextlib.contextmanager
def stopwatches(hparams):
    """Puts a stopwatch around each stage.

    Arguments
    ---------
    hparams : dict
        With the options of the loader, whose collate_fn is replaced for a while.

    Yields
    ------
    dict
        read, mix, batch -> Stopwatch.
    """
    import mixtures as mixer

    options = hparams["train_loader_kwargs"]
    own = mixer._read, mixer.Mixer.__call__, options["collate_fn"]
    watches = dict(zip(("read", "mix", "batch"), map(Stopwatch, own)))
    mixer._read = watches["read"]
    # A function, since an object would not become a method.
    mixer.Mixer.__call__ = lambda self, *a: watches["mix"](self, *a)
    options["collate_fn"] = watches["batch"]
    try:
        yield watches
    finally:
        mixer._read, mixer.Mixer.__call__, options["collate_fn"] = own


def time_stages(hparams, make_batches):
    """Microseconds of an item in each stage.

    Arguments
    ---------
    hparams : dict
        See ``stopwatches``.
    make_batches : callable
        Makes the batches of an epoch in this process.

    Returns
    -------
    dict
        Stage -> microseconds.
    """
    with stopwatches(hparams) as watches:
        start = time.perf_counter()
        n_items = sum(map(len, make_batches()))
        whole = time.perf_counter() - start
    read, mix, batch = (watch.seconds for watch in watches.values())
    seconds = read, mix - read, whole - mix - batch, batch
    return {stage: 1e6 * s / n_items for stage, s in zip(STAGES, seconds)}
