"""Recordings made of pieces: joined utterances, padded events, cut scenes.

Authors
 * The PolSESS recipe team 2026
"""

import dataclasses
import hashlib
import math

import numpy as np
import soundfile
from paths import replacing
from simulate.audio import FULL_SCALE, read_mono

from sources.splits import hash_draw

PAUSE_SECONDS = 0.25  # between joined utterances
# Joined recordings are twice as long as a mixture, so that segments vary.
JOINED_SEGMENTS = 2


@dataclasses.dataclass
class Recording:
    """One row of the sources table, and the files that it is made of.

    Arguments
    ---------
    role, source, name, group : str
        `name` is the speaker, or the classes with commas between.
    subsets : tuple of str
        Those that the official split allows, all if empty.
    pieces : list of tuple
        Path, first sample (from 0) and sample after the last.
    sample_rate, frames, channels : int
        Of the recording.
    power, n_active, peak : float
        Levels, as in measure.Measured.
    by_time : bool
        Each subset has a stretch of the recording.
    lead, pause : int
        Samples of silence before the first piece, and between pieces.
    subset : str
        "train", "val" or "test"; empty until it is drawn.
    path : pathlib.Path
        The recording; None until name_pieces names a file to be made.
    """

    role: str
    source: str
    name: str
    group: str
    subsets: tuple
    pieces: list
    sample_rate: int
    frames: int
    channels: int
    power: float
    n_active: int
    peak: float
    by_time: bool = False
    lead: int = 0
    pause: int = 0
    subset: str = ""
    path: object = None

    @property
    def seconds(self):
        """Duration."""
        return self.frames / self.sample_rate


def join_utterances(utterances, segment_seconds):
    """Joins utterances of one speaker that are shorter than a segment.

    Arguments
    ---------
    utterances : list of Recording
        Of one speaker, one sample rate and one official subset, in order.
    segment_seconds : float
        Length of the mixtures.

    Returns
    -------
    joined : list of Recording
        Each at least JOINED_SEGMENTS long if there is more than one; empty if
        all utterances together are shorter than a segment.
    """
    rate = utterances[0].sample_rate
    pause = round(PAUSE_SECONDS * rate)
    wanted = math.ceil(JOINED_SEGMENTS * segment_seconds * rate)
    bins, length = [[]], 0
    for utterance in utterances:
        if length >= wanted:
            bins, length = [*bins, []], 0
        length += utterance.frames + pause * bool(bins[-1])
        bins[-1].append(utterance)
    # What is left at the end is too short for a recording of its own.
    if len(bins) > 1 and length < wanted:
        bins[-2:] = [bins[-2] + bins[-1]]
    joined = [_join(members, pause) for members in bins]
    return [r for r in joined if r.frames >= math.ceil(segment_seconds * rate)]


def _join(members, pause):
    """One recording of several."""
    n_active = sum(member.n_active for member in members)
    energy = sum(member.power * member.n_active for member in members)
    return dataclasses.replace(
        members[0],
        pieces=[piece for member in members for piece in member.pieces],
        frames=sum(m.frames for m in members) + pause * (len(members) - 1),
        channels=1,
        power=energy / n_active,
        n_active=n_active,
        peak=max(member.peak for member in members),
        pause=pause,
        path=None,
    )


def pad(event, segment_seconds, seed):
    """Puts a short event at a drawn place of a segment of silence.

    Arguments
    ---------
    event : Recording
        Shorter than a segment.
    segment_seconds : float
        Length of the mixtures.
    seed : int
        Seed of the place.

    Returns
    -------
    padded : Recording
        As long as a segment.
    """
    frames = math.ceil(segment_seconds * event.sample_rate)
    path = event.pieces[0][0]
    draw = hash_draw(seed, event.source, path.parent.name, path.name)
    lead = int(draw * (frames - event.frames + 1))
    return dataclasses.replace(
        event, frames=frames, channels=1, lead=lead, path=None
    )


def cut(recording, start, end, subset):
    """A stretch of a recording, as a recording of one subset.

    Arguments
    ---------
    recording : Recording
        A whole file.
    start, end : int
        First sample (from 0) and sample after the last.
    subset : str
        "train", "val" or "test".

    Returns
    -------
    stretch : Recording
        With a group of its own.
    """
    return dataclasses.replace(
        recording,
        group=f"{recording.group}/{subset}",
        subsets=(subset,),
        pieces=[(recording.pieces[0][0], start, end)],
        frames=end - start,
        channels=1,
        path=None,
    )


def name_pieces(recording, folder):
    """Gives a made recording its path, which tells what is in it.

    Arguments
    ---------
    recording : Recording
        Its path is set.
    folder : pathlib.Path
        Folder of all made recordings.
    """
    digest = hashlib.sha256(f"{recording.lead} {recording.pause}".encode())
    for path, start, end in recording.pieces:
        state = path.stat()
        text = f"\0{path}\0{start}\0{end}\0{state.st_size}\0{state.st_mtime_ns}"
        digest.update(text.encode())
    # The folder is the speaker or the class, as in corpora.
    label = "".join(
        c if c.isalnum() or c == "-" else "_" for c in recording.name
    )
    name = f"{digest.hexdigest()[:16]}.flac"
    recording.path = folder / recording.source / label[:80] / name


def write_pieces(recording):
    """Writes a made recording as 16-bit FLAC, if it is not there yet.

    Arguments
    ---------
    recording : Recording
        With its path; the mean of the channels is written, at its own rate.
    """
    if recording.path.exists():
        return
    parts = [np.zeros(recording.lead)]
    for number, (path, start, end) in enumerate(recording.pieces):
        if number:
            parts.append(np.zeros(recording.pause))
        parts.append(read_mono(path, start + 1, end)[0])
    n_missing = recording.frames - sum(map(len, parts))
    assert n_missing >= 0, recording.path
    samples = np.rint(
        FULL_SCALE * np.concatenate([*parts, np.zeros(n_missing)])
    )
    samples = samples.clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    recording.path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(recording.path) as [new]:
        soundfile.write(
            str(new),
            samples,
            recording.sample_rate,
            "PCM_16",
            format="FLAC",
        )
