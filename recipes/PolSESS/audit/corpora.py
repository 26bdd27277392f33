"""Finds PolSESS corpora and the metadata CSV of each of their subsets.

A problem is a tuple (check, split, file, expected, found), see findings.py;
the split is empty if the problem concerns a corpus as a whole.

Authors
 * The PolSESS recipe team 2026
"""

import os
import re
from collections import namedtuple
from pathlib import Path

from prepare_polsess import SUBSETS, CorpusError

from audit.findings import CHECKS

MISSING = "missing corpus"

# SpeechBrain replaces $words in every value of a CSV.
UNUSABLE = re.compile(r"[$\x00-\x1f]")

Source = namedtuple("Source", "split subset root prefix metadata")
Source.__doc__ = """One split of one corpus root: ``prefix`` is the root as seen
from the data root ("" or "name/"), ``metadata`` the path of its CSV."""


def list_roots(data_folder, allow_missing=False):
    """Makes a list of absolute corpus roots of what the user passed.

    Arguments
    ---------
    data_folder : str, Path or list of them
        One corpus root or several.
    allow_missing : bool
        If True, one that exists is enough: ``locate`` reports the others.

    Returns
    -------
    roots : list of Path
        Each root once, in the given order.

    Raises
    ------
    CorpusError
        If nothing was passed, or folders do not exist.
    """
    if isinstance(data_folder, (str, os.PathLike)):
        data_folder = [data_folder]
    given = [os.fspath(folder) for folder in data_folder or []]
    roots = [os.path.abspath(os.path.expanduser(f)) for f in given if f]
    roots = [Path(root) for root in dict.fromkeys(roots)]
    missing = [str(root) for root in roots if not root.is_dir()]
    n_allowed = len(roots) - 1 if allow_missing else 0
    if not roots or len(missing) > n_allowed:
        problem = f"no such corpus folder: {', '.join(missing)}"
        if not roots:
            problem = "no corpus was given"
        raise CorpusError(f"{problem}. What to do: {CHECKS[MISSING][1]}")
    return roots


def locate(roots, base, splits):
    """Finds the metadata CSV of each split in each root.

    Arguments
    ---------
    roots : list of Path
        The corpus roots, existing or not.
    base : Path
        The folder that ``$data_root`` stands for.
    splits : sequence of str
        Of train, valid, test.

    Returns
    -------
    sources : list of Source
        One for each root and split that was found.
    problems : list of tuple
        One for each that was not, or for a root that holds no subset at all.
    """
    unusable = {root: _find_defect(root) for root in roots}
    sources = []
    problems = [
        (check, "", str(root), expected, found)
        for root, (check, expected, found) in unusable.items()
        if check
    ]
    usable = [root for root, (check, _, _) in unusable.items() if not check]
    for split in splits:
        for root in usable:
            subset = SUBSETS[split]
            prefix = os.path.relpath(root, base) + "/"
            prefix = "" if prefix == "./" else prefix
            metadata, problem = _find_metadata(root, subset)
            if UNUSABLE.search(prefix):
                problem = ("unusable folder", "no $ and line breaks", prefix)
            if problem:
                check, expected, found = problem
                where = f"{prefix}{subset}"
                problems.append((check, split, where, expected, found))
            else:
                sources.append(Source(split, subset, root, prefix, metadata))
    return sources, problems


def _find_defect(root):
    """What is wrong with a root as a whole: check, expected, found."""
    if not root.is_dir():
        found = "a file" if root.exists() else "none"
        return MISSING, "a folder", found
    if _holds_subsets(root):
        return "", "", ""
    corpora = [str(f) for f in sorted(root.iterdir()) if _holds_subsets(f)]
    found = "none"
    if corpora:
        found = f"corpora below it: pass them as [{', '.join(corpora)}]"
    return "no subsets", "folders train, val, test", found


def _holds_subsets(folder):
    """Says whether a folder looks like a corpus root."""
    return any(os.path.isdir(folder / subset) for subset in SUBSETS.values())


def _find_metadata(root, subset):
    """The CSV of a subset, or (check, expected, found) if there is not one."""
    if not (root / subset).is_dir():
        present = [s for s in SUBSETS.values() if (root / s).is_dir()]
        found = f"only {', '.join(present)}"
        return None, ("missing split", f"a folder {subset}", found)
    exact = f"corpus_{root.name}_{subset}_final.csv"
    paths = [
        path
        for folder in (root / subset, root)
        for path in sorted(folder.iterdir())
        if path.name.startswith("corpus_")
        and path.name.endswith(f"_{subset}_final.csv")
    ]
    # A root that was renamed keeps the old name in its CSVs.
    paths = [path for path in paths if path.name == exact] or paths
    if not paths:
        return None, ("missing metadata", exact, "no such file")
    if len({path.read_bytes() for path in paths}) > 1:
        names = " and ".join(os.path.relpath(path, root) for path in paths)
        return None, ("ambiguous metadata", "one file", f"{names} differ")
    return paths[0], None
