"""From the official table and folders to a sources table of the simulator.

Kleć, Szklanny, Wieczorkowska, 2024, publish the table.

Authors
 * The PolSESS recipe team 2026
"""

import csv
import hashlib
import pathlib

from paths import replacing

from official.files import find_files
from official.splits import clean_rows, exact_rows, read_event_classes
from official.table import (
    SOURCES,
    SPEAKER_LIST,
    OfficialError,
    find_speaker_list,
    read_official,
)

NAMES = tuple(SOURCES.values())
SPLITS = {"clean": clean_rows, "exact": exact_rows}
# Of the simulator. Rates and channels of copies may differ from the table's;
# a duration that differs is another recording.
COLUMNS = tuple(
    "subset filePath role source class sampleRate duration channels "
    "speaker".split()
)


def add_options(parser):
    """Adds the options of the official corpus to the command's.

    Arguments
    ---------
    parser : argparse.ArgumentParser
        Of the command that makes a corpus.
    """
    add = parser.add_argument_group("the official corpus").add_argument
    add("--official", help="its table: dataSources.mat, or the same as .csv")
    add(
        "--splits",
        default="clean",
        choices=SPLITS,
        help="clean: subsets share no speaker, recording or place (default); "
        "exact: as published, with their defects",
    )
    add(
        "--root",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help=f"a copy of each of {', '.join(NAMES)}",
    )
    add(
        "--missing",
        default="error",
        choices=("error", "skip"),
        help="skip: go on without the recordings that are not there",
    )
    add("--emu_speakers", help=f"speakers of EMU: {SPEAKER_LIST}")


def official_options(arguments):
    """Reads what tells official corpora apart, for the corpus's record.

    Raises OfficialError for options that contradict each other, and for a
    table or a list of speakers that is not there.

    Arguments
    ---------
    arguments : argparse.Namespace
        Options of the command line.

    Returns
    -------
    options : dict
        Empty without --official.
    """
    if not arguments.official:
        if arguments.root:
            raise OfficialError("--root needs --official TABLE")
        return {}
    if arguments.sources:
        raise OfficialError("give --official or --sources, not both")
    roots = {}
    for text in arguments.root:
        name, _, folder = text.partition("=")
        if name not in NAMES or name in roots or not folder:
            raise OfficialError(
                f"--root {text}: expected NAME=FOLDER, NAME one of "
                f"{', '.join(NAMES)}, each once"
            )
        roots[name] = str(pathlib.Path(folder).resolve())
    table = pathlib.Path(arguments.official)
    if not table.is_file():
        raise OfficialError(
            f"--official {table}: no such file; expected dataSources.mat or "
            "its .csv. --splits says clean or exact"
        )
    speakers = find_speaker_list(
        arguments.emu_speakers, table, roots.get("emu")
    )
    if arguments.splits == "clean" and "emu" in roots and not speakers:
        raise OfficialError(
            "--splits clean needs the speakers of EMU, for a session is not a "
            f"speaker: pass --emu_speakers FILE, with {SPEAKER_LIST}"
        )
    return {
        "sources": _digest(table),
        "splits": arguments.splits,
        "roots": dict(sorted(roots.items())),
        "missing": arguments.missing,
        "emu_speakers": speakers and _digest(speakers),
    }


def _digest(path):
    """SHA-256 of a file."""
    if not path.is_file():
        raise OfficialError(f"{path}: no such file")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_sources(arguments, options, output):
    """Writes the sources table of an official corpus; says what it leaves out.

    Raises OfficialError for a wrong table and for missing recordings.

    Arguments
    ---------
    arguments : argparse.Namespace
        Options of the command line.
    options : dict
        As official_options returns them.
    output : pathlib.Path
        The table to write, which may exist.
    """
    table, roots = pathlib.Path(arguments.official), options["roots"]
    speakers = find_speaker_list(
        arguments.emu_speakers, table, roots.get("emu")
    )
    rows = read_official(table, speakers)
    kept, left_out = SPLITS[options["splits"]](rows, read_event_classes())
    kept, problems = find_files(kept, roots)
    if problems and options["missing"] == "error":
        raise OfficialError(
            f"{table}: recordings are missing\n  "
            + "\n  ".join(problems)
            + "\nComplete the copies, or go on with what is there by "
            "--missing skip."
        )
    for row in kept:
        speaks = row["role"] == "speech"
        row["speaker"] = f"{row['source']}_{row['group']}" if speaks else ""
    output.parent.mkdir(parents=True, exist_ok=True)
    with replacing(output) as [new]:
        with open(new, "w", encoding="utf-8", newline="") as lines:
            writer = csv.DictWriter(lines, COLUMNS, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(kept)
    print(f"{table}: {len(kept)} of {len(rows)} rows ({options['splits']})")
    for (source, reason), count in sorted(left_out.items()):
        print(f"  {source}: {count} left out, {reason}")
    for problem in problems:
        print(f"  left out: {problem}")
