"""The sources table: which recordings a corpus is made of.

One row per recording, in CSV with the columns of COLUMNS: `subset` (train,
val or test), `filePath` (absolute, or relative to the table's folder), `role`
(speech, envScene or events), `source` (name of the collection), `class` (of a
scene: one of the 24; of an event: one label, or several separated by commas),
`sampleRate` (Hz), `duration` (s), `channels`, and `speaker` (speech only).
Any collection listed in such a table can take the place of the built-in
sources. The whole table is checked at once, before anything is drawn.

Authors
 * The PolSESS recipe team 2026
"""

import collections
import csv
import pathlib

import soundfile
from tqdm import tqdm

from simulate.acoustics import SCENE_CLASSES, SUBSETS
from simulate.errors import CorpusError

COLUMNS = (
    "subset",
    "filePath",
    "role",
    "source",
    "class",
    "sampleRate",
    "duration",
    "channels",
    "speaker",
)
ROLES = ("speech", "envScene", "events")

# Published tables round durations; more than this is another recording.
DURATION_TOLERANCE_SECONDS = 0.05

Recording = collections.namedtuple(
    "Recording", "line subset path role labels sample_rate frames speaker"
)
Recording.__doc__ = """One row of the table, its header checked.

`line` is the row's line in the table, `path` the filePath as written,
`labels` the tuple of its classes, `frames` its real length in samples.
"""


class SourcesError(CorpusError):
    """A sources table that cannot be used, with all that is wrong with it.

    Arguments
    ---------
    table : str or pathlib.Path
        The table.
    problems : list of str
        One line each; the message shows the first 20.
    """

    def __init__(self, table, problems):
        shown = "\n".join(f"  {problem}" for problem in problems[:20])
        more = len(problems) - 20
        if more > 0:
            shown += f"\n  ... and {more} more"
        super().__init__(f"{table}: {len(problems)} problem(s)\n{shown}")
        self.problems = problems


def read_sources(table):
    """Reads a sources table and checks every row of it against its file.

    Raises SourcesError, naming all rows at fault, when a column or a file is
    missing, a value is unknown or contradicts the file's header, a speech
    recording has no speaker, or a recording or a speaker is in two subsets.

    Arguments
    ---------
    table : str or pathlib.Path
        The CSV file.

    Returns
    -------
    recordings : list of Recording
        In the order of the table.
    """
    table = pathlib.Path(table)
    rows = _read_rows(table)
    recordings, problems = [], []
    for line, row in tqdm(rows, desc="checking sources", leave=False):
        found = _check_values(row)
        if not found:
            recording, found = _check_file(line, row, table.parent)
            recordings.append(recording)
        problems += [
            f"line {line} ({row['filePath']}): {text}" for text in found
        ]
    problems += _check_splits(recordings, table.parent)
    if problems:
        raise SourcesError(table, problems)
    return recordings


def _read_rows(table):
    """The table's rows as (line number, dict of stripped values)."""
    if not table.is_file():
        raise SourcesError(table, ["no such file; pass --sources TABLE.csv"])
    with open(table, encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines)
        missing = [c for c in COLUMNS if c not in (reader.fieldnames or ())]
        if missing:
            raise SourcesError(
                table,
                [
                    f"missing column(s) {', '.join(missing)}; found "
                    f"{', '.join(reader.fieldnames or ['no header'])}"
                ],
            )
        rows = [
            (reader.line_num, {c: (row[c] or "").strip() for c in COLUMNS})
            for row in reader
        ]
    if not rows:
        raise SourcesError(table, ["has a header, but no rows"])
    return rows


def _check_values(row):
    """Problems of one row that need no file."""
    problems = []
    if row["subset"] not in SUBSETS:
        problems.append(
            f"subset {row['subset']!r}, expected one of {', '.join(SUBSETS)}"
        )
    if row["role"] not in ROLES:
        problems.append(
            f"role {row['role']!r}, expected one of {', '.join(ROLES)}"
        )
    if row["role"] == "speech" and not row["speaker"]:
        problems.append("speech without a speaker: fill the column speaker")
    if row["role"] == "envScene" and row["class"] not in SCENE_CLASSES:
        problems.append(
            f"scene class {row['class']!r}, expected one of "
            f"{', '.join(SCENE_CLASSES)}"
        )
    if row["role"] == "events" and not row["class"]:
        problems.append("event without a class")
    for column in ("sampleRate", "duration", "channels"):
        try:
            positive = float(row[column]) > 0
        except ValueError:
            positive = False
        if not positive:
            problems.append(
                f"{column} {row[column]!r}, expected a positive number"
            )
    return problems


def _check_file(line, row, folder):
    """The row as a Recording, and where its file's header contradicts it."""
    path = folder / row["filePath"]
    try:
        header = soundfile.info(str(path))
    except (soundfile.SoundFileError, OSError):
        state = "unreadable audio" if path.is_file() else "no such file"
        return _recording(line, row, 0, 0), [f"{state}: {path}"]
    problems = []
    for column, real in (
        ("sampleRate", header.samplerate),
        ("channels", header.channels),
    ):
        if float(row[column]) != real:
            problems.append(
                f"{column}: the table says {row[column]}, the file {real}"
            )
    difference = abs(float(row["duration"]) - header.duration)
    if difference > DURATION_TOLERANCE_SECONDS:
        problems.append(
            f"duration: the table says {row['duration']} s, the file "
            f"{header.duration:.3f} s"
        )
    return _recording(line, row, header.samplerate, header.frames), problems


def _recording(line, row, sample_rate, frames):
    """Builds a Recording from a row and its file's header."""
    labels = tuple(label.strip() for label in row["class"].split(","))
    return Recording(
        line,
        row["subset"],
        row["filePath"],
        row["role"],
        labels,
        sample_rate,
        frames,
        row["speaker"],
    )


def _check_splits(recordings, folder):
    """Recordings listed twice and speakers that are in two subsets."""
    problems = []
    first_of_file, first_of_speaker = {}, {}
    for recording in recordings:
        where = f"line {recording.line} ({recording.path})"
        key = (folder / recording.path).resolve()
        first = first_of_file.setdefault(key, recording)
        if first is not recording:
            problems.append(
                f"{where}: the recording is also in line {first.line} "
                f"({first.subset}); list each recording once"
            )
        if recording.role != "speech":
            continue
        first = first_of_speaker.setdefault(recording.speaker, recording)
        if first.subset != recording.subset:
            problems.append(
                f"{where}: speaker {recording.speaker} is in "
                f"{recording.subset}, but in {first.subset} in line "
                f"{first.line}; a speaker belongs to one subset"
            )
    return problems
