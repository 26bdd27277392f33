"""The output folder of a run: its lock, and errors that say what to do.

Authors
 * The PolSESS recipe team 2026
"""

import errno
import fcntl
import logging
import os
import shutil
import socket
import time
from contextlib import contextmanager

from runs.ranks import run_on_main_or_end
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

LOCK = ".lock"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_locks = []  # open files, which keep their locks until the process ends


def lock_folder(output_folder):
    """Makes the folder of a run, and keeps other runs out of it.

    The main process locks. The system drops the lock with the process, and
    workers of data loaders do not inherit it. Raises ValueError that names the
    holder, or says that the folder cannot be written; all ranks end then.

    Arguments
    ---------
    output_folder : str
        Output folder of the run.
    """
    run_on_main_or_end(_lock, output_folder)


def _lock(output_folder):
    path = os.path.join(output_folder, LOCK)
    try:
        os.makedirs(output_folder, exist_ok=True)
        file = open(path, "a+", encoding="utf-8")
    except OSError as error:
        raise ValueError(cannot_be_written(output_folder, error)) from error
    try:
        # Not flock, which forked workers inherit.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        file.seek(0)
        raise ValueError(
            f"output_folder: {output_folder} is in use by {file.read()}; wait "
            "for it, or name another one with --output_folder"
        ) from error
    except OSError as error:
        logger.warning(
            f"{path} cannot be locked ({error}): take care that no other "
            "process uses this folder"
        )
    started = time.strftime("%Y-%m-%d %H:%M:%S")
    try:
        file.truncate(0)
        file.write(
            f"process {os.getpid()} on {socket.gethostname()} since {started}"
        )
        file.flush()
    except OSError as error:
        raise ValueError(cannot_be_written(output_folder, error)) from error
    _locks.append(file)


def cannot_be_written(folder, error):
    """Words the error of a folder that is read-only, or whose disk is full.

    Example
    -------
    >>> cannot_be_written("/runs/1", "Read-only file system")
    '/runs/1 cannot be written (Read-only file system); name another one with \
--output_folder'
    """
    return (
        f"{folder} cannot be written ({error}); name another one with "
        "--output_folder"
    )


def cannot_be_saved(folder, error):
    """Words the error of a checkpoint that cannot be written to a folder."""
    free = shutil.disk_usage(folder).free // 2**20
    return (
        f"{folder}: a checkpoint cannot be written ({error}; free: {free} MiB)."
        " Those before it are intact: make room, and the same command goes on "
        "from there"
    )


@contextmanager
def disk_errors(output_folder):
    """Adds to the error of a full disk where it is full, and what to do.

    Arguments
    ---------
    output_folder : str
        Output folder of the run.

    Example
    -------
    >>> with disk_errors("results/1234"):
    ...     raise OSError(errno.ENOSPC, "No space left on device")
    Traceback (most recent call last):
        ...
    OSError: results/1234 cannot be written ([Errno 28] No space left on \
device). The checkpoints are intact: make room, and the same command goes on
    """
    try:
        yield
    except OSError as error:
        # log.txt has no room either, and this message has to be the last one.
        logging.raiseExceptions = False
        if error.errno not in FULL:
            raise
        raise OSError(
            f"{output_folder} cannot be written ({error}). The checkpoints are "
            "intact: make room, and the same command goes on"
        ) from error


def fsync_path(path):
    """Waits until a file, or the entries of a directory, are on disk.

    Arguments
    ---------
    path : Path
        File or directory to sync.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
