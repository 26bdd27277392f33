"""Reads speakers and recordings from the paths of the source recordings.

Authors
 * The PolSESS recipe team 2026
"""

import re


def find_speakers(paths):
    """Reads the speakers from the paths of source recordings.

    EMU (session SESxxxx) and MLS (<speaker>_<book>_<number>) name them. From
    other paths the folder is taken, unless all of them have the same one:
    then recordings are not sorted by speaker, and the folder says nothing.

    Arguments
    ---------
    paths : list of str
        Windows or POSIX paths, of a whole split.

    Returns
    -------
    speakers : list of str
        One for each path, empty if unknown.

    Example
    -------
    >>> find_speakers(
    ...     [
    ...         "C:\\\\emu\\\\SES0213_ses\\\\sent016_bndl\\\\sent016.wav",
    ...         "mls/audio/6892/8338/6892_8338_000641.flac",
    ...         "voices/ewa/001.wav",
    ...         "voices/jan/001.wav",
    ...     ]
    ... )
    ['SES0213', '6892', 'ewa', 'jan']
    >>> find_speakers(["clips/001.wav", "clips/002.wav"])
    ['', '']
    """
    named = [_named_speaker(path) for path in paths]
    folders = [
        "" if name else "".join(_parts(path)[-2:-1])
        for name, path in zip(named, paths)
    ]
    if len(set(folders) - {""}) == 1:
        return named
    return [name or folder for name, folder in zip(named, folders)]


def _named_speaker(path):
    """The speaker that the names of EMU or MLS tell, or an empty string."""
    parts = _parts(path)
    for part in parts:
        session = re.match(r"SES\d+", part)
        if session:
            return session[0]
    book = re.match(r"(\d+)_\d+_\d+\.\w+$", parts[-1])
    return book[1] if book else ""


def _parts(path):
    """Folders and name of a Windows or POSIX path."""
    return path.replace("\\", "/").split("/")


def recording_of(path):
    """Names a source recording independently of where it was installed.

    Arguments
    ---------
    path : str
        A Windows or POSIX path.

    Returns
    -------
    recording : str
        The last three parts: EMU repeats its file names in every session.

    Example
    -------
    >>> recording_of("C:\\\\emu\\\\SES0213_ses\\\\sent016_bndl\\\\sent016.wav")
    'ses0213_ses/sent016_bndl/sent016.wav'
    """
    return "/".join(_parts(path.lower())[-3:])
