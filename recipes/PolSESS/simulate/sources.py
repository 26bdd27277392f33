"""The sources table: recordings from which a corpus is made.

One row per recording, in a CSV (see tables.py) with the columns `subset`
(train, val or test), `filePath` (absolute, or relative to the table's folder),
`role` (speech, envScene or events), `class` (of a scene: one; of an event: one
label, or several separated by commas) and `speaker` (speech only). It may have
`source` (name of the collection) and `gainDB` (added to the level of the
recording where it is read). `sampleRate` (Hz), `duration` (s) and `channels`
are checked where they are given. The whole table is checked at once, before
anything is drawn.
"""

import bisect
import collections
import itertools
import math

from recordings.reader import AudioFile
from tqdm import tqdm

from simulate.acoustics import BUILT_IN, SUBSETS
from simulate.audio import SegmentReader
from simulate.tables import list_causes, raise_problems, read_rows

COLUMNS = tuple(
    "subset filePath role source class sampleRate duration channels "
    "speaker".split()
)
REQUIRED = ("subset", "filePath", "role")
OPTIONAL = (*(name for name in COLUMNS if name not in REQUIRED), "gainDB")
ROLES = ("speech", "envScene", "events")
# Published tables round durations; a larger difference is another recording.
DURATION_TOLERANCE_SECONDS = 0.05
# libsndfile reads WAV, FLAC, Ogg Vorbis, Opus, MP3 and more, but not M4A.
CONVERT = "convert it: ffmpeg -i FILE{} FILE.wav"

# One row: `line` of the table, `path` as written, `labels` the tuple of its
# classes, `frames` the length of the file in samples.
Recording = collections.namedtuple(
    "Recording",
    "line subset path role labels sample_rate frames speaker source gain_db",
)


def read_sources(table, classes=BUILT_IN, published=False):
    """Reads a sources table and checks every row against its file.

    Raises SimulationError, naming all causes, when a column or a file is
    missing or truncated, a value is unknown or contradicts the file's header,
    a speech recording has no speaker, or a recording or a speaker is in two
    subsets.

    Arguments
    ---------
    table : pathlib.Path
        The CSV file.
    classes : simulate.acoustics.Classes
        The known classes.
    published : bool
        Accepts recordings listed twice and speakers in several subsets, which
        the published splits have.

    Returns
    -------
    recordings : list of Recording
        In the order of the table.
    """
    recordings, problems, remarks = [], [], []
    rows = read_rows(table, REQUIRED, OPTIONAL)
    for line, row in tqdm(rows, "checking sources", leave=False):
        row["filePath"] = _find_path(row["filePath"], table.parent)
        found = _check_values(row, classes)
        if not found:
            recording, found = _check_file(line, row, table.parent, remarks)
            recordings += [recording] if recording else []
        place = f"line {line} ({row['filePath']})"
        problems += [
            (cause, f"{place}: {detail}" if detail else place)
            for cause, detail in found
        ]
    if not published:
        problems += _check_splits(recordings, table.parent)
    raise_problems(table, problems)
    if remarks:
        print("\n".join([f"{table}: lengths", *list_causes(remarks)]))
    return recordings


def _find_path(text, folder):
    """The path of a file, of which Windows may have written the separators."""
    path = text.replace("\\", "/")
    return path if (folder / path).is_file() else text


def _check_values(row, classes):
    """Problems of one row that need no file: cause and detail."""
    problems = []
    known = [("subset", SUBSETS), ("role", ROLES)]
    if row["role"] == "envScene":
        known.append(("class", classes.settings))
    for column, names in known:
        if row[column] not in names:
            cause = f"unknown {column}, expected one of {', '.join(names)}"
            problems.append((cause, f"found {row[column]!r}"))
    if row["role"] == "speech" and not row["speaker"]:
        problems.append(("speech without a speaker: fill `speaker`", ""))
    if row["role"] == "events" and not row["class"]:
        problems.append(("event without a class: fill `class`", ""))
    if row["gainDB"] and not math.isfinite(_number(row["gainDB"])):
        cause = "gainDB: expected a number of dB"
        problems.append((cause, f"found {row['gainDB']!r}"))
    return problems


def _number(text):
    """The number of a cell, in which the decimal mark may be a comma."""
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return math.nan


def _check_file(line, row, folder, remarks):
    """The row as a Recording, and problems with its file: cause and detail."""
    path = folder / row["filePath"]
    suffix = path.suffix.lower()
    if path.is_dir() or not path.is_file():
        kind = "a folder, expected a file" if path.is_dir() else "no such file"
        return None, [(f"{kind} (relative paths start at {folder})", "")]
    try:
        file = AudioFile(path)
        frames = file.count()
    except ValueError as error:
        cause = f"unreadable audio ({suffix or 'no suffix'})"
        reason = str(error).removeprefix(f"{path}: ")
        return None, [(f"{cause}; {CONVERT.format(suffix)}", reason)]
    problems = []
    n_claimed = file.claimed if file.is_short else frames
    # Durations are rounded or cut to the digits that are written.
    digits = len(row["duration"].replace(",", ".").partition(".")[2])
    rounding = max(DURATION_TOLERANCE_SECONDS, 10.0**-digits)
    for column, real, tolerance in (
        ("sampleRate", file.sample_rate, 0),
        ("channels", file.channels, 0),
        ("duration", (n_claimed or frames) / file.sample_rate, rounding),
    ):
        text = row[column]
        if text and not abs(_number(text) - real) <= tolerance:
            cause = f"{column} is not that of the file; correct or empty it"
            problems.append((cause, f"expected {text}, found {real:g}"))
    if file.is_short:
        cause = "truncated or damaged file; copy it again"
        problems.append((cause, file.remark))
    elif file.remark:
        cause = "the header is wrong or without a length; all samples are read"
        remarks.append((cause, f"{row['filePath']}: {file.remark}"))
    labels = tuple(label.strip() for label in row["class"].split(","))
    values = line, row["subset"], row["filePath"], row["role"], labels
    values += file.sample_rate, frames, row["speaker"], row["source"]
    return Recording(*values, _number(row["gainDB"] or "0")), problems


def _check_splits(recordings, folder):
    """Recordings listed twice and speakers that are in two subsets."""
    problems, first_of_file, first_of_speaker = [], {}, {}
    for recording in recordings:
        where = f"line {recording.line} ({recording.path})"
        key = (folder / recording.path).resolve()
        first = first_of_file.setdefault(key, recording)
        if first is not recording:
            cause = "recording listed twice; list it once"
            detail = f"also in line {first.line} ({first.subset})"
            problems.append((cause, f"{where}: {detail}"))
        if recording.role != "speech":
            continue
        first = first_of_speaker.setdefault(recording.speaker, recording)
        if first.subset != recording.subset:
            cause = "speaker in two subsets; a speaker belongs to one"
            detail = f"{recording.speaker} is in {recording.subset}, but in "
            detail += f"{first.subset} in line {first.line}"
            problems.append((cause, f"{where}: {detail}"))
    return problems


def read_pools(table, subsets, options, classes=BUILT_IN):
    """Reads a sources table; returns the recordings of each subset.

    Prints which recordings are not used. Raises SimulationError as
    read_sources does, and when a subset has too few speakers, scenes or events
    to draw mixtures from it.

    Arguments
    ---------
    table : pathlib.Path
        The CSV file.
    subsets : list of str
        Some of "train", "val" and "test".
    options : dict
        sample_rate (Hz), segment_seconds and indoor_ratio of the corpus; with
        splits "exact" also one person can be both speakers.
    classes : simulate.acoustics.Classes
        The known classes.

    Returns
    -------
    pools : list of SourcePool
        One for each subset.
    """
    published = options.get("splits") == "exact"
    recordings = read_sources(table, classes, published)
    reader = SegmentReader(
        table.parent, options["sample_rate"], options["segment_seconds"]
    )
    pools = [
        SourcePool(recordings, subset, reader, classes, published)
        for subset in subsets
    ]
    unused = [item for pool in pools for item in pool.unused]
    if unused:
        print(f"{table}: {len(unused)} recording(s) are not used")
        print("\n".join(list_causes(unused)))
    ratio = options["indoor_ratio"]
    problems = {pool.subset: pool.problems(ratio) for pool in pools}
    lacking = [subset for subset in subsets if problems[subset]]
    if len(lacking) < len(subsets):
        hint = " ".join(f"--n_{subset} 0" for subset in lacking)
        for subset in lacking:
            problems[subset].append(("or go on without it", hint))
    raise_problems(table, [p for subset in lacking for p in problems[subset]])
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
    classes : simulate.acoustics.Classes
        The known classes.
    same_person : bool
        Whether one person can be both speakers of a mixture.
    """

    def __init__(
        self, recordings, subset, reader, classes=BUILT_IN, same_person=False
    ):
        self.subset = subset
        self.reader = reader
        self.reverb_ranges = classes.reverb_ranges
        self.speech = []
        self.scenes = {"indoor": [], "outdoor": []}
        self.events = {}
        self.has_gains = any(recording.gain_db for recording in recordings)
        self.unused = []  # cause and recording
        for recording in recordings:
            if recording.subset != subset:
                continue
            n_segment = round(reader.segment_seconds * recording.sample_rate)
            if recording.frames < n_segment:
                cause = f"shorter than {reader.segment_seconds:g} s"
                self._leave_out(cause, recording)
            elif recording.role == "speech":
                self.speech.append(recording)
            elif recording.role == "envScene":
                setting = classes.settings[recording.labels[0]]
                self.scenes[setting].append(recording)
            else:
                for label in recording.labels:
                    self.events.setdefault(label, []).append(recording)
        # Scene class -> compatible event classes that have a recording.
        self.event_classes = {
            scene.labels[0]: sorted(
                label
                for label in self.events
                if scene.labels[0] in classes.event_scenes.get(label, ())
            )
            for scene in self.scenes["indoor"] + self.scenes["outdoor"]
        }
        drawn = {*itertools.chain.from_iterable(self.event_classes.values())}
        cause = f"events that no scene of {subset} is compatible with"
        for recording in dict.fromkeys(
            itertools.chain.from_iterable(self.events.values())
        ):
            if not drawn.intersection(recording.labels):
                self._leave_out(cause, recording)
        # Who is not drawn twice -> how many others precede its recordings.
        self._drawn_once = "path" if same_person else "speaker"
        self._n_before = collections.defaultdict(list)
        for place, recording in enumerate(self.speech):
            n_before = self._n_before[getattr(recording, self._drawn_once)]
            n_before.append(place - len(n_before))

    def _leave_out(self, cause, recording):
        """Remembers a recording that is never drawn."""
        place = f"line {recording.line} ({recording.path})"
        labels = ", ".join(filter(None, recording.labels))
        self.unused.append((cause, f"{place}: {labels}" if labels else place))

    def others(self, recording):
        """The speech of which the second speaker is drawn.

        Arguments
        ---------
        recording : Recording
            One of `speech`.

        Returns
        -------
        others : Others
            In the order of the table.
        """
        taken = getattr(recording, self._drawn_once)
        return Others(self.speech, self._n_before[taken])

    def problems(self, indoor_ratio):
        """Lists what is missing to draw mixtures with this indoor ratio."""
        where = f"recording of at least {self.reader.segment_seconds:g} s"
        problems = []
        n_speakers = len({recording.speaker for recording in self.speech})
        if n_speakers < 2:
            found = f"{n_speakers} speaker(s) with a {where}"
            problems.append((f"{self.subset}: expected two speakers", found))
        shares = {"indoor": indoor_ratio, "outdoor": 1 - indoor_ratio}
        for setting in [name for name, share in shares.items() if share > 0]:
            classes = {scene.labels[0] for scene in self.scenes[setting]}
            if not classes:
                cause = f"{self.subset}: no {setting} scene"
                found = f"needs a {where} (indoor ratio {indoor_ratio:g})"
                problems.append((cause, found))
            cause = (
                f"{self.subset}: a scene without a compatible event {where} "
                "(event_scenes.csv lists them, --class_map adds to it)"
            )
            problems += [
                (cause, f"scene class {scene_class}")
                for scene_class in sorted(classes)
                if not self.event_classes[scene_class]
            ]
        return problems


class Others:
    """A long list without some of its items, which is not copied.

    Arguments
    ---------
    items : list
        All items.
    n_before : list of int
        For each item left out, in order: the number of items kept before it.

    Example
    -------
    >>> list(Others(["a", "b", "c", "d"], [0, 1]))
    ['b', 'd']
    """

    def __init__(self, items, n_before):
        self.items = items
        self.n_before = n_before

    def __len__(self):
        return len(self.items) - len(self.n_before)

    def __getitem__(self, index):
        if index >= len(self):
            raise IndexError(index)
        return self.items[index + bisect.bisect_right(self.n_before, index)]
