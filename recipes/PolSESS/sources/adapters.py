"""Layouts of public corpora: where the files are, and what their tables say.

One function for each corpus. It takes the folder of the corpus and yields a
Found for each of its audio files, and one for each file that a table of the
corpus lists and the folder lacks. Nothing else is decided here: formats,
splits, levels and lengths are the same for all corpora.

Authors
 * The PolSESS recipe team 2026
"""

import collections
import csv
import io
import re

from simulate.tables import SimulationError

# Formats that libsndfile reads, and some that it does not.
READABLE = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff"}
FOREIGN = {".m4a", ".mp4", ".aac", ".wma", ".webm", ".amr", ".3gp", ".wv"}
SHOWN_NAMES = 5

# `labels`: the speaker, or class labels; in the order of preference where
# `any_label` is set, otherwise all of them are true. `group`: what must not be
# in two subsets (speaker, place, recording). `subsets`: those that the official
# split allows, all if empty. `by_time`: the recording itself is cut into
# subsets. `reason`: why the file is left out.
Found = collections.namedtuple(
    "Found",
    "path labels group subsets by_time any_label reason",
    defaults=((), "", (), False, False, ""),
)

_SPLITS = {"train": "train", "dev": "val", "test": "test"}


def audio_files(folder):
    """Lists the audio files of a folder and of those in it.

    Arguments
    ---------
    folder : pathlib.Path
        Hidden files are left out, which macOS puts into archives.

    Returns
    -------
    paths : list of pathlib.Path
        Sorted, formats that libsndfile does not read included.
    """
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in READABLE | FOREIGN
        and not path.name.startswith(".")
        and path.is_file()
    )


def read_text(path, advice):
    """Reads a table of a corpus or of the user as text.

    Raises SimulationError when it is missing or not in UTF-8.

    Arguments
    ---------
    path : pathlib.Path
        The file.
    advice : str
        What to check if it is missing.

    Returns
    -------
    text : str
        Without the mark that some programs put first.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SimulationError(
            f"{path}: no such file; found {_names_in(path.parent)}. {advice}"
        ) from None
    except UnicodeDecodeError as error:
        raise SimulationError(
            f"{path}: expected UTF-8, {error.reason} at byte {error.start}; "
            "save it as UTF-8"
        ) from None


def read_table(path, columns, delimiter=","):
    """Reads a table of a corpus.

    Raises SimulationError when it is missing, lacks a column, or has a row
    that ends too early.

    Arguments
    ---------
    path : pathlib.Path
        The table.
    columns : list of str
        Columns that are needed.
    delimiter : str
        Between the cells.

    Returns
    -------
    rows : list of dict
        Column -> text.
    """
    text = read_text(path, "Check the folder of the corpus.")
    # Tables with tabs have no quotes: one in a sentence is only a character.
    quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    reader = csv.DictReader(
        io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting
    )
    found = reader.fieldnames or ["an empty file"]
    missing = [column for column in columns if column not in found]
    if missing:
        raise SimulationError(
            f"{path}: expected column(s) {', '.join(columns)}; missing "
            f"{', '.join(missing)}; found {', '.join(found)}"
        )
    rows = []
    for row in reader:
        if any(row[column] is None for column in columns):
            raise SimulationError(
                f"{path}, line {reader.line_num}: expected {len(found)} "
                "cells, the row ends before; is the file complete?"
            )
        rows.append(row)
    return rows


def _names_in(folder):
    """The first names in a folder, for messages."""
    if not folder.is_dir():
        return f"no folder {folder}"
    names = sorted(path.name for path in folder.iterdir())
    more = ", ..." if len(names) > SHOWN_NAMES else ""
    return ", ".join(names[:SHOWN_NAMES]) + more or "nothing"


def _no_layout(folder, expected):
    """The error for a folder that is not laid out as its corpus is."""
    return SimulationError(
        f"{folder}: expected {expected}; found {_names_in(folder)}. Check the "
        "folder, or use the adapter `folder`."
    )


def _listed(folder, entries, table_name):
    """Yields what tables list, and the files that they do not list.

    Arguments
    ---------
    folder : pathlib.Path
        Folder of the audio files.
    entries : iterable of Found
        One for each row of the tables.
    table_name : str
        Name of the tables, for the reason.
    """
    unlisted = dict.fromkeys(audio_files(folder))
    for entry in entries:
        there = unlisted.pop(entry.path, entry) is None or entry.path.is_file()
        yield entry if there else entry._replace(reason="file missing")
    for path in unlisted:
        yield Found(path, reason=f"not in {table_name}")


def mls(folder):
    """Multilingual LibriSpeech: {train,dev,test}/audio/<speaker>/<book>/."""
    if not any((folder / name / "audio").is_dir() for name in _SPLITS):
        raise _no_layout(folder, "train/audio, dev/audio or test/audio")
    for name, subset in _SPLITS.items():
        top = folder / name / "audio"
        for path in audio_files(top):
            speaker, *rest = path.relative_to(top).parts
            labels = (speaker,) if rest else ()
            yield Found(path, labels, speaker, (subset,))


def commonvoice(folder):
    """Common Voice: clips/*.mp3, {train,dev,test}.tsv; a client is a speaker.

    Arguments
    ---------
    folder : pathlib.Path
        Folder of one language.
    """
    clips = folder / "clips"

    def entries():
        for name, subset in _SPLITS.items():
            table = folder / f"{name}.tsv"
            for row in read_table(table, ["client_id", "path"], "\t"):
                path = clips / row["path"]
                if not path.suffix:
                    path = path.with_suffix(".mp3")
                # 128 characters; the first 16 are as good as unique.
                client = row["client_id"][:16]
                yield Found(path, (client,), client, (subset,))

    yield from _listed(clips, entries(), "train.tsv, dev.tsv or test.tsv")


def clarin(folder):
    """CLARIN studio corpus (EMU): SES*_ses/*_bndl/*.wav or audio/SES*/*.wav.

    The label is the session; a session list makes a speaker of it.
    """
    paths = audio_files(folder)
    if not any(re.search(r"SES\d+", str(path)) for path in paths):
        raise _no_layout(folder, "SES*_ses/*_bndl/*.wav or audio/SES*/*.wav")
    for path in paths:
        parts = path.relative_to(folder).parts
        sessions = re.findall(r"(SES\d+)", "/".join(parts))
        session = sessions[0] if sessions else ""
        yield Found(path, (session,) if session else (), session)


def bigos(folder):
    """BIGOS: <config>-<split>-<speaker>-<number> is the name of each file."""
    pattern = re.compile(r"(.+)-(train|validation|test)-(\w+)-\w+")
    splits = {"validation": "val", "train": "train", "test": "test"}
    for path in audio_files(folder):
        match = pattern.fullmatch(path.stem)
        if match:
            # Numbers of speakers may restart in each part of the corpus.
            speaker = f"{match[1]}-{match[3]}"
            yield Found(path, (speaker,), speaker, (splits[match[2]],))
        else:
            yield Found(path)


def nemo(folder):
    """nEMO: the name of each file is <speaker>_<emotion>_<number>."""
    for path in audio_files(folder):
        match = re.fullmatch(r"([^_]+)_[^_]+_.+", path.stem)
        speaker = match[1] if match else ""
        yield Found(path, (speaker,) if speaker else (), speaker)


def _packages(folder, name):
    """Folders that hold a file of this name: the folder, or those in it."""
    found = [path.parent for path in sorted(folder.glob(f"*/{name}"))]
    if (folder / name).is_file():
        found.insert(0, folder)
    if not found:
        raise _no_layout(folder, f"{name}, here or one folder below")
    return found


def tau2019(folder):
    """TAU Urban Acoustic Scenes 2019: meta.csv; the place is `identifier`.

    The test list of fold 1 is divided by place into val and test.
    """
    needed = ["filename", "scene_label", "identifier"]
    for package in _packages(folder, "meta.csv"):
        official = {}
        for name, subsets in (("train", ("train",)), ("test", ("val", "test"))):
            table = package / "evaluation_setup" / f"fold1_{name}.csv"
            if table.is_file():
                rows = read_table(table, ["filename"], "\t")
                official.update((row["filename"], subsets) for row in rows)
        entries = (
            Found(
                package / row["filename"],
                (row["scene_label"],),
                row["identifier"],
                official.get(row["filename"], ()),
            )
            for row in read_table(package / "meta.csv", needed, "\t")
        )
        yield from _listed(package, entries, "meta.csv")


def tut2017(folder):
    """TUT Acoustic Scenes 2017: meta.txt without header, file, scene, place.

    The evaluation package is test; the other is then for train and val.
    """
    packages = _packages(folder, "meta.txt")
    held_out = [p for p in packages if "evaluation" in p.name]
    for package in packages:
        if package in held_out:
            subsets = ("test",)
        else:
            subsets = ("train", "val") if held_out else ()
        entries = []
        text = read_text(package / "meta.txt", "Check the folder.")
        for number, line in enumerate(text.splitlines(), start=1):
            cells = line.strip().split("\t")
            if len(cells) < 2:
                raise SimulationError(
                    f"{package / 'meta.txt'}, line {number}: expected file, "
                    f"scene and place with tabs between; found {line!r}"
                )
            name, label, *place = cells
            group = place[0] if place else name
            entries.append(Found(package / name, (label,), group, subsets))
        yield from _listed(package, entries, "meta.txt")


def wham(folder):
    """WHAM noise: {tr,cv,tt}/*.wav, metadata/noise_meta_{tr,cv,tt}.csv.

    The label is the reverberation of the place: h, m or l.
    """
    if (folder / "wham_noise").is_dir():
        folder = folder / "wham_noise"
    needed = ["utterance_id", "Reverberation Level", "Location ID"]
    for name, subset in (("tr", "train"), ("cv", "val"), ("tt", "test")):
        table = folder / f"metadata/noise_meta_{name}.csv"
        entries = (
            Found(
                folder
                / name
                / f"{row['utterance_id'].removesuffix('.wav')}.wav",
                (row["Reverberation Level"].strip().lower()[:1],),
                row["Location ID"],
                (subset,),
            )
            for row in read_table(table, needed)
        )
        yield from _listed(folder / name, entries, table.name)


def demand(folder):
    """DEMAND: <ENVIRONMENT>/ch01.wav to ch16.wav are one recording."""
    paths = audio_files(folder)
    if not any(path.stem.lower() == "ch01" for path in paths):
        raise _no_layout(folder, "<ENVIRONMENT>/ch01.wav")
    for path in paths:
        if path.stem.lower() == "ch01":
            place = path.parent.name
            yield Found(path, (place,), place, by_time=True)
        else:
            yield Found(path, reason="another channel of a recording")


def esc50(folder):
    """ESC-50: meta/esc50.csv; folds 1 to 3 train, 4 val, 5 test."""
    folds = dict(zip("12345", ("train", "train", "train", "val", "test")))
    needed = ["filename", "fold", "category", "src_file"]
    table = folder / "meta/esc50.csv"
    entries = (
        Found(
            folder / "audio" / row["filename"],
            (row["category"],),
            row["src_file"],
            (folds[row["fold"]],) if row["fold"] in folds else (),
        )
        for row in read_table(table, needed)
    )
    yield from _listed(folder / "audio", entries, table.name)


def fsd50k(folder):
    """FSD50K: FSD50K.ground_truth/{dev,eval}.csv; the official split."""
    for name in ("dev", "eval"):
        needed = ["fname", "labels"] + ["split"] * (name == "dev")
        table = folder / f"FSD50K.ground_truth/{name}.csv"
        top = folder / f"FSD50K.{name}_audio"
        if (top / top.name).is_dir():  # unpacked into a folder of its name
            top = top / top.name
        entries = (
            Found(
                top / f"{row['fname']}.wav",
                tuple(row["labels"].split(",")),
                row["fname"],
                (row.get("split") or "test",),
            )
            for row in read_table(table, needed)
        )
        yield from _listed(top, entries, table.name)


def speech_folder(folder):
    """Own recordings of speech; an option says how to find the speaker."""
    for path in audio_files(folder):
        yield Found(path)


def class_folder(folder):
    """Own recordings of scenes or events: the folder is the class.

    Where it is none, or all files lie in one folder, the name of the file is.
    """
    for path in audio_files(folder):
        # Excerpts of one recording, as ESC-50 and Freesound name them.
        excerpt = re.match(r"\d-(\d+)-[A-Z]|(\d+)__", path.name)
        group = path.relative_to(folder).as_posix()
        group = (excerpt[1] or excerpt[2]) if excerpt else group
        name = re.sub(r"^\d+__\w+?__|[-_ ]*\d+$", "", path.stem)
        labels = (path.parent.name, name)
        if path.parent == folder:
            labels = labels[::-1]
        yield Found(path, labels, group, any_label=True)


ADAPTERS = {
    "speech": {
        **{f.__name__: f for f in (mls, commonvoice, clarin, bigos, nemo)},
        "folder": speech_folder,
    },
    "envScene": {
        **{f.__name__: f for f in (tau2019, tut2017, wham, demand)},
        "folder": class_folder,
    },
    "events": {
        **{f.__name__: f for f in (esc50, fsd50k)},
        "folder": class_folder,
    },
}
