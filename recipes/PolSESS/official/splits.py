"""The subsets of the official table: as published, or mended.

`exact` keeps the rows of the table, and an event stands for each class whose
name is a part of its labels, as the generator searches (Kleć, Szklanny,
Wieczorkowska, 2024): "Crow" finds crowds, "rain" trains. `clean` lists each
recording once, puts each speaker, place and Freesound upload into one subset,
and takes whole labels; events in which people speak are left out.

Authors
 * The PolSESS recipe team 2026
"""

import collections
import csv
import pathlib
import zlib

from official.table import SUBSETS

EVENT_SCENES = pathlib.Path(__file__).parents[1] / "simulate/event_scenes.csv"
# Labels of FSD50K: a third voice is no part of the targets.
VOICES = {"Human_voice", "Crowd", "Chatter"}
NO_CLASS = "no class of the match table"
A_VOICE = "a voice"
TWICE = "listed before"


def read_event_classes():
    """The event classes that occur in some scene.

    Returns
    -------
    classes : dict
        Event class -> list of scene classes.
    """
    with open(EVENT_SCENES, encoding="utf-8", newline="") as table:
        return {
            row["event_class"]: row["scene_classes"].split()
            for row in csv.DictReader(table)
        }


def labels_of(row):
    """Labels of an event: a set."""
    return {label.strip() for label in row["class"].split(",")}


def exact_rows(rows, event_classes):
    """Takes the subsets as published.

    Arguments
    ---------
    rows : list of dict
        Rows of read_official.
    event_classes : collection of str
        Classes that can be drawn.

    Returns
    -------
    kept : list of dict
        Copies; the class of an event lists all that it is drawn for.
    left_out : collections.Counter
        (source, reason) -> number of rows.
    """
    kept, left_out = [], collections.Counter()
    for row in rows:
        if row["role"] == "events":
            found = [name for name in event_classes if name in row["class"]]
            if not found:
                left_out[row["source"], NO_CLASS] += 1
                continue
            row = {**row, "class": ",".join(found)}
        kept.append(row)
    return kept, left_out


def clean_rows(rows, event_classes):
    """Mends the subsets with the same recordings.

    Speakers and places that are in several subsets are shared out among
    these, within each class in the published proportions. An upload to
    Freesound that both event corpora hold belongs to FSD50K's subset.

    Arguments
    ---------
    rows : list of dict
        Rows of read_official.
    event_classes : collection of str
        Classes that can be drawn.

    Returns
    -------
    kept : list of dict
        Copies; the class of an event lists the whole labels to draw it for.
    left_out : collections.Counter
        (source, reason) -> number of rows.
    """
    kept, left_out, known = [], collections.Counter(), set()
    subsets = _shared_out(rows)
    uploads = {
        row["group"]: subsets[row["source"], row["group"]]
        for row in rows
        if row["source"] == "fsd50k"
    }
    for row in rows:
        labels, reason = labels_of(row), None
        found = [name for name in event_classes if name in labels]
        if (row["source"], row["filePath"]) in known:
            reason = TWICE
        elif row["role"] == "events" and not found:
            reason = NO_CLASS
        elif row["role"] == "events" and labels & VOICES:
            reason = A_VOICE
        known.add((row["source"], row["filePath"]))
        if reason:
            left_out[row["source"], reason] += 1
            continue
        row = {**row, "subset": subsets[row["source"], row["group"]]}
        if row["role"] == "events":
            row["class"] = ",".join(found)
            row["subset"] = uploads.get(row["group"], row["subset"])
        kept.append(row)
    return kept, left_out


def _shared_out(rows):
    """(source, group) -> its one subset."""
    # (source, class) -> group -> subset -> number of rows. Speakers and
    # uploads are one class, so that theirs do not divide a group.
    tables = collections.defaultdict(
        lambda: collections.defaultdict(collections.Counter)
    )
    for row in rows:
        stratum = row["class"] if row["role"] == "envScene" else ""
        tables[row["source"], stratum][row["group"]][row["subset"]] += 1
    return {
        (source, group): subset
        for (source, _), groups in tables.items()
        for group, subset in _share_out(groups).items()
    }


def _share_out(groups):
    """One subset for each group; those in one subset stay where they are.

    The order of the others is that of a checksum of their names, and each
    goes to the subset that lacks the largest part of its published rows.

    Example
    -------
    >>> _share_out({"a": {"val": 2, "test": 2}, "b": {"val": 2, "test": 2}})
    {'b': 'val', 'a': 'test'}
    """
    subsets = {n: next(iter(c)) for n, c in groups.items() if len(c) == 1}
    divided = [name for name in groups if name not in subsets]
    wanted, present = collections.Counter(), collections.Counter()
    for name, counts in groups.items():
        wanted.update(counts)
        if name in subsets:
            present.update(counts)
    choices = [s for s in SUBSETS if any(s in groups[n] for n in divided)]
    for name in sorted(divided, key=lambda n: zlib.crc32(n.encode())):
        subsets[name] = max(choices, key=lambda s: 1 - present[s] / wanted[s])
        present[subsets[name]] += sum(groups[name].values())
    return subsets
