"""Labels of public corpora and own ones -> classes that the generator knows.

A label is a class where it is one but for case and separators, or where
labels.csv says so. There, no class means that the label says nothing about the
place (Music), and `voice` that somebody is heard: such an event would be a
third speaker.

Authors
 * The PolSESS recipe team 2026
"""

import csv
import difflib
import pathlib
import re

from simulate import acoustics

VOICE = "voice"


def normalise(label):
    """Lower case, with "_" for every other character than letters and digits.

    Arguments
    ---------
    label : str
        Label of a corpus, or name of a folder.

    Returns
    -------
    name : str
        Equal for labels that differ in case or separators only.

    Example
    -------
    >>> normalise("Cafe / Restaurant"), normalise("dog-bark")
    ('cafe_restaurant', 'dog_bark')
    """
    return re.sub(r"[\W_]+", "_", label.strip().lower()).strip("_")


class Classes(acoustics.Classes):
    """The classes of scenes and events, and the labels that lead to them.

    Raises SimulationError for a class map that cannot be used.

    Arguments
    ---------
    class_map : pathlib.Path, optional
        Table (CSV) of own scenes and events, as make_corpus.py takes it.
    """

    def __init__(self, class_map=None):
        super().__init__(class_map)
        self.names = {"envScene": self.settings, "events": self.event_scenes}
        self._classes = {
            role: {normalise(n): n for n in reversed(names)}
            for role, names in self.names.items()
        }
        with open(
            pathlib.Path(__file__).parent / "labels.csv", encoding="utf-8"
        ) as table:
            for row in csv.DictReader(table):
                known = self._classes[row["role"]]
                # A class of one's own goes before a label of the same name.
                known.setdefault(normalise(row["label"]), row["class"])

    def find(self, role, labels, any_label=False):
        """Finds the classes of a recording.

        Arguments
        ---------
        role : str
            "envScene" or "events".
        labels : tuple of str
            Labels of the recording.
        any_label : bool
            Only the first label that is known counts.

        Returns
        -------
        classes : list of str
            Without repetitions; empty if the recording is left out.
        reason : str
            Why it is left out; empty if it is not.
        """
        exact, known = self.names[role], self._classes[role]
        found = [
            label if label in exact else known.get(normalise(label))
            for label in labels
        ]
        found = [name for name in found if name is not None]
        if any_label:
            found = found[:1]
        if VOICE in found:
            return [], "a voice is heard"
        classes = list(dict.fromkeys(name for name in found if name))
        if classes:
            return classes, ""
        return [], "class not used" if found else "class unknown"

    def nearest(self, role, label):
        """The known class or label that is spelled most like this one.

        Arguments
        ---------
        role : str
            "envScene" or "events".
        label : str
            An unknown label.

        Returns
        -------
        name : str
            A class; empty if none is similar.
        """
        known = {
            label: name
            for label, name in self._classes[role].items()
            if name not in ("", VOICE)
        }
        near = difflib.get_close_matches(normalise(label), known, 1)
        return known[near[0]] if near else ""
