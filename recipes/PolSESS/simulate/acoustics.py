"""Tables of the published generator: scenes, rooms, events and levels.

scenes.csv has the 24 scene classes, indoors or outdoors, and the ranges from
which the reverberation of the indoor ones is drawn; h, m and l are WHAM's
places with high, medium and low reverberation. event_scenes.csv has the event
classes and the scene classes in which they may occur. A class map of the user
adds rows to both. (Kleć, Szklanny, Wieczorkowska, 2024.)

Authors
 * The PolSESS recipe team 2026
"""

import csv
import math
import pathlib
import re

from simulate.tables import raise_problems, read_rows

SUBSETS = ("train", "val", "test")
SETTINGS = ("indoor", "outdoor")

SSR_RANGE_DB = (-5, 5)  # speaker 1 over speaker 2, integers
SCENE_RANGE_DB = (-14.0, 0.0)  # scene over the sum of the speakers

# Columns of an indoor scene -> the least and greatest value; pre-delay in s.
ROOM_LIMITS = {"pre_delay": (0, 1), "diffusion": (0, 0.99), "decay": (0.01, 1)}
# High cut (Hz) and high-frequency damping have one range for all rooms.
ALL_ROOMS = {"high_cut": (15000.0, 20000.0), "damping": (0.1, 0.9)}

MAP_COLUMNS = ("role", "class")
OPTIONAL_MAP_COLUMNS = ("setting", *ROOM_LIMITS, "scenes", "like")


class Classes:
    """The classes of scenes and events.

    Raises SimulationError for a class map that cannot be used.

    Arguments
    ---------
    class_map : pathlib.Path, optional
        Table (CSV) with one's own classes. Columns: `role` (envScene or
        events), `class`; of scenes `setting` (indoor or outdoor) and, indoors,
        `pre_delay` (s), `diffusion` and `decay`, each the ends of a range;
        of events `scenes`, the scene classes in which they occur. `like`
        names a known class, which gives what is left empty: of a scene also
        the events that occur in it.

    Attributes
    ----------
    settings : dict
        Scene class (str) -> "indoor" or "outdoor".
    reverb_ranges : dict
        Indoor scene class -> parameter -> (lowest, highest).
    event_scenes : dict
        Event class (str) -> frozenset of scene classes (str).

    Example
    -------
    >>> Classes().reverb_ranges["car"]["decay"]
    (0.95, 0.99)
    """

    def __init__(self, class_map=None):
        self.settings, self.reverb_ranges = {}, {}
        for row in _read("scenes.csv"):
            self.settings[row["scene_class"]] = row["setting"]
            if row["setting"] == "indoor":
                ranges = {name: _range(row[name]) for name in ROOM_LIMITS}
                self.reverb_ranges[row["scene_class"]] = ranges | ALL_ROOMS
        self.event_scenes = {
            row["event_class"]: frozenset(row["scene_classes"].split())
            for row in _read("event_scenes.csv")
        }
        if class_map:
            self._add(class_map)

    def _add(self, class_map):
        """Adds the rows of a class map, the scenes first."""
        rows = read_rows(class_map, MAP_COLUMNS, OPTIONAL_MAP_COLUMNS, False)
        problems = []
        add = {"envScene": self._add_scene, "events": self._add_event}
        for role, line, row in sorted(
            ((row["role"], line, row) for line, row in rows),
            key=lambda item: item[0] != "envScene",
        ):
            name = row["class"]
            place = f"line {line} ({name})"
            if role not in add:
                cause = "unknown role, expected envScene or events"
                problems.append((cause, f"{place}: {role!r}"))
            elif not name or re.search(r"[\s,$]", name):
                cause = "expected a class without blanks, commas and $"
                problems.append((cause, f"{place}: {name!r}"))
            else:
                problems += [(c, f"{place}: {t}") for c, t in add[role](row)]
        heard_in = frozenset().union(*self.event_scenes.values())
        cause = "no event occurs in it: give `like`, or rows of events"
        problems += [
            (cause, f"line {line} ({row['class']})")
            for line, row in rows
            if row["class"] in self.settings.keys() - heard_in
        ]
        raise_problems(class_map, problems)

    def _add_scene(self, row):
        """Adds a scene; returns what is wrong with it."""
        name, like = row["class"], row["like"]
        if like and like not in self.settings:
            return [("`like` names no scene class", repr(like))]
        if row["scenes"]:
            return [("`scenes` is for events only", repr(row["scenes"]))]
        setting = row["setting"] or self.settings.get(like)
        if setting not in SETTINGS:
            return [("setting: expected indoor or outdoor", repr(setting))]
        self.settings[name] = setting
        problems = []
        if setting == "indoor":
            ranges = dict(self.reverb_ranges.get(like, ALL_ROOMS))
            for column, (least, most) in ROOM_LIMITS.items():
                if row[column]:
                    ranges[column] = _range(row[column])
                low, high = ranges.get(column) or (math.nan, math.nan)
                if not least <= low <= high <= most:
                    cause = (
                        f"{column}: expected the ends of a range within "
                        f"{least} to {most}, or `like` an indoor scene"
                    )
                    problems.append((cause, f"found {row[column]!r}"))
            self.reverb_ranges[name] = ranges
        else:
            self.reverb_ranges.pop(name, None)
        for event, scenes in self.event_scenes.items() if like else ():
            if like in scenes:
                self.event_scenes[event] = scenes | {name}
        return problems

    def _add_event(self, row):
        """Adds an event; returns what is wrong with it."""
        name, like = row["class"], row["like"]
        scenes = frozenset(row["scenes"].split())
        unknown = ", ".join(sorted(scenes - self.settings.keys()))
        if unknown:
            return [("`scenes` names no scene class", unknown)]
        if like and like not in self.event_scenes:
            return [("`like` names no event class", repr(like))]
        if not scenes and not like:
            cause = "an event needs `scenes`, or `like` an event class"
            return [(cause, "found neither")]
        for known in (name, like):
            scenes |= self.event_scenes.get(known, frozenset())
        self.event_scenes[name] = scenes
        return []


def _read(name):
    """Rows of a table beside this file."""
    path = pathlib.Path(__file__).with_name(name)
    with open(path, encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table))


def _range(text):
    """The two numbers of a cell; None if it has others."""
    try:
        low, high = map(float, text.replace(",", ".").split())
    except ValueError:
        return None
    return low, high


BUILT_IN = Classes()
SCENE_CLASSES = tuple(BUILT_IN.settings)
REVERB_RANGES = BUILT_IN.reverb_ranges
INDOOR_SCENES = tuple(REVERB_RANGES)
OUTDOOR_SCENES = tuple(s for s in SCENE_CLASSES if s not in REVERB_RANGES)


def event_scenes():
    """Tells which scene classes each event class is compatible with.

    Returns
    -------
    table : dict
        Event class (str) -> frozenset of scene classes (str).
    """
    return BUILT_IN.event_scenes
