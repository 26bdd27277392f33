"""The folder of a run: one process at a time, and room on its disk.

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

from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

LOCK = ".lock"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_held = []  # files of locks, open as long as the process runs


def lock_folder(output_folder):
    """Makes the folder of a run, and keeps other processes out of it.

    The system drops the lock with the process, however that ends, and workers
    of data loaders do not inherit it. Raises ValueError that names the holder,
    or says that the folder cannot be written.

    Arguments
    ---------
    output_folder : str
        Of the run.

    """
    path = os.path.join(output_folder, LOCK)
    try:
        os.makedirs(output_folder, exist_ok=True)
        file = open(path, "a+", encoding="utf-8")
    except OSError as error:
        raise ValueError(cannot_be_written(output_folder, error)) from error
    try:
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
    _held.append(file)


def cannot_be_written(folder, error):
    """What to say of a folder that is read-only, or whose disk is full.

    Arguments
    ---------
    folder : str
        Of a run, or a part of it.
    error : OSError
        What the system says.

    Returns
    -------
    str

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


def why_not_saved(folder, error):
    """What to say when a checkpoint cannot be written.

    Arguments
    ---------
    folder : Path
        Of the checkpoints.
    error : Exception
        What the system says, or torch.

    Returns
    -------
    str
    """
    free = shutil.disk_usage(folder).free // 2**20
    return (
        f"{folder}: a checkpoint cannot be written ({error}; free: {free} MiB)."
        " Those before it are intact: make room, and the same command goes on "
        "from there"
    )


@contextmanager
def explained(output_folder):
    """Says where a disk is full, and what to do; Python says neither.

    Arguments
    ---------
    output_folder : str
        Of the run.

    Example
    -------
    >>> with explained("results/1234"):
    ...     raise OSError(errno.ENOSPC, "No space left on device")
    Traceback (most recent call last):
        ...
    OSError: results/1234 cannot be written ([Errno 28] No space left on \
device). The checkpoints are intact: make room, and the same command goes on
    """
    try:
        yield
    except OSError as error:
        # log.txt has no room either, and the message is to stay the last one.
        logging.raiseExceptions = False
        if error.errno not in FULL:
            raise
        raise OSError(
            f"{output_folder} cannot be written ({error}). The checkpoints are "
            "intact: make room, and the same command goes on"
        ) from error
