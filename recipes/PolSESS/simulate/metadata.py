"""Stage 1: draws the rows of a corpus, which holds all randomness.

Row `index` of a subset is a pure function of the sources, the options and
(seed, subset, index): rows can be drawn in any order and in parallel, and a
smaller corpus is the beginning of a larger one. The procedure is that of the
published generator with three differences: the two speakers differ (unless
the splits are the published ones),
speech segments are checked for speech and its level, and clipping leads to a
common gain in stage 2 instead of a new draw. Starts and ends count the samples
of the source recording from 1, as in MATLAB.
"""

import functools

import numpy as np

from simulate.acoustics import SCENE_RANGE_DB, SSR_RANGE_DB, SUBSETS
from simulate.audio import PEAK_LIMIT, rms
from simulate.segments import draw_segment

# The 34 of the published generator, and those of this one: who speaks, where
# recordings come from, the gains of recordings, the level of the event.
METADATA_COLUMNS = tuple(
    """
    subset speech1OryginalPath speech1Start speech1End speech2OryginalPath
    speech2Start speech2End SSR sceneOryginalPath sceneStart sceneEnd
    sceneRandomDB sceneOffsetDB sceneVolumeGain eventOryginalPath eventStart
    eventEnd speaker1File speaker2File eventFile sceneFile reverbForSpeaker1
    reverbForSpeaker2 reverbForEvent mixFile sceneClass eventClass
    preDelayForEvent preDelay1 preDelay2 highCut diffusion decay freqDamp
    speech1Speaker speech2Speaker speech1Source speech2Source sceneSource
    eventSource speech1GainDB speech2GainDB sceneGainDB eventGainDB
    eventOffsetDB eventVolumeGain
    """.split()
)

NAME_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
NAME_LENGTH = 16


def draw_row(pool, index, seed, indoor_ratio, event_range_db=None):
    """Draws one mixture of a subset.

    Raises SimulationError when the sources hold no usable segment.

    Arguments
    ---------
    pool : SourcePool
        Recordings of the subset.
    index : int
        Number of the row in its subset, from 0.
    seed : int
        Seed of the corpus, at least 0.
    indoor_ratio : float
        Probability of an indoor scene.
    event_range_db : tuple of float, optional
        Lowest and highest level (RMS) of the event against the sum of the
        speakers. If None, events keep the level of their recordings.

    Returns
    -------
    row : dict
        A value for each of METADATA_COLUMNS; None in the reverberation
        columns of an outdoor row.
    """
    rng = np.random.default_rng([seed, SUBSETS.index(pool.subset), index])
    draw = functools.partial(draw_segment, rng, pool)
    setting = "indoor" if rng.random() < indoor_ratio else "outdoor"

    first = draw(pool.speech)
    second = draw(pool.others(first.recording))
    scene = draw(pool.scenes[setting])
    scene_class = scene.recording.labels[0]
    event_classes = pool.event_classes[scene_class]
    event_class = event_classes[rng.integers(len(event_classes))]
    event = draw(pool.events[event_class])

    row = dict.fromkeys(METADATA_COLUMNS)
    row["subset"] = pool.subset
    row["SSR"] = int(rng.integers(SSR_RANGE_DB[0], SSR_RANGE_DB[1] + 1))
    row["sceneClass"], row["eventClass"] = scene_class, event_class
    names = ("speech1", "speech2", "scene", "event")
    for name, part in zip(names, (first, second, scene, event)):
        row[f"{name}OryginalPath"] = part.recording.path
        row[f"{name}Start"], row[f"{name}End"] = part.start, part.end
        row[f"{name}Source"] = part.recording.source
        row[f"{name}GainDB"] = part.recording.gain_db
    row["speech1Speaker"] = first.recording.speaker
    row["speech2Speaker"] = second.recording.speaker
    gain = second_speaker_gain(first.signal, second.signal, row["SSR"])
    speech_rms = rms(first.signal + gain * second.signal)
    _draw_scene_level(rng, row, speech_rms, scene.signal)
    if setting == "indoor":
        _draw_reverb(rng, row, pool.reverb_ranges[scene_class])
    _draw_names(rng, row)
    if event_range_db:
        # The last draw: all others are the same without it.
        row["eventOffsetDB"] = rng.uniform(*event_range_db)
        target_rms = speech_rms * 10 ** (row["eventOffsetDB"] / 20)
        # An event is as loud as a recording can be at most, see segments.py.
        row["eventVolumeGain"] = min(
            target_rms / rms(event.signal),
            PEAK_LIMIT / float(np.abs(event.signal).max()),
        )
    return row


def second_speaker_gain(speaker_1, speaker_2, ssr_db):
    """Gain that puts speaker 2 ssr_db below speaker 1.

    Arguments
    ---------
    speaker_1 : numpy.ndarray
        Samples, shape [time].
    speaker_2 : numpy.ndarray
        Samples, shape [time].
    ssr_db : float
        Level of speaker 1 over that of speaker 2, in dB.

    Returns
    -------
    gain : float
        Factor for speaker 2.

    Example
    -------
    >>> second_speaker_gain(np.array([2.0, -2.0]), np.array([1.0, 1.0]), 20.0)
    0.2
    """
    return rms(speaker_1) / rms(speaker_2) * 10 ** (-ssr_db / 20)


def _draw_scene_level(rng, row, speech_rms, scene):
    """Fills sceneRandomDB, sceneOffsetDB and sceneVolumeGain."""
    lowest, highest = SCENE_RANGE_DB
    row["sceneRandomDB"] = (highest - lowest) * rng.random()
    row["sceneOffsetDB"] = lowest + row["sceneRandomDB"]
    target_rms = speech_rms * 10 ** (row["sceneOffsetDB"] / 20)
    row["sceneVolumeGain"] = target_rms / rms(scene)


def _draw_reverb(rng, row, ranges):
    """Fills the reverberation parameters of an indoor row."""
    shortest, longest = ranges["pre_delay"]
    shift = rng.random() * (longest - shortest)
    row["preDelay1"] = shortest + shift
    # The second speaker is up to 30 % of the shift nearer to the walls.
    row["preDelay2"] = row["preDelay1"] - shift * 0.3 * rng.random()
    row["preDelayForEvent"] = rng.uniform(shortest, longest)
    row["highCut"] = rng.uniform(*ranges["high_cut"])
    row["diffusion"] = rng.uniform(*ranges["diffusion"])
    row["decay"] = rng.uniform(*ranges["decay"])
    row["freqDamp"] = rng.uniform(*ranges["damping"])


def _draw_names(rng, row):
    """Fills the file names; all files of one reverberation share a stem."""
    letters = rng.integers(len(NAME_CHARACTERS), size=(5, NAME_LENGTH))
    speaker_1, speaker_2, scene, event, reverb = (
        "".join(NAME_CHARACTERS[letter] for letter in word) for word in letters
    )
    row["speaker1File"] = f"{speaker_1}.wav"
    row["speaker2File"] = f"{speaker_2}.wav"
    row["sceneFile"] = f"{scene}.wav"
    row["eventFile"] = f"{event}.wav"
    stems = [speaker_1, speaker_2, scene, event]
    if row["preDelay1"] is not None:
        stems.append(reverb)
        row["reverbForSpeaker1"] = f"sp1_{reverb}.wav"
        row["reverbForSpeaker2"] = f"sp2_{reverb}.wav"
        row["reverbForEvent"] = f"ev_{reverb}.wav"
    row["mixFile"] = "-".join(stems) + ".wav"
