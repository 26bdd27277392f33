"""Stage 2: renders the mixtures and their components from metadata rows.

A rendered row is a pure function of its metadata and its four recordings.
Speaker 2 is scaled to the row's SSR, the scene by its gain, and indoors both
speakers and the event get wet-only reverberation. Where a component or the
mixture would exceed +-0.999 of full scale, one common gain scales all files
of the row, which keeps their ratios. (The published generator limits the sum
of the speakers, but stores them unlimited, so that subtracting them leaves a
residue.) The mixture is the exact sum of the rounded components.
"""

import numpy as np

from simulate.audio import FULL_SCALE, PEAK_LIMIT, write_pcm16
from simulate.metadata import second_speaker_gain
from simulate.reverb import plate_response, reverberate


def render_missing(row, files, reader):
    """Renders a row and writes those of its files that do not exist yet.

    Arguments
    ---------
    row : dict
        One row of the metadata.
    files : dict
        Column -> path (pathlib.Path) of its file, in an existing folder.
    reader : SegmentReader
        Reads the recordings of the row.
    """
    signals = render_row(row, reader)
    for column, path in files.items():
        if not path.exists():
            write_pcm16(path, signals[column], reader.sample_rate)


def render_row(row, reader):
    """Renders the components and the mixture of one row.

    Arguments
    ---------
    row : dict
        One row of the metadata, as drawn or as read back from its CSV.
    reader : SegmentReader
        Reads the recordings of the row.

    Returns
    -------
    signals : dict
        Column of a file's name -> int16 samples, shape [time].
    """
    speaker_1, speaker_2, scene, event = (
        reader.read(
            row[f"{name}OryginalPath"],
            int(row[f"{name}Start"]),
            int(row[f"{name}End"]),
            # Corpora of the published generator lack the new columns.
            float(row.get(f"{name}GainDB") or 0),
        )
        for name in ("speech1", "speech2", "scene", "event")
    )
    gain = second_speaker_gain(speaker_1, speaker_2, float(row["SSR"]))
    components = {
        "speaker1File": speaker_1,
        "speaker2File": gain * speaker_2,
        "sceneFile": float(row["sceneVolumeGain"]) * scene,
        "eventFile": float(row.get("eventVolumeGain") or 1) * event,
    }
    if row["reverbForSpeaker1"]:
        wet = _reverberation(row, components, reader.sample_rate)
        components.update(wet)
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
    scale = FULL_SCALE * min(1.0, PEAK_LIMIT / peak)
    signals = {
        column: np.rint(scale * signal).astype(np.int16)
        for column, signal in components.items()
    }
    # 0.999 of full scale leaves room for seven roundings of half a step.
    total = np.sum(list(signals.values()), axis=0, dtype=np.int32)
    signals["mixFile"] = total.astype(np.int16)
    return signals
