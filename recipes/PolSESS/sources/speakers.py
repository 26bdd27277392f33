"""Rules that say who speaks in a recording: folder, name or list.

Authors
 * The PolSESS recipe team 2026
"""

import csv
import pathlib
import re

from simulate.tables import SimulationError

from sources.adapters import read_text

KEY_COLUMNS = ("path", "filepath", "filename", "file", "session")
RULES = "parent, name:REGEX or csv:FILE"


def speaker_rule(text):
    """Makes the function that finds the speaker of a recording.

    Raises SimulationError for a rule that cannot be used.

    Arguments
    ---------
    text : str
        "parent", "name:REGEX" (the first group is the speaker) or "csv:FILE"
        (path and speaker, or session and speaker).

    Returns
    -------
    rule : callable
        (path, folder of the corpus, labels) -> speaker, or "" if unknown.

    Example
    -------
    >>> rule = speaker_rule("name:^([A-Z]+)_")
    >>> rule(pathlib.Path("a/ANNA_3.wav"), pathlib.Path("a"), ())
    'ANNA'
    """
    kind, _, value = text.partition(":")
    if text == "parent":
        return lambda path, folder, labels: (
            path.parent.name if path.parent != folder else ""
        )
    if kind == "name" and value:
        return _name_rule(value)
    if kind == "csv" and value:
        return _list_rule(pathlib.Path(value))
    raise SimulationError(f"--speaker_from {text}: expected {RULES}")


def _name_rule(pattern):
    """The first group of a regular expression."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise SimulationError(
            f"--speaker_from name:{pattern}: no regular expression, {error}"
        ) from error
    if not compiled.groups:
        raise SimulationError(
            f"--speaker_from name:{pattern}: has no group; put the part of "
            "the name that is the speaker into parentheses, as in ([A-Z]+)_"
        )

    def rule(path, folder, labels):
        match = compiled.search(path.name)
        return (match[1] or "") if match else ""

    return rule


def _list_rule(table):
    """A list of paths (or names, stems, folders, sessions) and speakers."""
    speakers = read_speakers(table)

    def rule(path, folder, labels):
        keys = [path.relative_to(folder).as_posix(), path.name, path.stem]
        keys += [path.parent.name, *labels]
        return next((speakers[key] for key in keys if key in speakers), "")

    return rule


def read_speakers(table):
    """Reads a list of speakers.

    Arguments
    ---------
    table : pathlib.Path
        Two columns without header, or a header with "speaker" and "path" (or
        "session"), with commas, semicolons, tabs or blanks between.

    Returns
    -------
    speakers : dict
        Path, name or session -> speaker.
    """
    text = read_text(table, "Check --speaker_from csv:FILE.")
    lines = [line for line in text.splitlines() if line.strip()]
    first = lines[0] if lines else ""
    delimiter = next((mark for mark in "\t;," if mark in first), None)
    if delimiter:
        rows = list(csv.reader(lines, delimiter=delimiter))
    else:
        rows = [line.split() for line in lines]
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    if "speaker" in header:
        value = header.index("speaker")
        key = next((header.index(k) for k in KEY_COLUMNS if k in header), None)
        rows = rows[1:]
    else:
        key, value = (0, 1) if len(header) == 2 else (None, None)
    if key is None:
        raise SimulationError(
            f"{table}: expected the columns path (or session) and speaker; "
            f"found {', '.join(header) or 'nothing'}"
        )
    return {
        row[key].strip().replace("\\", "/"): row[value].strip()
        for row in rows
        if len(row) > max(key, value)
    }
