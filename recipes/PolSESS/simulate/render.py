"""Stage 2: renders the mixtures and their components from metadata rows.

A rendered row is a pure function of its metadata and its four recordings.
Speaker 2 is scaled to the row's SSR, the scene by its gain, and indoors both
speakers and the event get wet-only reverberation. Where a component or the
mixture would exceed +-0.999 of full scale, one common gain scales all files
of the row, which keeps their ratios. (The published generator limits the sum
of the speakers, but stores them unlimited, so that subtracting them leaves a
residue.) The mixture is the exact sum of the rounded components.

Authors
 * The PolSESS recipe team 2026
"""

import pathlib

import numpy as np

from simulate.audio import PEAK_LIMIT, read_segment, to_pcm16, write_pcm16
from simulate.metadata import second_speaker_gain
from simulate.reverb import plate_response, reverberate


def render_files(rows, subset_folder, sources_folder, options):
    """Renders rows and writes those of their files that do not exist yet.

    Arguments
    ---------
    rows : list of (dict, dict)
        Rows of the metadata, each with its files: column -> path below the
        subset's folder.
    subset_folder : pathlib.Path
        The subset's folder of the corpus, with its component folders.
    sources_folder : pathlib.Path
        Folder from which relative source paths start.
    options : dict
        sample_rate and segment_seconds, as for render_row.

    Returns
    -------
    n_rows : int
        Number of rows.
    """
    sample_rate = options["sample_rate"]
    for row, files in rows:
        signals = render_row(
            row, sources_folder, sample_rate, options["segment_seconds"]
        )
        for column, name in files.items():
            path = subset_folder / name
            if not path.exists():
                write_pcm16(path, signals[column], sample_rate)
    return len(rows)


def render_row(row, sources_folder, sample_rate, segment_seconds):
    """Renders the components and the mixture of one row.

    Arguments
    ---------
    row : dict
        One row of the metadata, as drawn or as read back from its CSV.
    sources_folder : str or pathlib.Path
        Folder from which relative source paths start.
    sample_rate : int
        Sample rate of the corpus in Hz.
    segment_seconds : float
        Length of the mixture in seconds.

    Returns
    -------
    signals : dict
        Column of a file's name -> int16 samples, shape [time].
    """
    speaker_1, speaker_2, scene, event = (
        read_segment(
            pathlib.Path(sources_folder) / row[f"{name}OryginalPath"],
            int(row[f"{name}Start"]),
            int(row[f"{name}End"]),
            sample_rate,
            segment_seconds,
        )
        for name in ("speech1", "speech2", "scene", "event")
    )
    gain = second_speaker_gain(speaker_1, speaker_2, float(row["SSR"]))
    components = {
        "speaker1File": speaker_1,
        "speaker2File": gain * speaker_2,
        "sceneFile": float(row["sceneVolumeGain"]) * scene,
        "eventFile": event,
    }
    if row["reverbForSpeaker1"]:
        components.update(_reverberation(row, components, sample_rate))
    return _mix(components)


def _reverberation(row, components, sample_rate):
    """Wet signals of the speakers and the event, which share one room."""
    response = plate_response(
        len(components["eventFile"]),
        sample_rate,
        float(row["highCut"]),
        float(row["diffusion"]),
        float(row["decay"]),
        float(row["freqDamp"]),
    )
    return {
        wet: reverberate(
            components[dry], response, round(float(row[delay]) * sample_rate)
        )
        for wet, dry, delay in (
            ("reverbForSpeaker1", "speaker1File", "preDelay1"),
            ("reverbForSpeaker2", "speaker2File", "preDelay2"),
            ("reverbForEvent", "eventFile", "preDelayForEvent"),
        )
    }


def _mix(components):
    """Limits and rounds the components, and adds their sum."""
    mixture = sum(components.values())
    peak = max(
        np.abs(signal).max() for signal in (mixture, *components.values())
    )
    gain = min(1.0, PEAK_LIMIT / peak)
    signals = {
        column: to_pcm16(gain * signal) for column, signal in components.items()
    }
    # 0.999 of full scale leaves room for seven roundings of half a step.
    total = np.sum(list(signals.values()), axis=0, dtype=np.int32)
    signals["mixFile"] = total.astype(np.int16)
    return signals
