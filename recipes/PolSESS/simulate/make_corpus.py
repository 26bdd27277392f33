"""Makes a corpus in the layout of PolSESS, from built-in or own sources.

> python simulate/make_corpus.py --output_folder PolSESS --n_train 400

The last name of <output_folder> is the name of the corpus. Without --sources,
Polish speech, scenes and events are synthesised into <output_folder>/sources.
Started again with the same options, an interrupted command goes on where it
was, and with larger numbers it extends the corpus: the same seed gives the
same files, whatever the number of jobs.
"""

import argparse
import fcntl
import hashlib
import json
import math
import pathlib
import shutil
import sys

if not __package__:
    # Run as a script: import from recipes/PolSESS, as with -m.
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

import joblib
from official.corpus import add_options, official_options, write_sources
from official.table import OfficialError
from paths import expand_home, locked, replacing

from simulate.acoustics import SUBSETS, Classes
from simulate.builtin import make_sources
from simulate.corpus import SubsetBuilder
from simulate.sources import read_pools
from simulate.speech import find_engine
from simulate.tables import SimulationError, compare_tables, read_text

SAMPLE_RATES = (8000, 16000)
# Lowest and highest value of the options.
RANGES = {
    **{f"n_{subset}": (0, math.inf) for subset in SUBSETS},
    "seed": (0, math.inf),
    "segment_seconds": (0.5, 60),
    "indoor_ratio": (0, 1),
}
# In corpus.json only where they are given.
OPTIONAL = ("event_range_db", "class_map")
# The sources table of a corpus is kept, to say what changed in it.
TABLE_COPY = "sources_table.csv"


def make_corpus(arguments):
    """Makes, completes or extends a corpus.

    Raises SimulationError for a folder that holds another corpus, a sources
    table that cannot be used, sources without a usable segment, and a missing
    speech engine; OfficialError for what an official corpus lacks.

    Arguments
    ---------
    arguments : argparse.Namespace
        Options of the command line, as parse_arguments returns them.
    """
    root = pathlib.Path(arguments.output_folder).resolve()
    official = official_options(arguments)
    table = arguments.sources
    options = {
        "name": root.name,
        "seed": arguments.seed,
        "sample_rate": arguments.sample_rate,
        "segment_seconds": arguments.segment_seconds,
        "indoor_ratio": arguments.indoor_ratio,
        "sources": _digest(table) if table else "built-in",
        **official,
        "event_range_db": arguments.event_range_db,
        "class_map": _digest(arguments.class_map),
    }
    _check_same_corpus(root, options, table)
    classes = Classes(arguments.class_map)
    n_jobs = joblib.effective_n_jobs(arguments.n_jobs)
    counts = {name: getattr(arguments, f"n_{name}") for name in SUBSETS}
    builders = [
        SubsetBuilder(root, subset, count, options, n_jobs)
        for subset, count in counts.items()
    ]
    builders = [builder for builder in builders if not builder.is_complete()]
    if builders:
        if official:
            table = root / "sources/official.csv"
            if not (root / "corpus.json").exists():
                write_sources(arguments, official, table)
        table = table or _builtin_sources(root, options, n_jobs)
        subsets = [builder.subset for builder in builders]
        pools = read_pools(table.resolve(), subsets, options, classes)
        _record_options(root, options, arguments.sources)
        with locked(root / "corpus.json", fcntl.LOCK_NB) as is_ours:
            if is_ours is False:
                raise SimulationError(
                    f"{root}: another process makes this corpus; wait for it, "
                    "or use another --output_folder"
                )
            for old, pool in zip(builders, pools):
                # Another process may have added mixtures meanwhile.
                builder = SubsetBuilder(
                    root, old.subset, old.n_rows, options, n_jobs
                )
                builder.build(pool)
    print(f"{root}: complete")


def _digest(table):
    """SHA-256 of a table; None if there is none."""
    if table is None:
        return None
    read_text(table)  # says what is wrong with it
    return hashlib.sha256(table.read_bytes()).hexdigest()


def _check_same_corpus(root, options, table=None):
    """Refuses to add to a corpus that was made with other options."""
    record = root / "corpus.json"
    if not record.exists():
        others = [subset for subset in SUBSETS if (root / subset).exists()]
        if others or (root.exists() and not root.is_dir()):
            raise SimulationError(
                f"{root} was not made by this command: it exists, but has no "
                "corpus.json. Use another --output_folder."
            )
        return
    recorded = json.loads(record.read_text(encoding="utf-8"))
    different = [
        f"{name}: {_change(recorded.get(name), value, root, table)}"
        for name, value in options.items()
        if name in (*recorded, *OPTIONAL) and recorded.get(name) != value
    ]
    if different:
        raise SimulationError(
            f"{root} holds a corpus made with other options:\n  "
            + "\n  ".join(different)
            + "\nUse the same options or another --output_folder."
        )


def _change(then, now, root, table):
    """Says what changed in an option, for a table which of its rows."""
    copy = root / TABLE_COPY
    if _is_digest(then) and _is_digest(now):
        if table and now == _digest(table) and copy.exists():
            changes = compare_tables(copy, table)
            return (
                f"{table} is another table: {changes}; restore it from {copy}"
            )
        return "the file is another one, its rows changed; restore it"
    then, now = (
        "a table" if _is_digest(value) else value for value in (then, now)
    )
    return f"{then} there, {now} now"


def _is_digest(value):
    """True for the SHA-256 of a file."""
    return isinstance(value, str) and len(value) == 64


def _builtin_sources(root, options, n_jobs):
    """Makes the built-in sources if they are missing; returns their table."""
    table = root / "sources" / "sources.csv"
    if not table.exists():
        options["engine"] = find_engine()
        _check_same_corpus(root, options)
        _record_options(root, options)
        make_sources(table.parent, options["segment_seconds"], n_jobs)
    return table


def _record_options(root, options, table=None):
    """Writes corpus.json and a copy of the table, unless they are there."""
    record = root / "corpus.json"
    if record.exists():
        _check_same_corpus(root, options, table)
        return
    root.mkdir(parents=True, exist_ok=True)
    copies = [root / TABLE_COPY] if table else []
    given = {
        name: value
        for name, value in options.items()
        if value is not None or name not in OPTIONAL
    }
    with replacing(record, *copies, may_exist=False) as [new, *copies]:
        text = json.dumps(given, indent=2) + "\n"
        new.write_text(text, encoding="utf-8")
        for copy in copies:
            shutil.copyfile(table, copy)


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
    add("--output_folder", required=True, help="root of the corpus")
    add("--n_train", type=int, default=400, help="training mixtures")
    add("--n_val", type=int, default=40, help="validation mixtures")
    add("--n_test", type=int, default=80, help="test mixtures")
    add("--seed", type=int, default=0, help="seed of all draws")
    add("--sample_rate", type=int, default=8000, choices=SAMPLE_RATES)
    add("--segment_seconds", type=float, default=4.0, help="mixture length")
    add("--indoor_ratio", type=float, default=0.5, help="share of indoor rows")
    add("--n_jobs", type=int, default=-1, help="processes, -1: all cores")
    add(
        "--sources",
        type=pathlib.Path,
        help="a sources table (CSV); built-in if not given",
    )
    add_options(parser)
    add(
        "--class_map",
        type=pathlib.Path,
        help="a table (CSV) with scene and event classes of one's own",
    )
    add(
        "--event_range_db",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="level of the event against the speech; that of its recording "
        "if not given, as in published corpora",
    )
    arguments = parser.parse_args(expand_home(words))
    for name, (lowest, highest) in RANGES.items():
        value = getattr(arguments, name)
        if not lowest <= value <= highest:
            text = f"--{name} is {value}, expected {lowest} to {highest}"
            parser.error(text.replace("to inf", "or more"))
    low, high = arguments.event_range_db or (0, 0)
    if not -60 <= low <= high <= 30:
        text = "expected LOW to HIGH within -60 to 30"
        parser.error(f"--event_range_db is {low:g} {high:g}, {text}")
    if not (arguments.n_train or arguments.n_val or arguments.n_test):
        parser.error("--n_train, --n_val and --n_test are all 0")
    if arguments.n_jobs == 0:
        parser.error("--n_jobs is 0, expected at least 1, or -1 for all cores")
    return arguments


if __name__ == "__main__":
    try:
        make_corpus(parse_arguments())
    except (SimulationError, OfficialError, OSError) as error:
        sys.exit(f"make_corpus: {error}")
