"""Files of PolSESS's commands that appear whole, and folders below home.

The corpus is that of Kleć, Szklanny, Wieczorkowska, 2024.

Authors
 * The PolSESS recipe team 2026
"""

import contextlib
import fcntl
import functools
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path


@contextlib.contextmanager
def replacing(*paths, may_exist=True):
    """Lets files, or folders, appear together, and only when all are complete.

    They are written in a hidden folder that no other process has, beside their
    places. An error deletes it. One that a killed process leaves is deleted by
    the next process that writes beside it. Raises FileExistsError when one of
    them is there in the end, and must not be.

    Arguments
    ---------
    *paths : Path or str
        Final paths, all in one folder that exists.
    may_exist : bool
        Whether older ones are replaced.

    Yields
    ------
    list of Path
        Where to write, a path for each; none has a suffix.

    Example
    -------
    >>> path = Path(getfixture("tmpdir"), "a.txt")
    >>> with replacing(path) as [new]:
    ...     _ = new.write_text("all of it")
    ...     path.exists()
    False
    >>> [path.name for path in path.parent.iterdir()], path.read_text()
    (['a.txt'], 'all of it')
    """
    folder = Path(paths[0]).parent
    hidden = {"prefix": ".", "suffix": ".partial", "dir": folder}
    with contextlib.ExitStack() as stack:
        with locked(folder):
            _remove_leftovers(folder.resolve())
            own = stack.enter_context(tempfile.TemporaryDirectory(**hidden))
            stack.enter_context(locked(own))
        new = [Path(own, Path(p).name.replace(".", "_")) for p in paths]
        yield new
        with locked(folder):
            existing = [str(p) for p in paths if os.path.exists(p)]
            if existing and not may_exist:
                raise FileExistsError(f"{', '.join(existing)} exists by now")
            for pair in zip(new, paths):
                os.replace(*pair)


@contextlib.contextmanager
def locked(path, flags=0):
    """Locks a file or folder; the system drops the lock of a killed process.

    Arguments
    ---------
    path : Path or str
        It exists.
    flags : int
        fcntl.LOCK_NB not to wait for another process.

    Yields
    ------
    bool
        False if another process holds it, None on a system without locks.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | flags)
            is_ours = True
        except OSError as error:
            is_ours = False if isinstance(error, BlockingIOError) else None
        yield is_ours
    finally:
        os.close(descriptor)


@functools.cache  # once, as a corpus may have many files
def _remove_leftovers(folder):
    """Deletes the hidden folders of processes that were killed."""
    for left in folder.glob(".*.partial"):
        # One of another process or user may end, or be closed to us.
        with contextlib.suppress(OSError), locked(left, fcntl.LOCK_NB) as dead:
            if dead:
                shutil.rmtree(left, ignore_errors=True)


def expand_home(words=None):
    """Puts the home directory for each ~ that begins a path.

    A shell leaves --data_folder=~/PolSESS as it is.

    Arguments
    ---------
    words : list of str, optional
        Default: those of the command line.

    Returns
    -------
    list of str
        The words.

    Example
    -------
    >>> home = os.path.expanduser("~")
    >>> words = expand_home(["--a=[~/b, c~/d]", "mls=~", "~x/e~"])
    >>> words == [f"--a=[{home}/b, c~/d]", f"mls={home}", "~x/e~"]
    True
    """
    words = sys.argv[1:] if words is None else words
    home = os.path.expanduser("~").replace("\\", r"\\")
    pattern = r"""(^|[=:,[\s"'])~(?=[/\],\s"']|$)"""
    return [re.sub(pattern, rf"\1{home}", word) for word in words]
