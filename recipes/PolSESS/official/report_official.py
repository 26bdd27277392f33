"""Counts what --splits exact and clean change; prints the table as Markdown.

> python official/report_official.py dataSources.mat --emu_speakers utt2spk

Shares of mixtures are probabilities of the draw, not estimates: recordings,
scenes, classes and events are equally likely, as in the published generator
(Kleć, Szklanny, Wieczorkowska, 2024).

Authors
 * The PolSESS recipe team 2026
"""

import argparse
import collections
import pathlib
import sys

if not __package__:
    # Run as a script: import from recipes/PolSESS, as with -m.
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from paths import expand_home

from official.splits import (
    VOICES,
    clean_rows,
    exact_rows,
    labels_of,
    read_event_classes,
)
from official.table import SUBSETS, OfficialError, read_official

GROUPS = {
    "emu": "speakers",
    "mls": "speakers",
    "tut": "recordings",
    "tau": "places",
    "wham": "recordings",
    "esc50": "uploads",
    "fsd50k": "uploads",
}


def same_person_share(rows):
    """Probability that two different recordings are of the same person.

    Arguments
    ---------
    rows : list of dict
        Speech of one subset.

    Returns
    -------
    share : float
        Between 0 and 1.

    Example
    -------
    >>> rows = [{"source": "mls", "group": name} for name in "aab"]
    >>> round(same_person_share(rows), 3)
    0.333
    """
    sizes = collections.Counter((row["source"], row["group"]) for row in rows)
    pairs = len(rows) * (len(rows) - 1)
    return sum(size * (size - 1) for size in sizes.values()) / pairs


def event_share(rows, event_classes, is_meant):
    """Probability that a mixture draws an event of a kind.

    Arguments
    ---------
    rows : list of dict
        One subset; the class of an event lists all that it is drawn for.
    event_classes : dict
        Event class -> scene classes.
    is_meant : callable
        (row, drawn class) -> bool.

    Returns
    -------
    share : float
        Between 0 and 1.
    """
    meant, found = collections.Counter(), collections.Counter()
    for row in rows:
        for name in labels_of(row) if row["role"] == "events" else ():
            found[name] += 1
            meant[name] += is_meant(row, name)
    scenes = collections.Counter(
        row["class"] for row in rows if row["role"] == "envScene"
    )
    total = 0.0
    for scene, count in scenes.items():
        names = [n for n in found if scene in event_classes[n]]
        total += count * sum(meant[n] / found[n] for n in names) / len(names)
    return total / scenes.total()


def shared_groups(rows):
    """Counts the groups of each source that are in several subsets.

    Uploads to Freesound are counted in both event corpora together, as of
    ESC-50.

    Arguments
    ---------
    rows : list of dict
        All subsets.

    Returns
    -------
    counts : collections.Counter
        Source -> number of groups.
    """
    subsets, sources = collections.defaultdict(set), {}
    for row in rows:
        events = row["role"] == "events"
        key = ("freesound" if events else row["source"], row["group"])
        subsets[key].add(row["subset"])
        sources[key] = "esc50" if sources.get(key) == "esc50" else row["source"]
    return collections.Counter(
        sources[key] for key, found in subsets.items() if len(found) > 1
    )


def report(rows):
    """Compares the published subsets with the mended ones.

    Arguments
    ---------
    rows : list of dict
        Rows of read_official.

    Returns
    -------
    lines : list of str
        Two Markdown tables.
    """
    classes = read_event_classes()
    labels = {(r["source"], r["filePath"]): labels_of(r) for r in rows}
    made = {
        "exact": exact_rows(rows, classes),
        "clean": clean_rows(rows, classes),
    }
    lines = ["| Source | Files and groups | exact | clean |"]
    lines.append("| --- | --- | --- | --- |")
    for source in dict.fromkeys(row["source"] for row in rows):
        for subset in SUBSETS:
            cells = []
            for kept, _ in made.values():
                found = [
                    row["group"]
                    for row in kept
                    if (row["source"], row["subset"]) == (source, subset)
                ]
                cells.append(f"{len(found):,} of {len(set(found)):,}")
            text = f"{subset}: files of {GROUPS[source]}"
            lines.append(f"| {source} | {text} | {' | '.join(cells)} |")
    return lines + [""] + _defects(made, labels, classes)


def _defects(made, labels, classes):
    """The second table: what is wrong with each choice."""
    facts = collections.defaultdict(dict)
    for splits, (kept, left_out) in made.items():
        for source, count in shared_groups(kept).items():
            text = f"{source}: {GROUPS[source]} in several subsets"
            facts[text][splits] = f"{count:,}"
        for (source, reason), count in left_out.items():
            facts[f"{source}: left out, {reason}"][splits] = f"{count:,}"
        for subset in SUBSETS:
            rows = [row for row in kept if row["subset"] == subset]
            speech = [row for row in rows if row["role"] == "speech"]
            same = same_person_share(speech) if splits == "exact" else 0
            shares = {
                "the same person twice": same,
                "an event whose labels lack the drawn class": event_share(
                    rows, classes, lambda r, n: n not in labels[_file(r)]
                ),
                "an event with a voice": event_share(
                    rows, classes, lambda r, n: bool(labels[_file(r)] & VOICES)
                ),
            }
            for text, share in shares.items():
                text = f"{subset} mixtures with {text}"
                facts[text][splits] = f"{share:.1%}"
    lines = ["| Defect | exact | clean |", "| --- | --- | --- |"]
    for text, cells in facts.items():
        exact, clean = (cells.get(splits, "0") for splits in made)
        lines.append(f"| {text} | {exact} | {clean} |")
    return lines


def _file(row):
    """The key of a recording."""
    return row["source"], row["filePath"]


def parse_arguments(words=None):
    """Parses the command line.

    Arguments
    ---------
    words : list of str, optional
        In place of the command line.

    Returns
    -------
    arguments : argparse.Namespace
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=pathlib.Path, help=".mat, .csv, .csv.gz")
    parser.add_argument(
        "--emu_speakers", type=pathlib.Path, required=True, help="utt2spk"
    )
    return parser.parse_args(expand_home(words))


if __name__ == "__main__":
    try:
        options = parse_arguments()
        found = read_official(options.table, options.emu_speakers)
        print("\n".join(report(found)))
    except (OfficialError, OSError) as error:
        sys.exit(f"report_official: {error}")
