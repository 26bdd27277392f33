"""Splits: which group of recordings belongs to which subset.

A group (speaker, place, recording) is never divided. An official split is kept
for the groups that are in one of its subsets only; a group in several of them
goes as a whole to one of these. All draws are hashes of (seed, role, source,
group): another corpus does not move the groups of this one.

Authors
 * The PolSESS recipe team 2026
"""

import collections
import hashlib
import math

from simulate.acoustics import SUBSETS

LEAST_SPEAKERS = 2  # of a subset, as a mixture has two


def hash_draw(*key):
    """A number drawn by hashing.

    Arguments
    ---------
    *key : object
        What the number depends on; anything with a text.

    Returns
    -------
    number : float
        In [0, 1).

    Example
    -------
    >>> hash_draw(0, "a") == hash_draw(0, "a") != hash_draw(1, "a")
    True
    """
    text = "\0".join(map(str, key)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:6], "big") / 2**48


def counts_of(n_groups, shares, least):
    """Divides a number of groups by shares.

    Each subset with a share gets at least `least` groups; where there are too
    few for all, train is served first, then test, then val.

    Arguments
    ---------
    n_groups : int
        Number of groups.
    shares : dict
        Subset -> share.
    least : int
        Least number of groups of a subset.

    Returns
    -------
    counts : dict
        Subset -> number of groups; they add up to n_groups.

    Example
    -------
    >>> counts_of(9, {"train": 0.8, "val": 0.1, "test": 0.1}, 2)
    {'train': 5, 'val': 2, 'test': 2}
    >>> counts_of(3, {"train": 0.8, "val": 0.1, "test": 0.1}, 2)
    {'train': 2, 'val': 0, 'test': 1}
    """
    total = sum(shares.values())
    counts, left = dict.fromkeys(shares, 0), n_groups
    served = sorted((s for s in shares if shares[s]), key=_importance)
    for subset in served:
        counts[subset] = min(least, left)
        left -= counts[subset]
    while left:
        # The next group goes where most is missing.
        due = {s: n_groups * shares[s] / total - counts[s] for s in served}
        counts[max(served, key=due.get)] += 1
        left -= 1
    return counts


def _importance(subset):
    """Order in which subsets are served when there are too few groups."""
    return ("train", "test", "val").index(subset)


def split(recordings, shares, seed, stratum_of):
    """Gives each recording of one role and one source its subset.

    Arguments
    ---------
    recordings : list
        With the attributes role, source, group and subsets (those that the
        official split allows, all if empty); `subset` is set.
    shares : dict
        Subset -> share of the groups that the official split leaves open.
    seed : int
        Seed of the draws.
    stratum_of : callable
        Recording -> what is divided for itself, where it has enough groups
        for all subsets; and what it is divided with where it has not.

    Returns
    -------
    n_moved : int
        Number of groups that were in several official subsets.
    """
    allowed, strata, rest = collections.defaultdict(set), {}, {}
    for recording in recordings:
        allowed[recording.group].update(recording.subsets or SUBSETS)
        stratum, wider = stratum_of(recording)
        strata.setdefault(recording.group, stratum)
        rest.setdefault(recording.group, wider)
    n_moved = sum(
        len(r) > 1
        for r in {
            group: {x.subsets for x in members}
            for group, members in _by_group(recordings).items()
        }.values()
    )
    sizes = collections.Counter(strata.values())
    cells = collections.defaultdict(list)
    for group, subsets in allowed.items():
        stratum = strata[group]
        if sizes[stratum] < len(SUBSETS):
            stratum = rest[group]
        # A share of 0 closes a subset, unless the official split says it.
        open_ = [s for s in SUBSETS if s in subsets and shares[s]]
        order = tuple(open_ or sorted(subsets, key=_importance)[:1])
        cells[stratum, order].append(group)
    subset_of = {}
    for (_, order), groups in cells.items():
        first = recordings[0]
        groups.sort(key=lambda g: hash_draw(seed, first.role, first.source, g))
        least = LEAST_SPEAKERS if first.role == "speech" else 1
        wanted = {subset: shares[subset] or 1.0 for subset in order}
        for subset, n in counts_of(len(groups), wanted, least).items():
            subset_of.update(dict.fromkeys(groups[:n], subset))
            del groups[:n]
    for recording in recordings:
        recording.subset = subset_of[recording.group]
    return n_moved


def _by_group(recordings):
    """Group -> its recordings."""
    groups = collections.defaultdict(list)
    for recording in recordings:
        groups[recording.group].append(recording)
    return groups


def cut_times(frames, shares, least):
    """Cuts one recording into a stretch for each subset.

    Arguments
    ---------
    frames : int
        Length of the recording in samples.
    shares : dict
        Subset -> share.
    least : int
        Least length of a stretch in samples.

    Returns
    -------
    stretches : dict
        Subset -> first sample (from 0) and sample after the last; subsets
        with a shorter stretch are missing.

    Example
    -------
    >>> cut_times(100, {"train": 0.8, "val": 0.1, "test": 0.1}, 10)
    {'train': (0, 80), 'val': (80, 90), 'test': (90, 100)}
    """
    total, start, stretches = sum(shares.values()), 0, {}
    passed = 0.0
    for subset, share in shares.items():
        passed += share
        end = math.floor(frames * passed / total + 1e-6)
        if end - start >= least:
            stretches[subset] = (start, end)
        start = end
    return stretches
