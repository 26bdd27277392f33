"""Labels of public corpora and own ones, and the speaker rules."""

from pathlib import Path

import pytest
from simulate.acoustics import SCENE_CLASSES, event_scenes
from simulate.tables import SimulationError
from sources.labels import Classes
from sources.speakers import read_speakers, speaker_rule

CLASSES = Classes()
ESC50 = """
airplane breathing brushing_teeth can_opening car_horn cat chainsaw
chirping_birds church_bells clapping clock_alarm clock_tick coughing cow
crackling_fire crickets crow crying_baby dog door_wood_creaks door_wood_knock
drinking_sipping engine fireworks footsteps frog glass_breaking hand_saw
helicopter hen insects keyboard_typing laughing mouse_click pig pouring_water
rain rooster sea_waves sheep siren sneezing snoring thunderstorm toilet_flush
train vacuum_cleaner washing_machine water_drops wind
""".split()
DEMAND = """
DKITCHEN DLIVING DWASHING NFIELD NPARK NRIVER OHALLWAY OMEETING OOFFICE PCAFETER
PRESTO PSTATION SCAFE SPSQUARE STRAFFIC TBUS TCAR TMETRO
""".split()


def test_classes_are_their_own_labels():
    for name in SCENE_CLASSES:
        assert CLASSES.find("envScene", (name,)) == ([name], "")
    for name in event_scenes():
        assert CLASSES.find("events", (name,)) == ([name], "")


def test_no_label_of_a_public_corpus_is_unknown():
    reasons = [CLASSES.find("events", (label,))[1] for label in ESC50]
    assert len(reasons) == 50 and reasons.count("") == 43
    assert reasons.count("a voice is heard") == 6  # sneezing, snoring too
    assert reasons.count("class not used") == 1  # sea_waves
    assert all(CLASSES.find("envScene", (x,))[0] for x in DEMAND)


@pytest.mark.parametrize(
    "role, labels, found",
    [
        ("events", ("Dog_bark",), ["Bark"]),
        ("events", ("dog",), ["dog"]),
        ("events", ("Dog",), ["Dog"]),
        ("events", ("Rainfall",), ["Rain"]),
        ("events", ("keys jangling",), ["Keys_jangling"]),
        ("events", ("Siren", "Alarm", "Music"), ["Siren", "Alarm"]),
        ("events", ("Applause", "Human_group_actions"), ["Applause"]),
        ("envScene", ("Cafe / Restaurant",), ["cafe/restaurant"]),
        ("envScene", ("Metro-Station",), ["metro_station"]),
        ("envScene", ("h",), ["h"]),
    ],
)
def test_labels_lead_to_classes(role, labels, found):
    assert CLASSES.find(role, labels) == (found, "")


@pytest.mark.parametrize(
    "labels, reason",
    [
        (("Speech", "Siren"), "a voice is heard"),
        (("Music",), "class not used"),
        (("zebra",), "class unknown"),
        ((), "class unknown"),
    ],
)
def test_why_an_event_is_left_out(labels, reason):
    assert CLASSES.find("events", labels) == ([], reason)


def test_the_first_known_label_of_an_own_recording_counts():
    find = CLASSES.find
    assert find("events", ("my sounds", "dog"), True) == (["dog"], "")
    assert find("events", ("dog", "rain"), True) == (["dog"], "")


def test_the_nearest_class():
    assert CLASSES.nearest("events", "chain_saws") == "chainsaw"
    assert CLASSES.nearest("envScene", "groceries") == "grocery_store"
    assert CLASSES.nearest("events", "qqqq") == ""


def test_a_class_map_adds_scenes_and_events(tmp_path):
    table = tmp_path / "map.csv"
    table.write_text(
        "role,class,setting,scenes,like\n"
        "envScene,kitchen,,,home\n"
        "envScene,quarry,outdoor,,\n"
        "events,kettle,,kitchen,\n"
        "events,Dog,,kitchen quarry,\n",
        encoding="utf-8",
    )
    classes = Classes(table)
    # A label of the table says home; the own class goes before it.
    assert CLASSES.find("envScene", ("Kitchen",)) == (["home"], "")
    assert classes.find("envScene", ("Kitchen",)) == (["kitchen"], "")
    assert classes.settings["kitchen"] == "indoor"
    assert classes.settings["quarry"] == "outdoor"
    assert classes.event_scenes["kettle"] == {"kitchen"}
    assert classes.event_scenes["Dog"] == event_scenes()["Dog"] | {
        "kitchen",
        "quarry",
    }


FOLDER = Path("/data")


def test_rules_for_speakers(tmp_path):
    parent = speaker_rule("parent")
    assert parent(FOLDER / "anna/1.wav", FOLDER, ()) == "anna"
    assert parent(FOLDER / "1.wav", FOLDER, ()) == ""
    name = speaker_rule(r"name:rec_(\w+?)_\d+")
    assert name(FOLDER / "x/rec_jan_7.wav", FOLDER, ()) == "jan"
    assert name(FOLDER / "x/jan.wav", FOLDER, ()) == ""
    table = tmp_path / "speakers.csv"
    table.write_text("path;speaker\na\\1.wav;anna\n2;jan\n", encoding="utf-8")
    rule = speaker_rule(f"csv:{table}")
    found = [rule(FOLDER / x, FOLDER, ()) for x in ("a/1.wav", "b/2.wav", "3")]
    assert found == ["anna", "jan", ""]
    table.write_text("SES0001 SPK0001\nSES0002 SPK0001\n", encoding="utf-8")
    rule = speaker_rule(f"csv:{table}")
    assert rule(FOLDER / "x.wav", FOLDER, ("SES0002",)) == "SPK0001"


@pytest.mark.parametrize(
    "rule, message",
    [
        ("name:[a-z]+", "has no group"),
        ("name:(", "no regular expression"),
        ("folder", "expected parent, name:REGEX or csv:FILE"),
        ("csv:", "expected parent"),
        ("csv:/no/such.csv", "/no/such.csv: no such file"),
    ],
)
def test_a_rule_at_fault(rule, message):
    with pytest.raises(SimulationError) as caught:
        speaker_rule(rule)
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "file,age\nx,3\n\n", "a,b,c\n"])
def test_a_list_of_speakers_without_its_columns(tmp_path, text):
    table = tmp_path / "speakers.csv"
    table.write_text(text.replace("file,age", "file,age,sex"), encoding="utf-8")
    with pytest.raises(SimulationError, match="expected the columns path"):
        read_speakers(table)
