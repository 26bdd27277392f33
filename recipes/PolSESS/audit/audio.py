"""Inspects the audio files of PolSESS mixtures: headers and samples.

Both functions return defects, tuples (index of the row, check, file, expected,
found) whose checks are explained in findings.py.

Authors
 * The PolSESS recipe team 2026
"""

import os
import stat
import struct
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd

from audit.metadata import FILES
from speechbrain.dataio import audio_io
from speechbrain.utils.parallel import get_available_cpu_count, parallel_map

SAMPLED_ROWS_PER_SPLIT = 200

# Rounding of the mixture and of its seven or four components, in steps of 16
# bit (measured on published corpora). More: a component was limited.
LSB = 2.0**-15
ROUNDING_LSB = {"indoor": 3, "outdoor": 2}

# A mixture that differs by more, relative to its level, is not the sum of its
# components: subtracting one of them would add it with the opposite sign.
MAX_RESIDUE_DB = -40

FULL_SCALE = 1 - LSB
SILENCE = LSB  # peak
NEAR_SILENT_SPEECH_DB = -50  # RMS against full scale

# Reading waits for the disk most of the time.
THREADS_PER_CPU = 4

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
    headers = _in_threads(inspect_file, paths, n_jobs, "Reading headers", 256)
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


def check_samples(rows, base, level, n_jobs=None):
    """Reads the samples of rows and compares mixtures with their sums.

    Arguments
    ---------
    rows : pandas.DataFrame
        Rows without defects.
    base : Path
        The folder that ``$data_root`` stands for.
    level : str
        "full" for all rows, "quick" for 200 per split.
    n_jobs : int, optional
        Number of threads.

    Returns
    -------
    defects : list of tuple
        See above.
    """
    if level == "quick":
        # A draw that depends on nothing but the IDs, not on their order.
        draw = rows["ID"].map(lambda name: zlib.crc32(name.encode()))
        split = rows["split"].loc[draw.sort_values(kind="stable").index]
        rows = rows.loc[split.groupby(split).head(SAMPLED_ROWS_PER_SPLIT).index]
    tasks = [
        (base, row.setting, {c: getattr(row, c) for c in FILES})
        for row in rows.itertuples()
    ]
    results = _in_threads(inspect_samples, tasks, n_jobs, "Reading samples", 8)
    return [
        (index, *defect)
        for index, defects in zip(rows.index, results)
        for defect in defects
    ]


def inspect_samples(task):
    """Reads the samples of one row.

    Arguments
    ---------
    task : tuple
        Data root, setting (indoor or outdoor) and the paths by column.

    Returns
    -------
    defects : list of tuple of str
        Check, file, expected, found.
    """
    base, setting, files = task
    defects, signals = [], {}
    for column, file in files.items():
        if not file:
            continue
        try:
            signal, _ = audio_io.load(os.path.join(base, file))
        except RuntimeError as error:
            defects.append(("unreadable file", file, "a WAV file", str(error)))
            continue
        samples = signal.squeeze(0).numpy().astype(np.float64)
        n_bad = np.count_nonzero(~np.isfinite(samples))
        if n_bad:
            check = "NaN or infinite samples"
            defects.append((check, file, "finite samples", f"{n_bad} samples"))
            continue
        defects += _check_level(column, file, samples)
        signals[column] = samples
    if len(signals) == sum(map(bool, files.values())):
        mixture = signals.pop("mix_wav")
        residue = mixture - sum(signals.values())
        defects += _check_residue(setting, files["mix_wav"], mixture, residue)
    return defects


def _check_level(column, file, samples):
    """Warnings about one file: clipped, silent, near-silent speech."""
    peak = np.abs(samples).max()
    rms_db = 10 * np.log10(np.mean(samples**2) + 1e-20)
    if peak >= FULL_SCALE:
        n_clipped = np.count_nonzero(np.abs(samples) >= FULL_SCALE)
        yield "clipped", file, "below full scale", f"{n_clipped} samples"
    if peak <= SILENCE:
        yield "silent", file, "a signal", f"peak {peak / LSB:.0f} LSB"
    elif column in ("s1_wav", "s2_wav") and rms_db < NEAR_SILENT_SPEECH_DB:
        expected = f"at least {NEAR_SILENT_SPEECH_DB} dB"
        yield "near-silent speech", file, expected, f"{rms_db:.1f} dB"


def _check_residue(setting, file, mixture, residue):
    """Compares a mixture with the sum of its components."""
    peak_lsb = np.abs(residue).max() / LSB
    limit = ROUNDING_LSB[setting]
    if peak_lsb <= limit + 0.01:
        return []
    with np.errstate(divide="ignore"):
        residue_db = 10 * np.log10(np.sum(residue**2) / np.sum(mixture**2))
    if residue_db > MAX_RESIDUE_DB:
        expected = f"residue below {MAX_RESIDUE_DB} dB"
        found = f"{residue_db:.1f} dB"
        return [("mixture is not the sum", file, expected, found)]
    found = f"{peak_lsb:.0f} LSB, {residue_db:.1f} dB"
    return [("beyond rounding", file, f"at most {limit} LSB", found)]


def _in_threads(function, items, n_jobs, description, chunk_size):
    """Maps with a progress bar; threads, as nothing must be copied to them."""
    n_jobs = n_jobs or THREADS_PER_CPU * get_available_cpu_count()
    with ThreadPoolExecutor(n_jobs) as executor:
        return list(
            parallel_map(
                function,
                items,
                chunk_size=chunk_size,
                executor=executor,
                progress_bar=len(items) > 0,
                progress_bar_kwargs={"desc": description, "smoothing": 0.02},
            )
        )
