"""Finds and reads the metadata of PolSESS corpora.

``list_roots`` checks what the user passed, ``locate`` finds the metadata CSV of
each split in each corpus root, ``read_rows`` turns them into one table. A
problem is a tuple (check, split, file, expected, found), see findings.py.

Authors
 * The PolSESS recipe team 2026
"""

import csv
import os
import re
from collections import namedtuple
from pathlib import Path

import numpy as np
import pandas as pd

# The corpus says "val" where SpeechBrain says "valid".
SUBSETS = {"train": "train", "valid": "val", "test": "test"}

# Manifest column -> (column of the metadata, folder of the file). The first
# five are in every row, the three reverberations in indoor rows only.
FILES = {
    "mix_wav": ("mixFile", "mix"),
    "s1_wav": ("speaker1File", "clean"),
    "s2_wav": ("speaker2File", "clean"),
    "scene_wav": ("sceneFile", "scene"),
    "event_wav": ("eventFile", "event"),
    "s1_reverb_wav": ("reverbForSpeaker1", "sp1_reverb"),
    "s2_reverb_wav": ("reverbForSpeaker2", "sp2_reverb"),
    "event_reverb_wav": ("reverbForEvent", "ev_reverb"),
}
REVERBS = tuple(name for name in FILES if name.endswith("_reverb_wav"))

# Other columns that are read: manifest (or internal) column -> metadata.
VALUES = {
    "ssr_db": "SSR",
    "scene_class": "sceneClass",
    "event_class": "eventClass",
    "recording1": "speech1OryginalPath",
    "recording2": "speech2OryginalPath",
    "event_recording": "eventOryginalPath",
    "scene_recording": "sceneOryginalPath",
}

# Columns of every release. Older corpora lack three more, which nothing here
# needs: sceneRandomDB, sceneOffsetDB and sceneVolumeGain.
REQUIRED_COLUMNS = (
    "subset speech1OryginalPath speech1Start speech1End speech2OryginalPath "
    "speech2Start speech2End SSR sceneOryginalPath sceneStart sceneEnd "
    "eventOryginalPath eventStart eventEnd speaker1File speaker2File eventFile "
    "sceneFile reverbForSpeaker1 reverbForSpeaker2 reverbForEvent mixFile "
    "sceneClass eventClass preDelayForEvent preDelay1 preDelay2 highCut "
    "diffusion decay freqDamp"
).split()

# What MATLAB and spreadsheets write into an empty cell.
EMPTY_CELLS = {"", "NaN", "nan", "NA", "missing", "<missing>", "<undefined>"}

# SpeechBrain replaces $words in every value of a CSV.
UNUSABLE = re.compile(r"[$\x00-\x1f]")

Source = namedtuple("Source", "split subset root prefix metadata")
Source.__doc__ = """One split of one corpus root: ``prefix`` is the root as seen
from the data root ("" or "name/"), ``metadata`` the path of its CSV."""


class CorpusError(ValueError):
    """A corpus that cannot be used; the message says what to do."""


def list_roots(data_folder):
    """Makes a list of absolute corpus roots of what the user passed.

    Arguments
    ---------
    data_folder : str, Path or list of them
        One corpus root or several.

    Returns
    -------
    roots : list of Path
        Each root once, in the given order.

    Raises
    ------
    CorpusError
        If nothing was passed, or a folder does not exist.
    """
    if isinstance(data_folder, (str, os.PathLike)):
        data_folder = [data_folder]
    given = [os.fspath(folder) for folder in data_folder or []]
    roots = {os.path.abspath(os.path.expanduser(f)): f for f in given if f}
    missing = [f for path, f in roots.items() if not os.path.isdir(path)]
    if missing or not roots:
        problem = "no corpus was given"
        if missing:
            problem = f"no such corpus folder: {', '.join(missing)}"
        raise CorpusError(
            f"{problem}. Pass the PolSESS folder with --data_folder or the "
            "environment variable POLSESS_DATA_ROOT; `make demo` makes a demo "
            "corpus."
        )
    return [Path(root) for root in roots]


def _refuse_parent_of_corpora(root):
    """Raises CorpusError when the subsets are one folder further down."""
    subsets = SUBSETS.values()
    if any((root / subset).is_dir() for subset in subsets):
        return
    corpora = [
        str(child)
        for child in sorted(root.iterdir())
        if any((child / subset).is_dir() for subset in subsets)
    ]
    hint = "Check the path given with --data_folder."
    if corpora:
        hint = f"Its folders do: pass --data_folder {' '.join(corpora)}"
    raise CorpusError(
        f"{root} holds none of the folders train, val, test. {hint}"
    )


def locate(roots, base, splits):
    """Finds the metadata CSV of each split in each root.

    Arguments
    ---------
    roots : list of Path
        The corpus roots.
    base : Path
        The folder that ``$data_root`` stands for.
    splits : sequence of str
        Of train, valid, test.

    Returns
    -------
    sources : list of Source
        One for each root and split that was found.
    problems : list of tuple
        One for each that was not.

    Raises
    ------
    CorpusError
        If a root holds no subset at all.
    """
    for root in roots:
        _refuse_parent_of_corpora(root)
    sources, problems = [], []
    for split in splits:
        for root in roots:
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


def read_rows(sources):
    """Reads the metadata of all sources into one table.

    Arguments
    ---------
    sources : list of Source
        What ``locate`` found.

    Returns
    -------
    rows : pandas.DataFrame
        One row per mixture, all str: split, ID, setting, metadata (its CSV),
        row (the line there), n_cells ("" if right), folder, the names of the
        files under the columns of the manifest, values and speakers.
    problems : list of tuple
        About whole CSVs.
    """
    records, problems = [], []
    for source in sources:
        name = source.prefix + os.path.relpath(source.metadata, source.root)
        try:
            lines = _read_csv(source.metadata)
            header = next(lines, (0, []))[1]
            wrong = [
                ("missing column", f"a column {column}", "none of that name")
                for column in REQUIRED_COLUMNS
                if column not in header
            ]
            if not wrong:
                n_before = len(records)
                records += _select_cells(source, name, header, lines)
                if len(records) == n_before:
                    wrong = [("no rows", "a row per mixture", "only a header")]
        except (csv.Error, OSError) as error:
            wrong = [("unreadable metadata", "a CSV file", str(error))]
        problems += [
            (check, source.split, name, *problem) for check, *problem in wrong
        ]
    columns = ["split", "metadata", "row", "n_cells", "folder"]
    rows = pd.DataFrame(records, columns=[*columns, *FILES, *VALUES])
    return _add_derived_columns(rows), problems


def _read_csv(path):
    """Yields line number and cells, the header first."""
    with open(path, newline="", **_encoding_of(path)) as file:
        reader = csv.reader(file)
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if any(cells):
                yield reader.line_num, cells


def _encoding_of(path):
    """UTF-8 with or without a mark at its start, or Polish Windows."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            for _ in file:
                pass
    except UnicodeDecodeError:
        # Only the paths of the source recordings can have accents.
        return {"encoding": "cp1250", "errors": "replace"}
    return {"encoding": "utf-8-sig"}


def _select_cells(source, name, header, lines):
    """Yields the cells that are used, with empty cells as empty strings."""
    wanted = [column for column, _ in FILES.values()] + list(VALUES.values())
    positions = [header.index(column) for column in wanted]
    width = len(header)
    folder = f"{source.prefix}{source.subset}/"
    for line, cells in lines:
        n_cells = "" if len(cells) == width else str(len(cells))
        cells += [""] * (width - len(cells))
        chosen = [cells[position] for position in positions]
        chosen = ["" if cell in EMPTY_CELLS else cell for cell in chosen]
        yield [source.split, name, str(line), n_cells, folder, *chosen]


def _add_derived_columns(rows):
    """Adds ID, setting and speakers."""
    rows["ID"] = rows["mix_wav"].str.replace(r"\.[^.]*$", "", regex=True)
    n_reverbs = (rows[list(REVERBS)] != "").sum(axis=1)
    rows["setting"] = np.where(n_reverbs > 0, "indoor", "outdoor")
    rows["speaker1"] = [speaker_of(path) for path in rows["recording1"]]
    rows["speaker2"] = [speaker_of(path) for path in rows["recording2"]]
    for column in (c for c in VALUES if "recording" in c):
        rows[column] = [recording_of(path) for path in rows[column]]
    return rows.astype(str)  # without rows, too


def speaker_of(path):
    """Reads the speaker from the path of a source recording.

    Arguments
    ---------
    path : str
        A Windows or POSIX path: an EMU session (SESxxxx), an MLS file
        (<speaker>_<book>_<number>) or a file in a folder per speaker.

    Returns
    -------
    speaker : str
        Empty if the path has neither.

    Example
    -------
    >>> speaker_of("C:\\\\emu\\\\SES0213_ses\\\\sent016_bndl\\\\sent016.wav")
    'SES0213'
    >>> speaker_of("mls/audio/6892/8338/6892_8338_000641.flac")
    '6892'
    >>> speaker_of("voices/ewa/001.wav")
    'ewa'
    """
    parts = path.replace("\\", "/").split("/")
    for part in parts:
        session = re.match(r"SES\d+", part)
        if session:
            return session[0]
    book = re.match(r"(\d+)_\d+_\d+\.\w+$", parts[-1])
    if book:
        return book[1]
    return parts[-2] if len(parts) > 1 else ""


def recording_of(path):
    """Names a source recording independently of where it was installed.

    Arguments
    ---------
    path : str
        A Windows or POSIX path.

    Returns
    -------
    recording : str
        The last three parts: EMU repeats its file names in every session.

    Example
    -------
    >>> recording_of("C:\\\\emu\\\\SES0213_ses\\\\sent016_bndl\\\\sent016.wav")
    'ses0213_ses/sent016_bndl/sent016.wav'
    """
    return "/".join(path.replace("\\", "/").lower().split("/")[-3:])
