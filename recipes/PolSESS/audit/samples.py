"""Checks the samples of a mixture: levels, and the sum of its components.

Authors
 * The PolSESS recipe team 2026
"""

import numpy as np
from prepare_polsess import MAX_RESIDUE_DB
from recordings.reader import AudioFile

# Rounding of the mixture and of its components, seven or four, in steps of
# 16 bit (measured on published corpora). More: one of them was limited.
LSB = 2.0**-15
ROUNDING_LSB = {"indoor": 3, "outdoor": 2}

FULL_SCALE = 1 - LSB
SILENCE = LSB  # peak
BLOCK_SAMPLES = 2**16
NEAR_SILENT_SPEECH_DB = -50  # RMS against full scale


def check_samples(paths, setting):
    """Reads all files of one mixture.

    Arguments
    ---------
    paths : dict
        Column of the manifest -> path.
    setting : str
        indoor or outdoor.

    Yields
    ------
    defect : tuple of str
        Check, column, expected, found.
    """
    signals = {}
    for column, path in paths.items():
        try:
            file = AudioFile(path)
            samples = [*file.blocks(BLOCK_SAMPLES, "float64")]
        except ValueError as error:
            yield "unreadable file", column, "a WAV file", str(error)
            continue
        if not samples:
            yield "unreadable file", column, "a WAV file", "no samples in it"
            continue
        if file.is_short:
            expected = "all that its header declares"
            yield "truncated file", column, expected, file.remark
            continue
        if file.claimed and file.remark:
            expected = "the length of its samples in its header"
            yield "length in header", column, expected, file.remark
        samples = np.concatenate(samples).T
        n_bad = np.count_nonzero(~np.isfinite(samples))
        if n_bad:
            check = "NaN or infinite samples"
            yield check, column, "finite samples", f"{n_bad} samples"
            continue
        yield from check_level(column, samples)
        signals[column] = samples
    if len(signals) == len(paths):
        mixture = signals.pop("mix_wav")
        residue = mixture - sum(signals.values())
        yield from check_residue(setting, mixture, residue)


def check_level(column, samples):
    """Finds clipped, silent and near-silent signals.

    Arguments
    ---------
    column : str
        Column of the manifest.
    samples : np.ndarray
        Full scale is 1.

    Yields
    ------
    defect : tuple of str
        Check, column, expected, found.

    Example
    -------
    >>> list(check_level("scene_wav", np.zeros(10)))
    [('silent', 'scene_wav', 'a signal', 'peak 0 LSB')]
    """
    peak = np.abs(samples).max()
    rms_db = 10 * np.log10(np.mean(samples**2) + 1e-20)
    if peak >= FULL_SCALE:
        n_clipped = np.count_nonzero(np.abs(samples) >= FULL_SCALE)
        yield "clipped", column, "below full scale", f"{n_clipped} samples"
    if peak <= SILENCE:
        yield "silent", column, "a signal", f"peak {peak / LSB:.0f} LSB"
    elif column in ("s1_wav", "s2_wav") and rms_db < NEAR_SILENT_SPEECH_DB:
        expected = f"at least {NEAR_SILENT_SPEECH_DB} dB"
        yield "near-silent speech", column, expected, f"{rms_db:.1f} dB"


def check_residue(setting, mixture, residue):
    """Compares a mixture with the sum of its components.

    Arguments
    ---------
    setting : str
        indoor or outdoor.
    mixture, residue : np.ndarray
        The mixture, and its difference from the sum. Full scale is 1.

    Yields
    ------
    defect : tuple of str
        Check, column, expected, found.

    Example
    -------
    >>> residue = np.array([0.0, 4 * LSB])
    >>> next(check_residue("indoor", np.ones(2), residue))[0]
    'beyond rounding'
    """
    peak_lsb = np.abs(residue).max() / LSB
    limit = ROUNDING_LSB[setting]
    if peak_lsb <= limit + 0.01:
        return
    with np.errstate(divide="ignore"):
        residue_db = 10 * np.log10(np.sum(residue**2) / np.sum(mixture**2))
    if residue_db > MAX_RESIDUE_DB:
        expected = f"residue below {MAX_RESIDUE_DB} dB"
        found = f"{residue_db:.1f} dB"
        yield "mixture is not the sum", "mix_wav", expected, found
    else:
        found = f"{peak_lsb:.0f} LSB, {residue_db:.1f} dB"
        yield "beyond rounding", "mix_wav", f"at most {limit} LSB", found
