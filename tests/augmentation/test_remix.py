"""Which parts a remix takes, of whom, and at which level."""

from collections import Counter
from functools import partial

import pytest
from augmentation.remix import Donors, Remix
from mixtures import draw


def rows_of(pairs, setting="indoor"):
    """Rows whose speakers are the letters of each pair."""
    return {
        f"m{number}": {
            "setting": setting,
            "speaker1": pair[:1],
            "speaker2": pair[1:],
            "samples": 100,
        }
        for number, pair in enumerate(pairs)
    }


def remix_of(rows, task="SB"):
    remix = Remix(1.0)
    remix.set_rows(rows, task, lambda row: row["samples"])
    return remix


def chosen(rows, epochs=300, parts=("s1", "s2", "scene", "event")):
    """Chosen parts of each mixture in many epochs."""
    remix, needed = remix_of(rows), dict.fromkeys(parts, 100)
    return [
        (i, remix.choose(i, needed, partial(draw, 1, epoch, i)))
        for i in rows
        for epoch in range(epochs)
    ]


@pytest.mark.parametrize(
    "pairs",
    [["AB", "BA", "AB"], ["AB", "AC", "BC", "CA", "BA"], ["AB", "CD", "AA"]],
)
def test_nobody_speaks_to_oneself(pairs):
    rows, seen = rows_of(pairs), Counter()
    for own, parts in chosen(rows):
        assert parts["s1"] == (own, "s1")
        donor, part = parts["s2"]
        assert rows[donor][f"speaker{part[1]}"] != rows[own]["speaker1"]
        assert donor != own
        seen[own, donor] += 1
    # Each other mixture with two speakers, equally often.
    able = [i for i, pair in zip(rows, pairs) if pair[0] != pair[1]]
    pairs_seen = {(a, b) for a in rows for b in able if a != b}
    if "AA" not in pairs:
        assert set(seen) == pairs_seen
        mean = 300 / (len(rows) - 1)
        assert all(abs(n - mean) < 6 * mean**0.5 for n in seen.values())
    else:
        assert set(seen) <= pairs_seen and len({a for a, _ in seen}) == 3


def test_background_comes_from_two_other_mixtures_of_the_setting():
    rows = rows_of(["AB"] * 4)
    rows |= {f"o{i}": row for i, row in rows_of("CD", "outdoor").items()}
    rows["om0"]["speaker2"] = rows["om1"]["speaker2"] = "E"
    pairs = Counter()
    for own, parts in chosen(rows):
        for part in ("scene", "event"):
            donor, name = parts[part]
            assert name == part and donor != own
            assert rows[donor]["setting"] == rows[own]["setting"]
        pairs[own, parts["scene"][0], parts["event"][0]] += 1
    assert len(pairs) == 4 * 3 * 3 + 2


def test_nobody_is_mixed_with_a_speaker_without_a_name():
    for own, parts in chosen(rows_of(["AB", "A", "CD"]), 20):
        assert parts["s2"][0] in {"m0", "m2"} - {own}


def test_a_speaker_without_a_name_keeps_the_partner():
    for own, parts in chosen(rows_of(["AB", "", "CD"]), 20):
        assert own != "m1" or parts["s2"] == ("m1", "s2")
        assert own == "m1" or parts["s2"][0] != "m1"


def test_donors_are_long_enough_and_equally_likely():
    donors = Donors({"a": 50, "b": 40, "c": 30, "d": 20})
    grid = [n / 1000 for n in range(1000)]
    for own, samples, expected in [
        ("a", 20, "bcd"),
        ("d", 20, "abc"),
        ("b", 45, "a"),
        ("a", 45, "a"),
        ("c", 60, "c"),
    ]:
        seen = Counter(donors.pick(own, samples, p) for p in grid)
        assert set(seen) == set(expected)
        assert max(seen.values()) - min(seen.values()) <= 1


def test_silence_stays_and_decides_nothing():
    remix, middle = Remix(1.0, [0, 0], [0, 0]), lambda purpose: 0.5
    assert remix.gains({"s1": 0.0, "s2": 1.0, "scene": 1.0}, middle) == {}
    assert remix.gains({"s1": 1.0, "s2": 0.0, "scene": 0.0}, middle) == {}
    assert remix.gains({"s1": 4.0, "scene": 2.0}, middle) == {"scene": 2.0}


@pytest.mark.parametrize(
    "pairs, task, words",
    [
        (["AB"], "ES", "2 or more indoor training mixtures, found 1"),
        (["AB", "CC"], "SB", "mixtures that name two speakers, found 1"),
        (["", ""], "EB", "that name two speakers, found 0"),
    ],
)
def test_too_few_mixtures_are_said(pairs, task, words):
    with pytest.raises(ValueError, match=words) as caught:
        remix_of(rows_of(pairs), task)
    assert "--remix_probability=0" in str(caught.value)
    remix_of(rows_of(pairs, "dry"), task)  # never remixed
    if len(pairs) > 1:
        remix_of(rows_of(pairs), "ES")


@pytest.mark.parametrize(
    "options, words",
    [
        ({"probability": 1.5}, "remix_probability: expected a number from 0"),
        ({"probability": True}, "found True"),
        ({"probability": "all"}, "found 'all'"),
        ({"ssr_db": [5, -5]}, r"remix.ssr_db\[1\]: expected .* 5 to 100"),
        ({"ssr_db": 5}, r"remix.ssr_db: expected \[lowest, highest\], found 5"),
        ({"scene_db": [float("nan"), 0]}, r"remix.scene_db\[0\]: .* nan"),
    ],
)
def test_values_that_make_no_sense_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        Remix(**options)
