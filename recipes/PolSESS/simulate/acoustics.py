"""Tables of the published generator: scenes, rooms, events and levels.

The 24 scene classes, indoors or outdoors; the scenes in which an event class
may occur (event_scenes.csv, one row per event class); the ranges from which
the reverberation of an indoor scene and the levels are drawn.
"""

import csv
import functools
import pathlib

SUBSETS = ("train", "val", "test")

SSR_RANGE_DB = (-5, 5)  # speaker 1 over speaker 2, integers
SCENE_RANGE_DB = (-14.0, 0.0)  # scene over the sum of the speakers

# Indoor scene class: ranges of pre-delay (s), diffusion and decay factor.
# h, m and l are the high, medium and low levels of the WHAM noise corpus.
_ROOMS = {
    "airport": ((0.01, 0.5), (0.1, 0.5), (0.3, 0.8)),
    "bus": ((0.0001, 0.05), (0.5, 0.9), (0.95, 0.99)),
    "train": ((0.0001, 0.05), (0.5, 0.9), (0.95, 0.99)),
    "tram": ((0.0001, 0.05), (0.5, 0.9), (0.95, 0.99)),
    "car": ((0.0001, 0.05), (0.5, 0.9), (0.95, 0.99)),
    "metro": ((0.0001, 0.05), (0.5, 0.9), (0.95, 0.99)),
    "metro_station": ((0.01, 0.3), (0.2, 0.5), (0.5, 0.7)),
    "cafe/restaurant": ((0.001, 0.2), (0.4, 0.8), (0.9, 0.99)),
    "grocery_store": ((0.0001, 0.1), (0.3, 0.6), (0.9, 0.99)),
    "h": ((0.01, 0.3), (0.3, 0.8), (0.7, 0.9)),
    "m": ((0.001, 0.2), (0.4, 0.8), (0.8, 0.95)),
    "l": ((0.0001, 0.1), (0.5, 0.8), (0.9, 0.99)),
    "home": ((0.0001, 0.1), (0.4, 0.6), (0.9, 0.99)),
    "library": ((0.0001, 0.15), (0.4, 0.6), (0.95, 0.99)),
    "office": ((0.0001, 0.2), (0.4, 0.6), (0.9, 0.99)),
    "shopping_mall": ((0.01, 0.3), (0.1, 0.5), (0.3, 0.8)),
}

INDOOR_SCENES = tuple(_ROOMS)

OUTDOOR_SCENES = (
    "beach",
    "city_center",
    "forest_path",
    "park",
    "public_square",
    "residential_area",
    "street_pedestrian",
    "street_traffic",
)

SCENE_CLASSES = INDOOR_SCENES + OUTDOOR_SCENES

# High cut (Hz) and high-frequency damping have one range for all rooms.
REVERB_RANGES = {
    scene_class: {
        "pre_delay": pre_delay,
        "high_cut": (15000.0, 20000.0),
        "diffusion": diffusion,
        "decay": decay,
        "damping": (0.1, 0.9),
    }
    for scene_class, (pre_delay, diffusion, decay) in _ROOMS.items()
}


@functools.lru_cache(maxsize=None)
def event_scenes():
    """Reads which scene classes each event class is compatible with.

    Returns
    -------
    table : dict
        Event class (str) -> frozenset of scene classes (str).
    """
    path = pathlib.Path(__file__).parent / "event_scenes.csv"
    with open(path, encoding="utf-8", newline="") as table:
        return {
            row["event_class"]: frozenset(row["scene_classes"].split())
            for row in csv.DictReader(table)
        }
