"""Files of PolSESS's commands: they appear whole; tables; folders below home.

The corpus is that of Kleć, Szklanny, Wieczorkowska, 2024.

Authors
 * The PolSESS recipe team 2026
"""

import codecs
import contextlib
import csv
import fcntl
import functools
import io
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


def read_text(path):
    """Reads a text file in UTF-8, UTF-16 or the code page of Polish Windows.

    Arguments
    ---------
    path : Path
        The file.

    Returns
    -------
    text : str
        Without a byte order mark.

    Raises
    ------
    ValueError
        If it is none of them.
    """
    content = path.read_bytes()
    encodings = ["utf-8-sig", "cp1250"]
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    elif b"\0" in content[:2]:
        encodings = ["utf-16-be" if content[0] == 0 else "utf-16-le"]
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError as error:
            where = f"byte {error.start} is none of {encoding}"
    raise ValueError(f"{path}: expected text, {where}; save the table as UTF-8")


def read_cells(path, columns):
    """Reads a CSV with commas, semicolons, tabs or bars.

    Arguments
    ---------
    path : Path
        The file.
    columns : sequence of str
        The separator is the one that finds most of these in the header.

    Returns
    -------
    lines : list of tuple
        Number and stripped cells of each line, the header first. Empty lines,
        and a first line such as ``sep=;``, are left out.

    Raises
    ------
    ValueError
        If the file is no text, or no CSV.
    """
    lines = io.StringIO(read_text(path), newline="")
    n_before = int(lines.readline().strip('" \r\n').lower().startswith("sep="))
    if not n_before:
        lines.seek(0)
    start = lines.tell()
    header = lines.readline()
    lines.seek(start)
    delimiter = max(
        ",;\t|",
        key=lambda mark: sum(
            name.strip(' "\r\n') in columns for name in header.split(mark)
        ),
    )
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        return [
            (n_before + reader.line_num, [cell.strip() for cell in cells])
            for cells in reader
            if any(map(str.strip, cells))
        ]
    except csv.Error as error:
        where = f"line {n_before + reader.line_num}"
        raise ValueError(f"{path}: {where}: {error}") from None


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
