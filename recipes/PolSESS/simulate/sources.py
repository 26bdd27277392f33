"""The sources table: recordings from which a corpus is made.

One row per recording, in CSV with the columns of COLUMNS: `subset` (train,
val or test), `filePath` (absolute, or relative to the table's folder), `role`
(speech, envScene or events), `source` (name of the collection), `class` (of a
scene: one of the 24; of an event: one label, or several separated by commas),
`sampleRate` (Hz), `duration` (s), `channels`, and `speaker` (speech only).
The whole table is checked at once, before anything is drawn.
"""

import collections
import csv

import soundfile
from tqdm import tqdm

from simulate.acoustics import (
    INDOOR_SCENES,
    SCENE_CLASSES,
    SUBSETS,
    event_scenes,
)
from simulate.audio import SegmentReader

COLUMNS = tuple(
    "subset filePath role source class sampleRate duration channels "
    "speaker".split()
)
ROLES = ("speech", "envScene", "events")
# Published tables round durations; a larger difference is another recording.
DURATION_TOLERANCE_SECONDS = 0.05
SHOWN_PROBLEMS = 20

# One row: `line` of the table, `path` as written, `labels` the tuple of its
# classes, `frames` the length of the file in samples.
Recording = collections.namedtuple(
    "Recording", "line subset path role labels sample_rate frames speaker"
)


class SimulationError(ValueError):
    """A corpus cannot be made as asked; the message says what to change."""


def read_sources(table, published=False):
    """Reads a sources table and checks every row against its file.

    Raises SimulationError, naming all rows at fault, when a column or a file
    is missing, a value is unknown or contradicts the file's header, a speech
    recording has no speaker, or a recording or a speaker is in two subsets.

    Arguments
    ---------
    table : pathlib.Path
        The CSV file.
    published : bool
        Accepts recordings listed twice and speakers in several subsets, which
        the published splits have.

    Returns
    -------
    recordings : list of Recording
        In the order of the table.
    """
    recordings, problems = [], []
    for line, row in tqdm(_read_rows(table), "checking sources", leave=False):
        found = _check_values(row)
        if not found:
            recording, found = _check_file(line, row, table.parent)
            recordings.append(recording)
        problems += [f"line {line} ({row['filePath']}): {t}" for t in found]
    if not published:
        problems += _check_splits(recordings, table.parent)
    _raise_problems(table, problems)
    return recordings


def _raise_problems(table, problems):
    """Raises SimulationError with the first problems, if there are any."""
    lines = [f"{table}: {len(problems)} problem(s)"]
    lines += [f"  {problem}" for problem in problems[:SHOWN_PROBLEMS]]
    if len(problems) > SHOWN_PROBLEMS:
        lines.append(f"  ... and {len(problems) - SHOWN_PROBLEMS} more")
    if problems:
        raise SimulationError("\n".join(lines))


def _read_rows(table):
    """The table's rows as (line number, dict of stripped values)."""
    if not table.is_file():
        _raise_problems(table, ["no such file; pass --sources TABLE.csv"])
    with open(table, encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines)
        names = reader.fieldnames or ["no header"]
        missing = [column for column in COLUMNS if column not in names]
        if missing:
            missing, found = ", ".join(missing), ", ".join(names)
            problem = f"missing column(s) {missing}; found {found}"
            _raise_problems(table, [problem])
        rows = [
            (reader.line_num, {c: (row[c] or "").strip() for c in COLUMNS})
            for row in reader
        ]
    if not rows:
        _raise_problems(table, ["has a header, but no rows"])
    return rows


def _check_values(row):
    """Problems of one row that need no file."""
    problems = []
    known = [("subset", SUBSETS), ("role", ROLES)]
    if row["role"] == "envScene":
        known.append(("class", SCENE_CLASSES))
    for column, names in known:
        if row[column] not in names:
            problems.append(
                f"{column} {row[column]!r}, expected one of {', '.join(names)}"
            )
    if row["role"] == "speech" and not row["speaker"]:
        problems.append("speech without a speaker: fill the column speaker")
    if row["role"] == "events" and not row["class"]:
        problems.append("event without a class: fill the column class")
    return problems


def _check_file(line, row, folder):
    """The row as a Recording, and where its file's header contradicts it."""
    path = folder / row["filePath"]
    labels = tuple(label.strip() for label in row["class"].split(","))
    values = line, row["subset"], row["filePath"], row["role"], labels
    try:
        header = soundfile.info(str(path))
    except (soundfile.SoundFileError, OSError):
        state = "unreadable audio" if path.is_file() else "no such file"
        return Recording(*values, 0, 0, row["speaker"]), [f"{state}: {path}"]
    problems = []
    for column, real, tolerance in (
        ("sampleRate", header.samplerate, 0),
        ("channels", header.channels, 0),
        ("duration", header.duration, DURATION_TOLERANCE_SECONDS),
    ):
        if not row[column]:
            continue  # not every table has it
        try:
            agrees = abs(float(row[column]) - real) <= tolerance
        except ValueError:
            agrees = False
        if not agrees:
            problems.append(
                f"{column}: the table says {row[column]}, the file {real:g}"
            )
    audio = header.samplerate, header.frames
    return Recording(*values, *audio, row["speaker"]), problems


def _check_splits(recordings, folder):
    """Recordings listed twice and speakers that are in two subsets."""
    problems, first_of_file, first_of_speaker = [], {}, {}
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


def read_pools(table, subsets, options):
    """Reads a sources table; returns the recordings of each subset.

    Raises SimulationError as read_sources does, and when a subset has too few
    speakers, scenes or events to draw mixtures from it.

    Arguments
    ---------
    table : pathlib.Path
        The CSV file.
    subsets : list of str
        Some of "train", "val" and "test".
    options : dict
        sample_rate (Hz), segment_seconds and indoor_ratio of the corpus; with
        splits "exact" also one person can be both speakers.

    Returns
    -------
    pools : list of SourcePool
        One for each subset.
    """
    published = options.get("splits") == "exact"
    recordings = read_sources(table, published)
    reader = SegmentReader(
        table.parent, options["sample_rate"], options["segment_seconds"]
    )
    pools = [
        SourcePool(recordings, subset, reader, published) for subset in subsets
    ]
    ratio = options["indoor_ratio"]
    problems = [p for pool in pools for p in pool.problems(ratio)]
    _raise_problems(table, problems)
    return pools


class SourcePool:
    """The recordings of one subset that are long enough for a segment.

    Arguments
    ---------
    recordings : list of Recording
        Recordings of all subsets, as read_sources returns them.
    subset : str
        "train", "val" or "test".
    reader : SegmentReader
        Reads the segments; shorter recordings are left out.
    same_person : bool
        Whether one person can be both speakers of a mixture.
    """

    def __init__(self, recordings, subset, reader, same_person=False):
        self.subset = subset
        self.same_person = same_person
        self.reader = reader
        self.speech = []
        self.scenes = {"indoor": [], "outdoor": []}
        self.events = {}
        for recording in recordings:
            n_segment = round(reader.segment_seconds * recording.sample_rate)
            if recording.subset != subset or recording.frames < n_segment:
                continue
            if recording.role == "speech":
                self.speech.append(recording)
            elif recording.role == "envScene":
                indoors = recording.labels[0] in INDOOR_SCENES
                setting = "indoor" if indoors else "outdoor"
                self.scenes[setting].append(recording)
            else:
                for label in recording.labels:
                    self.events.setdefault(label, []).append(recording)
        # Scene class -> compatible event classes that have a recording.
        self.event_classes = {
            scene.labels[0]: sorted(
                label
                for label in self.events
                if scene.labels[0] in event_scenes().get(label, ())
            )
            for scene in self.scenes["indoor"] + self.scenes["outdoor"]
        }

    def problems(self, indoor_ratio):
        """Lists what is missing to draw mixtures with this indoor ratio."""
        enough = f"of at least {self.reader.segment_seconds:g} s"
        problems = []
        n_speakers = len({recording.speaker for recording in self.speech})
        if n_speakers < 2:
            problems.append(
                f"{self.subset}: {n_speakers} speaker(s) with a recording "
                f"{enough}, a mixture needs two"
            )
        shares = {"indoor": indoor_ratio, "outdoor": 1 - indoor_ratio}
        for setting in [name for name, share in shares.items() if share > 0]:
            classes = {scene.labels[0] for scene in self.scenes[setting]}
            if not classes:
                problems.append(
                    f"{self.subset}: no {setting} scene recording {enough} "
                    f"(indoor ratio {indoor_ratio:g})"
                )
            problems += [
                f"{self.subset}: no event recording {enough} is compatible "
                f"with the scene class {scene_class} (event_scenes.csv lists "
                "the classes that are)"
                for scene_class in sorted(classes)
                if not self.event_classes[scene_class]
            ]
        return problems
