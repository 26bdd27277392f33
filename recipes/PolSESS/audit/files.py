"""Checks files without their samples: links out of the corpus, missing bytes.

Authors
 * The PolSESS recipe team 2026
"""

import os
import struct

# Codings of WAV files whose length in bytes gives the length in samples.
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE


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
    n_missing = missing_bytes(path)
    if n_missing:
        expected = "all that its header declares"
        yield "truncated file", expected, f"{n_missing} bytes less"


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


def missing_bytes(path):
    """Compares the declared length of a WAV file with its size.

    libsndfile reads a truncated file as a shorter one without an error.

    Arguments
    ---------
    path : str
        A file of any format.

    Returns
    -------
    n_missing : int
        0 for formats other than WAV, and for an unknown length.
    """
    with open(path, "rb") as file:
        start = file.read(12)
        coding = None
        while start[:4] == b"RIFF" and start[8:] == b"WAVE":
            chunk = file.read(8)
            if len(chunk) < 8:
                break
            name, n_bytes = struct.unpack("<4sI", chunk)
            if name == b"data":
                n_present = os.fstat(file.fileno()).st_size - file.tell()
                # Streaming programs declare no length, or the greatest one.
                is_known = 0 < n_bytes < 2**32 - 256
                is_linear = coding in (PCM, FLOAT, EXTENSIBLE)
                return max(0, n_bytes - n_present) * (is_known and is_linear)
            content = file.read(n_bytes + n_bytes % 2)
            if name == b"fmt ":
                (coding,) = struct.unpack("<H", content[:2])
    return 0
