"""Packs the files of a mixture into one: an option of the preparation.

<packed_folder>/<split>/<ID>.wav has a channel for each file that the row has,
in the order of ``audit.metadata.FILES``: one read replaces up to eight.
packed.csv beside it tells of which files each was made, so that it is made anew
when one of them changes.

Authors
 * The PolSESS recipe team 2026
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

import pandas as pd

from audit.corpora import SUBSETS, CorpusError
from audit.metadata import FILES
from audit.packer import TEMPORARY, WHAT_TO_DO, Packer
from audit.threads import in_threads
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

LOCK = ".lock"
GIGABYTE = 1e9


def packed_path(packed_folder, split, mixture_id):
    """Where the packed file of a mixture lies.

    Arguments
    ---------
    packed_folder : str
        None or empty where nothing is packed.
    split : str
        train, valid or test.
    mixture_id : str
        ID of the mixture.

    Returns
    -------
    path : str
        Empty where nothing is packed.

    Example
    -------
    >>> packed_path("/scratch/packed", "train", "abc")
    '/scratch/packed/train/abc.wav'
    >>> packed_path(None, "train", "abc")
    ''
    """
    if not packed_folder:
        return ""
    folder = os.path.expanduser(packed_folder)
    return os.path.join(folder, split, f"{mixture_id}.wav")


def check_packed_folder(packed_folder, roots, splits):
    """Makes the folders of the packed files, if they may be written.

    Arguments
    ---------
    packed_folder : str
        Nothing is done where it is None or empty.
    roots : list of Path
        The corpora, into which nothing is ever written.
    splits : list of str
        Of train, valid, test.

    Raises
    ------
    CorpusError
        If it lies in a corpus, or cannot be written.
    """
    if not packed_folder:
        return
    # Subsets may be links to other disks.
    corpora = [root / subset for root in roots for subset in SUBSETS.values()]
    corpora = {os.path.realpath(folder) for folder in [*roots, *corpora]}
    for split in splits:
        folder = Path(packed_path(packed_folder, split, "")).parent
        real = Path(os.path.realpath(folder))
        if corpora.intersection(map(str, [real, *real.parents])):
            raise CorpusError(
                f"packed_folder: {folder} lies in the corpus, which stays as "
                f"it is. {WHAT_TO_DO}"
            )
        with _explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(prefix=TEMPORARY, dir=folder):
                pass


def pack(save_folder, splits, base, packed_folder, n_jobs=None):
    """Packs the mixtures of the manifests that are not packed yet.

    Arguments
    ---------
    save_folder : str or Path
        Of the manifests.
    splits : list of str
        Of train, valid, test.
    base : Path
        The folder that ``$data_root`` stands for.
    packed_folder : str
        Nothing is done where it is None or empty.
    n_jobs : int, optional
        Number of threads.

    Raises
    ------
    CorpusError
        If a file is not what the manifest says, or not of 16 bit, or if there
        is no room.
    """
    for split in splits if packed_folder else []:
        folder = Path(packed_path(packed_folder, split, "")).parent
        with _explained(folder), _locked(folder):
            _pack_split(save_folder, split, base, folder, n_jobs)


def _pack_split(save_folder, split, base, folder, n_jobs):
    """Packs one split, once what is stale is known and has room."""
    for leftover in folder.glob(f"{TEMPORARY}*"):
        leftover.unlink()
    rows = pd.read_csv(
        Path(save_folder) / f"{split}_C.csv",  # the variant that all rows have
        usecols=["ID", "duration", "sample_rate", *FILES],
        dtype={"ID": str, **dict.fromkeys(FILES, str)},
        keep_default_na=False,
    )
    rows = list(rows.itertuples(index=False))
    packer = Packer(base, folder)
    sizes = in_threads(packer.sizes, rows, n_jobs, f"Checking {split}", 256)
    stale = [row for row, (is_stale, _, _) in zip(rows, sizes) if is_stale]
    needed = sum(new - old for is_stale, new, old in sizes if is_stale)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CorpusError(
            f"packed_folder: {folder} has {free / GIGABYTE:.3f} GB of room, "
            f"{needed / GIGABYTE:.3f} GB are needed. {WHAT_TO_DO}"
        )
    if stale:
        with packer.recording():
            in_threads(packer.pack, stale, n_jobs, f"Packing {split}", 16)
    logger.info(
        "%s: %d mixtures packed in %s, %.3f GB, %d of them now",
        split,
        len(rows),
        folder,
        sum(new for _, new, _ in sizes) / GIGABYTE,
        len(stale),
    )


@contextlib.contextmanager
def _explained(folder):
    """Says what to do where a folder is read-only or its disk is full."""
    try:
        yield
    except OSError as error:
        raise CorpusError(
            f"packed_folder: {folder} cannot be written ({error}). {WHAT_TO_DO}"
        ) from error


@contextlib.contextmanager
def _locked(folder):
    """Waits until no other preparation packs there; a kill frees the lock."""
    with open(folder / LOCK, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("Another preparation packs in %s: waiting", folder)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            logger.warning(
                f"{folder} cannot be locked ({error}): take care that no other "
                "preparation packs there"
            )
        yield
