"""The official table: which recordings the published corpus is made of.

`dataSources.mat` of the generator's repository (s17060/PolSESS; Kleć,
Szklanny, Wieczorkowska, 2024), or the same table as CSV. It names 122,716
recordings of seven corpora by Windows paths and has no speakers: those of EMU
come from the list `utt2spk` (session, speaker) of its authors.

Authors
 * The PolSESS recipe team 2026
"""

import csv
import gzip
import pathlib
import re

import pandas as pd

COLUMNS = ("subset", "filePath", "role", "source", "class", "duration")
# Name of a source in the table -> name in --root.
SOURCES = {
    "emu": "emu",
    "libriSpeech": "mls",
    "tut": "tut",
    "tau": "tau",
    "wham": "wham",
    "esc50": "esc50",
    "fsd50": "fsd50k",
}
SUBSETS = ("train", "val", "test")
SESSION = re.compile(r"SES\d{4}", re.I)
SPEAKER_LIST = "utt2spk of github.com/danijel3/ClarinStudioKaldi, local_clarin"


class OfficialError(ValueError):
    """The official corpus cannot be made; the message says what to change."""


def read_official(table, speaker_list=None):
    """Reads the official table.

    Raises OfficialError for a file that is not that table, and for sessions
    that the list of speakers lacks.

    Arguments
    ---------
    table : pathlib.Path
        dataSources.mat, or the table as .csv or .csv.gz.
    speaker_list : pathlib.Path, optional
        The EMU sessions and their speakers; without it a session counts as a
        speaker.

    Returns
    -------
    rows : list of dict
        The COLUMNS, as text, and `group`: the speaker, the place, or the
        recording session, which clean subsets do not share. `source` has the
        names of --root, and `filePath` forward slashes.
    """
    rows = _read_mat(table) if table.suffix == ".mat" else _read_csv(table)
    wrong = [
        f"row {number}: subset {row['subset']!r}, source {row['source']!r}"
        for number, row in enumerate(rows, 1)
        if row["subset"] not in SUBSETS or row["source"] not in SOURCES
    ]
    if wrong or not rows:
        raise OfficialError(
            f"{table}: {len(wrong)} of {len(rows)} rows are not of the "
            f"official table, for example {'; '.join(wrong[:3])}; expected "
            f"subsets {', '.join(SUBSETS)} and sources {', '.join(SOURCES)}"
        )
    speakers = _read_speakers(speaker_list) if speaker_list else {}
    for row in rows:
        row["filePath"] = row["filePath"].replace("\\", "/").lstrip("/")
        row["source"] = SOURCES[row["source"]]
        row["group"] = group_of(row["source"], row["filePath"])
        if row["source"] == "emu" and speaker_list:
            row["group"] = speakers.get(row["group"])
    lost = sum(row["group"] is None for row in rows)
    if lost:
        raise OfficialError(
            f"{speaker_list}: lacks the sessions of {lost} EMU recordings; "
            f"expected lines such as 'SES0001 SPK0001', as in {SPEAKER_LIST}"
        )
    return rows


def group_of(source, path):
    """The speaker, place or session of a recording, kept in one subset.

    Arguments
    ---------
    source : str
        One of the names of --root.
    path : str
        filePath with forward slashes.

    Returns
    -------
    group : str
        The session (EMU), speaker (MLS), place (TAU), session of recording
        (TUT), the upload to Freesound (ESC-50, FSD50K) or the file (WHAM).

    Example
    -------
    >>> group_of("mls", "dev/audio/5090/1447/5090_1447_000088.flac")
    '5090'
    >>> group_of("tau", "audio/metro_station-lyon-1028-40032-a.wav")
    'metro_station-lyon-1028'
    >>> group_of("esc50", "1-100032-A-0.wav")
    '100032'
    """
    stem = path.rpartition("/")[2].rpartition(".")[0]
    if source == "emu":
        found = SESSION.search(path)
        return found and found[0].upper()
    return {
        "mls": lambda: stem.split("_")[0],
        "tut": lambda: stem.split("_")[0],
        "tau": lambda: stem.rsplit("-", 2)[0],
        "esc50": lambda: stem.split("-")[1],
    }.get(source, lambda: stem)()


def _read_csv(table):
    """Rows of the table in CSV, compressed or not."""
    opened = gzip.open if table.suffix == ".gz" else open
    with opened(table, "rt", encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines)
        _check_columns(table, reader.fieldnames or ["no header"])
        return [{name: row[name] or "" for name in COLUMNS} for row in reader]


def _read_mat(table):
    """Rows of the table in MATLAB's format."""
    try:
        # The import changes this option for the whole process.
        with pd.option_context("future.infer_string", False):
            from matio import load_from_mat
    except ImportError as error:
        raise OfficialError(
            f"{table}: a .mat table needs the package mat-io: pip install "
            "mat-io; or give the table as CSV"
        ) from error
    frame = load_from_mat(str(table)).get("datasrc")
    _check_columns(table, [] if frame is None else list(frame.columns))
    values = zip(*(frame[name].tolist() for name in COLUMNS))
    return [dict(zip(COLUMNS, map(_text, row))) for row in values]


def _text(value):
    """A cell of MATLAB's as text: cells of cells, missing categories."""
    if not isinstance(value, (str, float)):
        (value,) = value
    return "" if value != value else str(value)


def _check_columns(table, names):
    """Raises OfficialError if a column is missing."""
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise OfficialError(
            f"{table}: missing column(s) {', '.join(missing)}; found "
            f"{', '.join(names) or 'no table datasrc'}; expected is "
            "dataSources.mat of github.com/s17060/PolSESS, or its CSV"
        )


def find_speaker_list(given, table, emu_root):
    """The list of EMU speakers: as given, or where copies usually lie.

    Arguments
    ---------
    given : str or None
        Value of --emu_speakers.
    table : pathlib.Path
        The official table; the list may lie beside it.
    emu_root : str or None
        The EMU corpus; the list may lie in it.

    Returns
    -------
    path : pathlib.Path or None
        None where no list is found.
    """
    if given:
        return pathlib.Path(given)
    folders = [table.parent, table.parent / "clarin"]
    folders += [pathlib.Path(emu_root)] if emu_root else []
    found = [folder / "utt2spk" for folder in folders]
    return next((path for path in found if path.is_file()), None)


def _read_speakers(path):
    """EMU session -> speaker."""
    text = path.read_text(encoding="utf-8")
    pairs = (line.split() for line in text.splitlines())
    return {
        session[0].upper(): pair[1]
        for pair in pairs
        if len(pair) == 2 and (session := SESSION.search(pair[0]))
    }
