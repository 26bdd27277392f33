"""Which group goes to which subset."""

import itertools
from types import SimpleNamespace

import pytest
from simulate.acoustics import SUBSETS
from sources.splits import counts_of, cut_times, hash_draw, split

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}


def recording(group, subsets=(), role="speech", source="mls", name=""):
    return SimpleNamespace(
        role=role, source=source, group=group, subsets=subsets, name=name
    )


def subsets_of(recordings, shares=SHARES, seed=0):
    """Group -> subset, after a check that no group is divided."""
    split(recordings, shares, seed, lambda r: (r.name, "rest"))
    found = {}
    for r in recordings:
        assert found.setdefault(r.group, r.subset) == r.subset
    return found


def test_shares_of_many_groups_and_least_of_few():
    many = [recording(f"{n % 100}") for n in range(200)]
    found = list(subsets_of(many).values())
    assert [found.count(s) for s in SUBSETS] == [80, 10, 10]
    assert counts_of(7, SHARES, 2) == {"train": 3, "val": 2, "test": 2}
    assert counts_of(5, {**SHARES, "val": 0}, 2) == {
        "train": 3,
        "val": 0,
        "test": 2,
    }


@pytest.mark.parametrize("n, least", itertools.product(range(30), (1, 2)))
def test_counts_add_up_and_serve_each_subset(n, least):
    counts = counts_of(n, SHARES, least)
    assert sum(counts.values()) == n
    if n >= 3 * least:
        assert min(counts.values()) >= least


def test_official_subsets_are_kept_and_disputed_groups_stay_whole():
    official = [recording(f"{s}{n}", (s,)) for s in SUBSETS for n in range(3)]
    disputed = [recording("both", (s,)) for s in ("val", "test")]
    halved = [recording(f"place{n}", ("val", "test")) for n in range(8)]
    recordings = official + disputed + halved
    assert split(recordings, SHARES, 0, lambda r: ("", "")) == 1
    assert all(r.subset == r.subsets[0] for r in official)
    assert disputed[0].subset == disputed[1].subset != "train"
    subsets = [r.subset for r in halved + disputed[:1]]
    assert sorted(map(subsets.count, ("val", "test"))) == [4, 5]


def test_another_seed_moves_groups_and_another_source_does_not():
    own = [recording(str(n), role="events") for n in range(40)]
    first = subsets_of(own)
    assert first == subsets_of(own[::-1])
    assert first != subsets_of(own, seed=1)
    with_fewer = subsets_of(own[:39])
    n_moved = sum(first[group] != s for group, s in with_fewer.items())
    assert n_moved <= 3
    other = [recording(str(n), role="events", source="x") for n in range(40)]
    assert first != subsets_of(other)


def test_each_class_is_in_each_subset_and_rare_ones_together():
    classes = {"dog": 10, "rain": 3, "car": 1, "bus": 1, "metro": 2}
    recordings = [
        recording(f"{name}{n}", role="events", name=name)
        for name, count in classes.items()
        for n in range(count)
    ]
    subsets_of(recordings)
    for names in (["dog"], ["rain"], ["car", "bus", "metro"]):
        members = [r for r in recordings if r.name in names]
        assert {r.subset for r in members} == set(SUBSETS)


def test_a_share_of_0_closes_a_subset():
    recordings = [recording(str(n)) for n in range(20)]
    found = subsets_of(recordings, {"train": 1, "val": 0, "test": 0})
    assert set(found.values()) == {"train"}
    official = [recording("a", ("test",))]
    assert subsets_of(official, {"train": 1, "val": 0, "test": 0}) == {
        "a": "test"
    }


def test_stretches_of_one_recording_touch_and_short_ones_are_missing():
    assert cut_times(1001, SHARES, 100) == {
        "train": (0, 800),
        "val": (800, 900),
        "test": (900, 1001),
    }
    assert cut_times(1001, SHARES, 101) == {
        "train": (0, 800),
        "test": (900, 1001),
    }


def test_draws_are_uniform():
    draws = [hash_draw(0, n) for n in range(2000)]
    assert 0 <= min(draws) < 0.01 and 0.99 < max(draws) < 1
    assert sum(draws) / len(draws) == pytest.approx(0.5, abs=0.02)
