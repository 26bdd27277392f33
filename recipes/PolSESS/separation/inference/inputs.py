"""Finds the recordings that a command line names, and names their sources.

Authors
 * The PolSESS recipe team 2026
"""

import contextlib
import glob
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import soundfile

from inference.audio_files import MARK

STDIN = "-"
SUFFIXES = {f".{name.lower()}" for name in soundfile.available_formats()}
SUFFIXES |= {".aif", ".aifc", ".oga", ".opus"}
# libsndfile does not read them, ffmpeg does; RAW with more options.
FOREIGN = set(
    ".3gp .aac .ac3 .amr .ape .m4a .m4b .mka .mkv .mov .mp4 .raw .webm .wma "
    ".wv".split()
)


def find_recordings(names):
    """Finds the recordings that a command line names.

    In folders, what this recipe wrote and hidden files are no recordings.

    Raises ValueError when no recording is found.

    Arguments
    ---------
    names : list of str
        Files, folders (searched recursively) and patterns; "-" is stdin.

    Returns
    -------
    found : dict
        File -> relative path of its sources without suffix.
    n_others : int
        Number of files in folders that are no recordings.
    problems : list of str
        Names that stand for nothing, and folders that cannot be read.
    """
    found, n_others, problems = {}, 0, []
    for name in names:
        path, here = name, {}
        is_pattern = glob.has_magic(path) and not os.path.lexists(path)
        if is_pattern:
            files = [p for p in sorted(glob.glob(path)) if os.path.isfile(p)]
            here = {Path(file): Path(Path(file).stem) for file in files}
        elif os.path.isdir(path):
            files = sorted(_files_below(path, problems))
            here = {
                file: file.relative_to(path).with_suffix("")
                for file in files
                if _is_recording(file)
            }
            n_others += len(files) - len(here)
        else:  # which, if it is missing, is reported later
            here[Path(path)] = Path(
                "stdin" if path == STDIN else Path(path).stem
            )
        if not here:
            problems.append(f"{name}: expected recordings, found none")
        found.update(here)
    if not found:
        raise ValueError("\n".join(problems))
    return found, n_others, problems


def _files_below(folder, problems):
    """The files in a folder and its folders."""

    def note(error):
        """Called with the OSError of a folder that cannot be read."""
        problems.append(f"{error.filename}: {error.strerror}")

    seen = set()
    for parent, folders, names in os.walk(
        folder, onerror=note, followlinks=True
    ):
        real = os.path.realpath(parent)
        if real in seen:  # links may lead in circles
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(parent, name) for name in names)


def _is_recording(path):
    """Whether a file in a folder is audio that this recipe did not write."""
    suffix = path.suffix.lower()
    # macOS puts "._name.wav" beside name.wav on foreign disks.
    if suffix not in SUFFIXES | FOREIGN or path.name.startswith("."):
        return False
    if suffix != ".wav" or not path.is_file():
        return path.is_file() or path.is_symlink()  # a broken link is reported
    with contextlib.suppress(soundfile.LibsndfileError, OSError):
        with soundfile.SoundFile(os.fsencode(path)) as file:
            return file.comment != MARK
    return True  # it will be reported


def plan_outputs(found, sources, output_folder=None, suffix=""):
    """Chooses the files for the sources of each recording.

    Arguments
    ---------
    found : dict
        From ``find_recordings``.
    sources : list of str
        Names of the sources.
    output_folder : str
        Folder for all sources; None for that of the recording.
    suffix : str
        At the end of the names, before ``.wav``.

    Returns
    -------
    plan : dict
        File -> list of Path, one for each source.
    problems : list of str
        Why a recording is not in the plan: its output is that of another, or
        is itself a recording.
    """
    plan, owners, problems = {}, {}, []
    inputs = {os.path.realpath(path) for path in found}
    for path, stem in found.items():
        folder = path.parent
        if output_folder is not None:
            folder = Path(output_folder) / stem.parent
        outputs = [folder / f"{stem.name}_{s}{suffix}.wav" for s in sources]
        for output in outputs:
            real = os.path.realpath(output)
            if real in inputs:
                problems.append(
                    f"{path}: {output} is a recording to be separated; name "
                    "another --output_folder or --suffix"
                )
                break
            if owners.setdefault(real, path) != path:
                problems.append(
                    f"{owners[real]} and {path} would both become {output}; "
                    "separate them into different folders"
                )
                break
        else:
            plan[path] = outputs
    return plan, problems


def needs_copy(path):
    """Whether a recording (Path) is a stream, or in a format of ffmpeg.

    If so, only a ``readable`` copy can be opened.
    """
    is_stream = os.path.exists(path) and not os.path.isfile(path)
    return is_stream or str(path) == STDIN or path.suffix.lower() in FOREIGN


@contextlib.contextmanager
def readable(path, say):
    """Copies a recording that ``needs_copy`` to a file for libsndfile.

    Raises ValueError when ffmpeg is missing or fails, OSError when the recording
    cannot be read.

    Arguments
    ---------
    path : Path
        The recording.
    say : callable
        Takes a line of text: that ffmpeg was used.

    Yields
    ------
    Path
        The copy, for the time of the with block.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy.wav")
        source = 0 if str(path) == STDIN else path
        with open(source, "rb", closefd=source != 0) as file:
            if path.suffix.lower() in FOREIGN:
                _convert(path, copy)
                say(f"{path}: converted by ffmpeg")
            else:
                with open(copy, "wb") as target:
                    shutil.copyfileobj(file, target)
        try:
            yield copy
        except ValueError as error:
            text = str(error).replace(str(copy), str(path))
            raise ValueError(text) from error


def _convert(path, copy):
    """Converts a recording to WAV with ffmpeg, completely or not at all."""
    is_raw = path.suffix.lower() == ".raw"
    options = "-f s16le -ar RATE -ac CHANNELS " * is_raw
    advice = f"convert with ffmpeg {options}-i '{path}' out.wav"
    if is_raw:
        raise ValueError(f"{path}: no header tells rate and format; {advice}")
    if not shutil.which("ffmpeg"):
        raise ValueError(
            f"{path}: libsndfile does not read {path.suffix}, ffmpeg is not "
            f"installed; {advice}"
        )
    command = "ffmpeg -v error -xerror -nostdin -i".split()
    command += [f"file:{path}", "-map", "0:a:0", "-c:a", "pcm_f32le"]
    done = subprocess.run(
        [*command, "-rf64", "auto", copy], stderr=subprocess.PIPE
    )
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode or said:
        reason = (said or f"exit code {done.returncode}").splitlines()[-1]
        raise ValueError(f"{path}: ffmpeg says: {reason}; {advice}")
