"""Scores of the mixtures, which no model changes, kept from test to test.

Authors
 * The PolSESS recipe team 2026
"""

import hashlib
import inspect
import os
import sqlite3
import sys
import sysconfig
from dataclasses import dataclass
from importlib.metadata import distributions, version
from pathlib import Path

import numpy as np
from joblib.externals import cloudpickle
from processes import DIED

from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

FILE = "baselines.sqlite"
HERE = Path(__file__).resolve().parent
PACKAGES = ("numpy", "pesq", "pystoi", "scipy")  # that scores come from
LOCK_SECONDS = 10  # how long another process may keep the file to itself
WRITE_EVERY = 500  # scores, so that an interrupted test leaves its own
# Failures that say nothing about the signals.
TRANSIENT = (
    DIED,
    "MemoryError",
    "ImportError",
    "ModuleNotFoundError",
    "OSError",
)


@dataclass
class Known:
    """What the cache has for one mixture and one reference.

    Arguments
    ---------
    keys : dict
        Metric -> key in the cache.
    scores : dict
        Metric -> (score, failure), as ``score_signal`` gives them; only
        the metrics that the cache has.
    """

    keys: dict
    scores: dict


def identity(metric):
    """What tells one definition of a metric from another.

    Arguments
    ---------
    metric : callable
        The function, a functools.partial of it, or an object.

    Returns
    -------
    str
        What is bound to it, versions of packages, and the source of its module;
        for a metric of one's own of all modules that are neither of Python nor
        of a package, since any of them may be what it calls.
    """
    try:
        # Not repr, which leaves out most of an array.
        pickled = cloudpickle.dumps(metric)
    except Exception:
        # What cannot be sent to a process has no score to look up either.
        pickled = os.urandom(16)
    module = inspect.getmodule(getattr(metric, "func", metric))
    if Path(getattr(module, "__file__", None) or "").parent == HERE:
        versions = [version(package) for package in PACKAGES]
        modules = [module]
    else:
        versions = sorted(
            f"{package.name} {package.version}" for package in distributions()
        )
        modules = [m for m in list(sys.modules.values()) if _is_own(m)]
    sources = sorted(Path(m.__file__).read_bytes() for m in modules)
    return repr((pickled, versions, sources))


def _is_own(module):
    """Whether a module is a file that is neither of Python nor of a package."""
    # Not getattr, which loads modules that wait to be loaded.
    path = Path(vars(module).get("__file__") or "")
    library = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"))
    return (
        path.is_file()
        and path.suffix == ".py"
        and path.parent != HERE
        and not any(path.is_relative_to(folder) for folder in library)
    )


class BaselineCache:
    """A file of scores, looked up by the content of the signals.

    The key is a hash of mixture, reference, sample rate and metric, so a file
    of another corpus or task can never be mistaken, and all runs share the
    cache. Where it cannot be read or written, a warning says so and the scores
    are computed.

    Arguments
    ---------
    folder : str
        Where the file lies; ``~`` is the home folder. None for no cache.

    Example
    -------
    >>> from metrics import si_sdr
    >>> cache = BaselineCache(None)
    >>> known = cache.look_up(np.ones(8), np.ones(8), 8000, {"si_sdr": si_sdr})
    >>> known.scores
    {}
    """

    def __init__(self, folder):
        self.path = None
        if folder:
            self.path = os.path.join(os.path.expanduser(folder), FILE)
        self.database = None
        self.new = {}
        self.identities = {}

    def look_up(self, mixture, reference, sample_rate, metrics):
        """Looks for the scores of a mixture.

        Arguments
        ---------
        mixture : np.ndarray
            [time].
        reference : np.ndarray
            [time].
        sample_rate : int
            In Hz.
        metrics : dict
            Name -> function.

        Returns
        -------
        Known
            Those that are there, and keys for those that are not.
        """
        if self.path is None:
            return Known({}, {})
        content = hashlib.blake2b(repr(sample_rate).encode(), digest_size=16)
        for signal in (mixture, reference):
            content.update(f"|{signal.dtype.str}|{signal.shape}|".encode())
            content.update(np.ascontiguousarray(signal))
        known = Known({}, {})
        for name, metric in metrics.items():
            if name not in self.identities:
                self.identities[name] = identity(metric).encode()
            key = content.copy()
            key.update(self.identities[name])
            known.keys[name] = key.digest()
            found = self._query(known.keys[name])
            if found:
                score, failure = found
                score = np.nan if score is None else score
                known.scores[name] = score, failure
        return known

    def add(self, known, scores):
        """Remembers what was computed.

        Arguments
        ---------
        known : Known
            What ``look_up`` returned.
        scores : dict
            Metric -> (score, failure).
        """
        if self.path is None:
            return
        for name, (score, failure) in scores.items():
            if failure is None or not failure.startswith(TRANSIENT):
                self.new[known.keys[name]] = (score, failure)
        if len(self.new) >= WRITE_EVERY:
            self._write()

    def save(self):
        """Writes what is new, and closes the file."""
        self._write()
        if self.database is not None:
            self.database.close()
            self.database = None

    def _query(self, key):
        if self.path is None:
            return None
        try:
            if self.database is None:
                self._open()
            return self.database.execute(
                "SELECT score, failure FROM scores WHERE key = ?", [key]
            ).fetchone()
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)
            return None

    def _open(self):
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        self.database = sqlite3.connect(self.path, timeout=LOCK_SECONDS)
        self.database.execute(
            "CREATE TABLE IF NOT EXISTS scores "
            "(key BLOB PRIMARY KEY, score REAL, failure TEXT) WITHOUT ROWID"
        )

    def _write(self):
        if not self.new or self.path is None:
            return
        # SQLite has no NaN: it stores an empty cell, and so is it read.
        rows = [(key, *result) for key, result in self.new.items()]
        try:
            with self.database:
                self.database.executemany(
                    "INSERT OR REPLACE INTO scores VALUES (?, ?, ?)", rows
                )
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)
        self.new = {}

    def _give_up(self, error):
        logger.warning(
            f"{self.path}: {error}; the scores of the mixtures are computed "
            "anew. If the file is damaged, delete it; --cache_folder names "
            "another folder"
        )
        self.path = None
