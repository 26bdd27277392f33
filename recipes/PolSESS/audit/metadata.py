"""Reads the metadata CSVs of PolSESS corpora into one table.

A problem is a tuple (check, split, file, expected, found), see findings.py.

Authors
 * The PolSESS recipe team 2026
"""

import csv
import os

import numpy as np
import pandas as pd
from prepare_polsess import FILES

from audit.recordings import find_speakers, recording_of

REVERBS = tuple(name for name in FILES if name.endswith("_reverb_wav"))

# Metadata columns that only indoor rows fill, too.
REVERB_PARAMETERS = (
    "preDelayForEvent preDelay1 preDelay2 highCut diffusion decay freqDamp"
).split()

# Other columns that are read: manifest (or internal) column -> metadata.
VALUES = {
    "subset": "subset",
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
    "sceneClass eventClass"
).split() + REVERB_PARAMETERS

# What MATLAB and spreadsheets write into an empty cell.
EMPTY_CELLS = {"", "NaN", "nan", "NA", "missing", "<missing>", "<undefined>"}


def read_rows(sources):
    """Reads the metadata of all sources into one table.

    Arguments
    ---------
    sources : list of Source
        What ``audit.corpora.locate`` found.

    Returns
    -------
    rows : pandas.DataFrame
        One row per mixture, all str: split, ID, setting, metadata (its CSV),
        row (the line there), n_cells ("" if right), n_parameters (of the
        reverberation), folder, the names of the files under the columns of the
        manifest, values and speakers.
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
    columns = ["split", "metadata", "row", "n_cells", "n_parameters", "folder"]
    rows = pd.DataFrame(records, columns=[*columns, *FILES, *VALUES])
    return _add_derived_columns(rows), problems


def read_all_columns(sources, rows):
    """Reads every column of the metadata, for the rows that are used.

    Arguments
    ---------
    sources : list of Source
        What ``audit.corpora.locate`` found.
    rows : pandas.DataFrame
        From ``read_rows``; those to keep.

    Returns
    -------
    pandas.DataFrame
        ID (a column of that name in the corpus gives way) and the columns as
        they are in the corpus, all str, sorted by ID.
    """
    places = list(zip(rows["metadata"], rows["row"]))
    ids = dict(zip(places, rows["ID"]))
    records = []
    for source in sources:
        name = source.prefix + os.path.relpath(source.metadata, source.root)
        (_, header), *lines = _read_csv(source.metadata)
        for line, cells in lines:
            place = (name, str(line))
            if place in ids:
                record = {"ID": ids[place]}
                for column, cell in zip(header, cells):
                    # The first of a name, as in read_rows.
                    record.setdefault(column, cell)
                records.append(record)
    table = pd.DataFrame(records).fillna("")
    # A mixture may well have the name NA.
    known = table.drop(columns="ID").columns
    table[known] = table[known].mask(table[known].isin(EMPTY_CELLS), "")
    table = table.drop(columns="", errors="ignore")
    return table.sort_values("ID", kind="stable", ignore_index=True)


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
    parameters = [header.index(column) for column in REVERB_PARAMETERS]
    width = len(header)
    folder = f"{source.prefix}{source.subset}/"
    for line, cells in lines:
        n_cells = "" if len(cells) == width else str(len(cells))
        cells += [""] * (width - len(cells))
        cells = ["" if cell in EMPTY_CELLS else cell for cell in cells]
        n_parameters = str(sum(cells[p] != "" for p in parameters))
        chosen = [cells[position] for position in positions]
        place = [source.split, name, str(line)]
        yield [*place, n_cells, n_parameters, folder, *chosen]


def _add_derived_columns(rows):
    """Adds ID, setting and speakers."""
    rows["ID"] = rows["mix_wav"].str.replace(r"\.[^.]*$", "", regex=True)
    n_reverbs = (rows[list(REVERBS)] != "").sum(axis=1)
    rows["setting"] = np.where(n_reverbs > 0, "indoor", "outdoor")
    rows = rows.assign(speaker1="", speaker2="")
    for _, split in rows.groupby("split"):
        speakers = find_speakers([*split["recording1"], *split["recording2"]])
        rows.loc[split.index, "speaker1"] = speakers[: len(split)]
        rows.loc[split.index, "speaker2"] = speakers[len(split) :]
    for column in (c for c in VALUES if "recording" in c):
        rows[column] = [recording_of(path) for path in rows[column]]
    return rows.astype(str)  # without rows, too
