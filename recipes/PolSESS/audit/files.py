"""Checks files without their samples: links out of the corpus.

Authors
 * The PolSESS recipe team 2026
"""

import os


def check_file(path):
    """Finds what libsndfile does not tell about a file.

    Arguments
    ---------
    path : str
        <root>/<subset>/<folder>/<name>

    Yields
    ------
    defect : tuple of str
        Check, expected, found.
    """
    folder = os.path.dirname(path)
    if leaves_corpus(os.path.join(folder, "")):
        found = f"{folder} is a link to {os.path.realpath(folder)}"
        yield "folder leaves the corpus", "a folder of the corpus", found
    elif os.path.islink(path) and leaves_corpus(path):
        found = f"a link to {os.path.realpath(path)}"
        yield "link leaves the corpus", "a file of the corpus", found


def leaves_corpus(path):
    """Says whether <root>/<subset>/<folder>/<name> really lies elsewhere.

    The root and the subsets may be links: so users spread a corpus over disks.

    Arguments
    ---------
    path : str
        A file, or a folder as <root>/<subset>/<folder>/.

    Returns
    -------
    leaves : bool
    """
    real = os.path.realpath(path)
    subset = os.path.dirname(os.path.dirname(path))
    allowed = (os.path.realpath(f) for f in (subset, os.path.dirname(subset)))
    return not any(real.startswith(folder + os.sep) for folder in allowed)
