"""Makes a sources table from folders of recordings.

> python sources/make_sources.py --speech mls=/data/mls_polish \\
>     --scenes tau2019=/data/TAU --events folder=/data/my_events \\
>     --output sources.csv

The table is what make_corpus.py --sources takes. Recordings stay where they
are; only joined utterances, padded events and cut scenes are written, beside
the table. A report says what was taken and what was left out, and why. Classes
and procedure are those of PolSESS (Kleć, Szklanny, Wieczorkowska, 2024).

Authors
 * The PolSESS recipe team 2026
"""

import argparse
import csv
import math
import pathlib
import re
import sys

if not __package__:
    # Run as a script: import from recipes/PolSESS, as with -m.
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

import joblib
from paths import expand_home, replacing
from simulate.acoustics import SUBSETS
from simulate.tables import SimulationError

from sources.adapters import ADAPTERS
from sources.collect import Corpus, check_subsets, collect, in_parallel
from sources.labels import Classes
from sources.measure import gain_to_level
from sources.pieces import name_pieces, write_pieces
from sources.report import Report
from sources.speakers import RULES, speaker_rule

COLUMNS = (
    "subset filePath role source class sampleRate duration channels speaker "
    "gainDB".split()
)
ROLE_OPTIONS = {"speech": "speech", "envScene": "scenes", "events": "events"}


def make_sources(arguments):
    """Makes a sources table, its recordings and the report.

    Raises SimulationError for a corpus that is not where or what the options
    say, and for a subset that lacks speakers, scenes or events.

    Arguments
    ---------
    arguments : argparse.Namespace
        Options of the command line, as parse_arguments returns them.
    """
    table = pathlib.Path(arguments.output).resolve()
    report_path = table.with_name(f"{table.stem}_report.csv")
    if table.exists() and not report_path.exists():
        raise SimulationError(
            f"{table} was not made by this command: there is no "
            f"{report_path.name} beside it. Use another --output."
        )
    classes = Classes(arguments.class_map)
    report = Report(classes)
    corpora = _read_corpora(arguments)
    recordings = collect(corpora, classes, report, arguments)
    problems, report.warnings = check_subsets(
        recordings, arguments.split, classes.reverb_ranges
    )
    print(report.text())
    if problems:
        raise SimulationError(
            f"{len(problems)} problem(s); the report above says what was "
            "left out\n  " + "\n  ".join(problems)
        )
    folder = table.with_name(f"{table.stem}_joined")
    made = [recording for recording in recordings if recording.path is None]
    for recording in made:
        name_pieces(recording, folder)
    in_parallel(write_pieces, made, arguments.n_jobs, "writing recordings")
    table.parent.mkdir(parents=True, exist_ok=True)
    with replacing(report_path, table) as [new_report, new_table]:
        report.write(new_report)
        _write_table(new_table, table.parent, recordings)
    print(f"{table}: {len(recordings)} recordings; report: {report_path}")


def _read_corpora(arguments):
    """The corpora of the command line; refuses what is none."""
    rules = dict(map(_read_rule, arguments.speaker_from))
    corpora = {}
    for role, option in ROLE_OPTIONS.items():
        known = ", ".join(ADAPTERS[role])
        if not getattr(arguments, option):
            raise SimulationError(
                f"--{option} is missing: a corpus needs speech, scenes and "
                f"events. Give --{option} NAME=FOLDER, NAME one of {known}"
            )
        for word in getattr(arguments, option):
            name, _, place = word.partition("=")
            adapter, _, alias = name.partition(":")
            source, folder = alias or adapter, pathlib.Path(place).resolve()
            problem = ""
            if not place or adapter not in ADAPTERS[role]:
                problem = "expected NAME=FOLDER or NAME:ALIAS=FOLDER, NAME one "
                problem += f"of {known}"
            elif not re.fullmatch(r"[\w.-]+", source):
                problem = "expected letters, digits, _, . and - in the name"
            elif not folder.is_dir():
                problem = "no such folder; check the path"
            elif (role, source) in corpora:
                problem = f"there are two sources {source}; name one of them, "
                problem += f"as in {adapter}:mine={place}"
            if problem:
                raise SimulationError(f"--{option} {word}: {problem}")
            own = rules.get("", "parent") if adapter == "folder" else ""
            text = rules.get(source, own) if role == "speech" else ""
            corpora[role, source] = Corpus(
                role,
                source,
                folder,
                ADAPTERS[role][adapter],
                speaker_rule(text) if text else None,
            )
    speech = [source for role, source in corpora if role == "speech"]
    for source in rules:
        if source and source not in speech:
            raise SimulationError(
                f"--speaker_from {source}={rules[source]}: no such source of "
                f"speech; there is {', '.join(speech)}"
            )
    return list(corpora.values())


def _read_rule(word):
    """Source and rule of one --speaker_from; "" means all own folders."""
    match = re.fullmatch(r"(?:([\w.-]+)=)?((?:parent$|name:|csv:).*)", word)
    if not match:
        raise SimulationError(
            f"--speaker_from {word}: expected {RULES}, after SOURCE= if it is "
            "for one source"
        )
    return match[1] or "", match[2]


def _write_table(table, folder, recordings):
    """Writes the sources table, whose place is a folder."""
    with open(table, "w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(COLUMNS)
        for r in recordings:
            path = r.path
            if path.is_relative_to(folder):
                path = path.relative_to(folder)
            label, speaker = r.name, ""
            if r.role == "speech":
                label, speaker = "", r.name
            gain_db = gain_to_level(r.role, r.power, r.peak)
            writer.writerow(
                [r.subset, path.as_posix(), r.role, r.source, label]
                + [r.sample_rate, round(r.seconds, 6), r.channels]
                + [speaker, gain_db]
            )


def _read_shares(text):
    """Shares of the subsets, from the command line."""
    try:
        shares = [float(share) for share in text.split(",")]
    except ValueError:
        shares = []
    if (
        len(shares) != len(SUBSETS)
        or not all(0 <= share < math.inf for share in shares)
        or not shares[0]
    ):
        raise argparse.ArgumentTypeError(
            f"{text!r}, expected shares of {', '.join(SUBSETS)}, such as "
            "0.8,0.1,0.1; that of train above 0"
        )
    return dict(zip(SUBSETS, shares))


def parse_arguments(words=None):
    """Reads the command line; ends the program for an option out of range.

    Arguments
    ---------
    words : list of str, optional
        Words of the command line; those of the process if None.

    Returns
    -------
    arguments : argparse.Namespace
        The options.
    """
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    for role, option in ROLE_OPTIONS.items():
        add(
            f"--{option}",
            action="append",
            default=[],
            metavar="NAME[:ALIAS]=FOLDER",
            help=f"NAME is one of {', '.join(ADAPTERS[role])}; may be repeated",
        )
    add("--output", required=True, help="the table (CSV)")
    add(
        "--speaker_from",
        action="append",
        default=[],
        metavar="[SOURCE=]RULE",
        help=f"how to find the speaker of own recordings: {RULES}",
    )
    add(
        "--split",
        type=_read_shares,
        default="0.8,0.1,0.1",
        help="shares of train, val, test where no official split says it",
    )
    add(
        "--official_split",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep the split that a public corpus comes with",
    )
    add("--seed", type=int, default=0, help="seed of all draws")
    add("--segment_seconds", type=float, default=4.0, help="mixture length")
    add(
        "--join_utterances",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="join utterances of a speaker that are shorter than a mixture",
    )
    add(
        "--min_event_seconds",
        type=float,
        default=0.5,
        help="shorter events are left out, longer ones padded by silence",
    )
    add("--class_map", type=pathlib.Path, help="own scenes and events (CSV)")
    add("--n_jobs", type=int, default=-1, help="processes, -1: all cores")
    arguments = parser.parse_args(expand_home(words))
    if not 0.5 <= arguments.segment_seconds <= 60:
        parser.error("--segment_seconds: expected 0.5 to 60")
    if not 0 < arguments.min_event_seconds <= arguments.segment_seconds:
        parser.error("--min_event_seconds: expected at most --segment_seconds")
    if arguments.n_jobs == 0:
        parser.error("--n_jobs is 0, expected at least 1, or -1 for all cores")
    arguments.n_jobs = joblib.effective_n_jobs(arguments.n_jobs)
    return arguments


if __name__ == "__main__":
    try:
        make_sources(parse_arguments())
    except (SimulationError, OSError, UnicodeDecodeError) as error:
        sys.exit(f"make_sources: {error}")
