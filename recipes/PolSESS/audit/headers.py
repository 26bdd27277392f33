"""Checks the headers of the audio files of PolSESS mixtures.

A defect is a tuple (index of the row, check, file, expected, found); findings.py
explains the checks.

Authors
 * The PolSESS recipe team 2026
"""

import os
import stat
import struct
from collections import Counter

import pandas as pd

from audit.metadata import FILES
from audit.threads import in_threads
from speechbrain.dataio import audio_io

# Codings of WAV files of which the length in bytes gives that in samples.
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE


def check_headers(rows, base, n_jobs=None):
    """Reads the headers of all files and compares those of each row.

    Arguments
    ---------
    rows : pandas.DataFrame
        With paths below ``base``, empty where a row has no such file.
    base : Path
        The folder that ``$data_root`` stands for.
    n_jobs : int, optional
        Number of threads.

    Returns
    -------
    rows : pandas.DataFrame
        With two columns more, NaN if unreadable: frames and sample_rate.
    defects : list of tuple
        See above.
    """
    files = rows[list(FILES)].melt(ignore_index=False, value_name="file")
    files = files[files["file"] != ""]
    paths = [os.path.join(base, file) for file in files["file"]]
    headers = in_threads(inspect_file, paths, n_jobs, "Reading headers", 256)
    columns = ["frames", "sample_rate", "channels", "defect"]
    headers = pd.DataFrame(headers, columns=columns, index=files.index)
    files = pd.concat([files, headers], axis=1)
    broken = files[files["frames"].isna()]
    defects = [
        (index, defect[0], file, *defect[1:])
        for index, file, defect in zip(
            broken.index, broken["file"], broken["defect"]
        )
    ]
    defects += _compare_headers(files[files["frames"].notna()])
    mixtures = files[files["variable"] == "mix_wav"]
    return rows.join(mixtures[["frames", "sample_rate"]]), defects


def _compare_headers(files):
    """Yields what differs among the files of a row, and from mono."""
    n_lengths = files.groupby(level=0)["frames"].nunique()
    uneven = files.loc[n_lengths.index[n_lengths > 1]]
    for index, of_row in uneven.groupby(level=0):
        # The most common length; of equally common ones the mixture's.
        usual = Counter(of_row["frames"]).most_common(1)[0][0]
        odd = of_row[of_row["frames"] != usual]
        expected = f"{usual:.0f} samples as in the other files of the row"
        for file, found in zip(odd["file"], odd["frames"]):
            yield index, "length differs", file, expected, f"{found:.0f}"
    usual_rate = files["sample_rate"].mode().max()
    for column, check, usual, expected in (
        (
            "sample_rate",
            "sample rate differs",
            usual_rate,
            f"{usual_rate:.0f} Hz as in most files",
        ),
        ("channels", "not mono", 1, "1 channel"),
    ):
        odd = files[files[column] != usual]
        for index, file, found in zip(odd.index, odd["file"], odd[column]):
            yield index, check, file, expected, f"{found:.0f}"


def inspect_file(path):
    """Reads the header of one file.

    Arguments
    ---------
    path : str
        <root>/<subset>/<folder>/<name>

    Returns
    -------
    frames, sample_rate, channels : int or None
        None if the file has a defect.
    defect : tuple of str or None
        Check, expected, found.
    """
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode) and leaves_corpus(path):
            found = f"a link to {os.path.realpath(path)}"
            defect = ("link leaves the corpus", "a file of the corpus", found)
        elif status.st_size == 0:
            defect = ("zero-byte file", "a WAV file", "0 bytes")
        else:
            frames, sample_rate, channels, n_missing = _read_header(path)
            if n_missing:
                expected = "all that its header declares"
                defect = ("truncated file", expected, f"{n_missing} bytes less")
            elif frames == 0 or sample_rate == 0:
                found = f"{frames} samples at {sample_rate} Hz"
                defect = ("empty audio", "samples", found)
            else:
                return frames, sample_rate, channels, None
    except (FileNotFoundError, NotADirectoryError):
        defect = ("missing file", "a file", "none")
    except (OSError, ValueError, RuntimeError, struct.error) as error:
        defect = ("unreadable file", "a WAV file", str(error))
    return None, None, None, defect


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


def _read_header(path):
    """Frames, sample rate, channels and the number of missing bytes.

    Plain WAV headers are read here: that takes an eighth of the time that
    ``audio_io.info`` takes, and libsndfile hides that a file was truncated.
    """
    with open(path, "rb") as file:
        start = file.read(12)
        header = None
        while start[:4] == b"RIFF" and start[8:] == b"WAVE":
            chunk = file.read(8)
            if len(chunk) < 8:
                raise ValueError("a WAV file without audio data")
            name, n_bytes = struct.unpack("<4sI", chunk)
            if name == b"data":
                n_present = os.fstat(file.fileno()).st_size - file.tell()
                break
            content = file.read(n_bytes + n_bytes % 2)
            if name == b"fmt ":
                header = struct.unpack("<HHIIH", content[:14])
    if header:
        coding, channels, sample_rate, _, frame_bytes = header
        # Streaming programs declare no length or the greatest possible one.
        is_known = 0 < n_bytes < 2**32 - 256 or n_present == 0
        if is_known and coding in (PCM, FLOAT, EXTENSIBLE) and frame_bytes:
            n_missing = max(0, n_bytes - n_present)
            return n_bytes // frame_bytes, sample_rate, channels, n_missing
    info = audio_io.info(path)
    return info.frames, info.sample_rate, info.channels, 0
