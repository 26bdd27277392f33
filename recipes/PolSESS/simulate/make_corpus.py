"""Makes a corpus in the layout of PolSESS, from built-in or own sources.

> python simulate/make_corpus.py --output_folder PolSESS --n_train 400

The last name of <output_folder> is the name of the corpus. Without --sources,
Polish speech, scenes and events are synthesised into <output_folder>/sources.
Started again with the same options, an interrupted command goes on where it
was, and with larger numbers it extends the corpus: the same seed gives the
same files, whatever the number of jobs.
"""

import argparse
import hashlib
import json
import math
import pathlib
import sys

if not __package__:
    # Run as a script: import from recipes/PolSESS, as with -m.
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

import joblib
from official.corpus import add_options, official_options, write_sources
from official.table import OfficialError

from simulate.acoustics import SUBSETS
from simulate.audio import replacing
from simulate.builtin import make_sources
from simulate.corpus import SubsetBuilder
from simulate.sources import SimulationError, read_pools
from simulate.speech import find_engine

SAMPLE_RATES = (8000, 16000)
# Lowest and highest value of the options.
RANGES = {
    **{f"n_{subset}": (0, math.inf) for subset in SUBSETS},
    "seed": (0, math.inf),
    "segment_seconds": (0.5, 60),
    "indoor_ratio": (0, 1),
}


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
    }
    _check_same_corpus(root, options)
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
        table = pathlib.Path(table or _builtin_sources(root, options, n_jobs))
        subsets = [builder.subset for builder in builders]
        pools = read_pools(table.resolve(), subsets, options)
        _record_options(root, options)
        for builder, pool in zip(builders, pools):
            builder.build(pool)
    print(f"{root}: complete")


def _digest(table):
    """SHA-256 of a sources table."""
    if not pathlib.Path(table).is_file():
        raise SimulationError(
            f"{table}: no such file; pass --sources TABLE.csv"
        )
    return hashlib.sha256(pathlib.Path(table).read_bytes()).hexdigest()


def _check_same_corpus(root, options):
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
        f"{name}: {recorded[name]} there, {value} now"
        for name, value in options.items()
        if name in recorded and recorded[name] != value
    ]
    if different:
        raise SimulationError(
            f"{root} holds a corpus made with other options:\n  "
            + "\n  ".join(different)
            + "\nUse the same options or another --output_folder."
        )


def _builtin_sources(root, options, n_jobs):
    """Makes the built-in sources if they are missing; returns their table."""
    table = root / "sources" / "sources.csv"
    if not table.exists():
        options["engine"] = find_engine()
        _check_same_corpus(root, options)
        _record_options(root, options)
        make_sources(table.parent, options["segment_seconds"], n_jobs)
    return table


def _record_options(root, options):
    """Writes corpus.json, unless the corpus has one."""
    record = root / "corpus.json"
    if record.exists():
        return
    root.mkdir(parents=True, exist_ok=True)
    with replacing(record) as partial:
        text = json.dumps(options, indent=2) + "\n"
        partial.write_text(text, encoding="utf-8")


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
    add("--sources", help="a sources table (CSV); built-in if not given")
    add_options(parser)
    arguments = parser.parse_args(words)
    for name, (lowest, highest) in RANGES.items():
        value = getattr(arguments, name)
        if not lowest <= value <= highest:
            text = f"--{name} is {value}, expected {lowest} to {highest}"
            parser.error(text.replace("to inf", "or more"))
    if not (arguments.n_train or arguments.n_val or arguments.n_test):
        parser.error("--n_train, --n_val and --n_test are all 0")
    if arguments.n_jobs == 0:
        parser.error("--n_jobs is 0, expected at least 1, or -1 for all cores")
    return arguments


if __name__ == "__main__":
    try:
        make_corpus(parse_arguments())
    except (
        *(SimulationError, OfficialError),
        *(OSError, UnicodeDecodeError),
    ) as error:
        sys.exit(f"make_corpus: {error}")
