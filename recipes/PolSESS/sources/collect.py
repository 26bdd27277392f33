"""From the files of all corpora to recordings with a subset.

Every file ends in the report: as taken, or with the reason why it is not.

Authors
 * The PolSESS recipe team 2026
"""

import collections
import functools
import math

import joblib
from simulate.tables import SimulationError
from tqdm import tqdm

from sources.adapters import FOREIGN
from sources.measure import gain_to_level, measure
from sources.pieces import Recording, cut, join_utterances, pad
from sources.splits import LEAST_SPEAKERS, cut_times, split

# `rule` finds the speaker where it is not the label that the corpus gives.
Corpus = collections.namedtuple("Corpus", "role source folder adapter rule")


def in_parallel(function, tasks, n_jobs, title):
    """Calls a function for each task in processes; shows progress.

    Arguments
    ---------
    function : callable
        With one argument.
    tasks : list
        Arguments.
    n_jobs : int
        Number of processes.
    title : str
        Before the bar.

    Returns
    -------
    results : list
        In the order of the tasks.
    """
    calls = (joblib.delayed(function)(task) for task in tasks)
    results = joblib.Parallel(n_jobs=n_jobs, return_as="generator")(calls)
    return list(tqdm(results, title, total=len(tasks)))


def collect(corpora, classes, report, arguments):
    """Finds, reads, joins and splits the recordings of all corpora.

    Arguments
    ---------
    corpora : list of Corpus
        Where to look.
    classes : labels.Classes
        Known classes and labels.
    report : report.Report
        Gets what is taken and what is left out.
    arguments : argparse.Namespace
        split, official_split, seed, segment_seconds, join_utterances,
        min_event_seconds and n_jobs.

    Returns
    -------
    recordings : list of Recording
        Without a path where they have to be made of pieces.
    """
    files = [
        _name(corpus, entry, classes, report)
        for corpus in corpora
        for entry in _find(corpus)
    ]
    audio = in_parallel(
        _read, [entry for _, entry, _ in files], arguments.n_jobs, "reading"
    )
    by_source = {(corpus.role, corpus.source): [] for corpus in corpora}
    first_of = {}
    for (corpus, entry, name), measured in zip(files, audio):
        key = corpus.role, corpus.source
        reason = entry.reason or measured.reason
        if not reason:
            reason = _refuse(corpus.role, measured, arguments)
        if not reason:
            content = measured.sample_rate, measured.digest
            if first_of.setdefault(content, entry) is not entry:
                reason = "duplicate of another file"
        if reason:
            seconds = measured.frames / max(1, measured.sample_rate)
            report.leave_out(*key, reason, [(entry.path, seconds)])
        else:
            if not arguments.official_split:
                entry = entry._replace(subsets=())
            by_source[key].append(_recording(corpus, entry, name, measured))
    recordings = []
    for key, found in by_source.items():
        if key[0] == "speech":
            found = _join(found, report, arguments)
        else:
            found = _pad_and_cut(found, arguments)
        n_moved = split(
            found,
            arguments.split,
            arguments.seed,
            functools.partial(_stratum, classes),
        )
        if n_moved:
            report.notes.append(
                f"{' '.join(key)}: {n_moved} speakers, places or recordings "
                "are in several official subsets; each is now in one of them"
            )
        recordings += found
    recordings = _without_lonely_scenes(recordings, classes, report)
    report.taken = recordings
    return recordings


def _find(corpus):
    """The files of a corpus, and those that its tables list."""
    entries = list(corpus.adapter(corpus.folder))
    reasons = collections.Counter(entry.reason for entry in entries)
    if not reasons[""]:
        found = [f"{n} files {reason}" for reason, n in reasons.most_common()]
        raise SimulationError(
            f"{corpus.folder}: {corpus.source} has no audio files there "
            f"({'; '.join(found[:3]) or 'the folder has none'}). Check the "
            "folder, and unpack its archives"
        )
    return entries


def _name(corpus, entry, classes, report):
    """Finds the speaker or the classes of a file, or why there are none."""
    name, reason = "", entry.reason
    suffix = entry.path.suffix.lower()
    if not reason and suffix in FOREIGN:
        reason = (
            f"{suffix} cannot be read: convert with ffmpeg -i in{suffix} "
            "out.wav"
        )
    if reason:
        return corpus, entry._replace(reason=reason), name
    if corpus.role == "speech":
        speaker = "".join(entry.labels[:1])
        if corpus.rule:
            speaker = corpus.rule(entry.path, corpus.folder, entry.labels)
        name = f"{corpus.source}-{speaker}"
        entry = entry._replace(group=name)
        reason = "" if speaker else "no speaker"
    else:
        found, reason = classes.find(corpus.role, entry.labels, entry.any_label)
        name = ",".join(found[:1] if corpus.role == "envScene" else found)
        if reason == "class unknown":
            shown = entry.labels[:1] if entry.any_label else entry.labels
            report.labels.update((corpus.role, label) for label in shown)
    return corpus, entry._replace(reason=reason), name


def _read(entry):
    """Reads a file; its header only if the file is left out anyhow."""
    return measure(entry.path, header_only=bool(entry.reason))


def _refuse(role, measured, arguments):
    """Says why a readable file cannot be used."""
    if gain_to_level(role, measured.power, measured.peak) is None:
        return "too quiet"
    least = arguments.segment_seconds
    if role == "speech" and arguments.join_utterances:
        return ""
    if role == "events":
        least = arguments.min_event_seconds
    if measured.frames < math.ceil(least * measured.sample_rate):
        return f"too short (below {least:g} s)"
    return ""


def _recording(corpus, entry, name, measured):
    """A whole file as a recording."""
    return Recording(
        role=corpus.role,
        source=corpus.source,
        name=name,
        group=entry.group,
        subsets=entry.subsets,
        pieces=[(entry.path, 0, measured.frames)],
        sample_rate=measured.sample_rate,
        frames=measured.frames,
        channels=measured.channels,
        power=measured.power,
        n_active=measured.n_active,
        peak=measured.peak,
        by_time=entry.by_time,
        path=entry.path,
    )


def _join(found, report, arguments):
    """Joins the short utterances of each speaker; leaves out what remains."""
    whole, short = [], collections.defaultdict(list)
    for recording in found:
        if recording.seconds >= arguments.segment_seconds:
            whole.append(recording)
        else:
            key = recording.name, recording.subsets, recording.sample_rate
            short[key].append(recording)
    for members in short.values():
        joined = join_utterances(members, arguments.segment_seconds)
        whole += joined
        if not joined:
            report.leave_out(
                members[0].role,
                members[0].source,
                "too short, all utterances of the speaker together",
                [(member.path, member.seconds) for member in members],
            )
    return whole


def _pad_and_cut(found, arguments):
    """Pads short events; cuts recordings of which each subset has a part."""
    shares, fitted = arguments.split, []
    for recording in found:
        n_segment = math.ceil(arguments.segment_seconds * recording.sample_rate)
        stretches = {}
        if recording.by_time:
            stretches = cut_times(recording.frames, shares, n_segment)
        if stretches:
            fitted += [cut(recording, *s, k) for k, s in stretches.items()]
        elif recording.frames < n_segment:
            seconds, seed = arguments.segment_seconds, arguments.seed
            fitted.append(pad(recording, seconds, seed))
        else:
            fitted.append(recording)
    return fitted


def _stratum(classes, recording):
    """What is split for itself, and what it is split with if that is small."""
    if recording.role == "speech":
        return "", ""
    label = recording.name.split(",")[0]
    return label, f"the rest, {classes.settings.get(label)}"


def _without_lonely_scenes(recordings, classes, report):
    """Leaves out scenes of a subset that has no event which may occur there."""
    kept = []
    events = collections.defaultdict(set)
    for recording in recordings:
        if recording.role == "events":
            events[recording.subset].update(recording.name.split(","))
    for recording in recordings:
        fits = recording.role != "envScene" or any(
            recording.name in classes.event_scenes.get(event, ())
            for event in events[recording.subset]
        )
        if fits:
            kept.append(recording)
            continue
        report.leave_out(
            recording.role,
            recording.source,
            f"no event of {recording.subset} may occur in this scene",
            [(path, recording.seconds) for path, *_ in recording.pieces],
        )
    return kept


def check_subsets(recordings, shares, indoor):
    """Lists what the subsets lack.

    Arguments
    ---------
    recordings : list of Recording
        With subsets.
    shares : dict
        Subset -> share; nothing is expected where it is 0.
    indoor : set of str
        The indoor scene classes.

    Returns
    -------
    problems : list of str
        What is missing, and what to do; the corpus cannot be made.
    warnings : list of str
        What can be made with other options only.
    """
    problems, warnings = [], []
    for subset in [name for name, share in shares.items() if share]:
        members = [r for r in recordings if r.subset == subset]
        speakers = {r.name for r in members if r.role == "speech"}
        if len(speakers) < LEAST_SPEAKERS:
            problems.append(
                f"{subset}: {len(speakers)} speaker(s), a mixture needs "
                f"{LEAST_SPEAKERS}; add a source of --speech, check "
                "--speaker_from, use --no-official_split, or close the subset "
                "by a share of 0 in --split"
            )
        settings = {r.name in indoor for r in members if r.role == "envScene"}
        for role, option in (("envScene", "scenes"), ("events", "events")):
            if not any(r.role == role for r in members):
                problems.append(
                    f"{subset}: no recording of --{option}; add a source, or "
                    "see above why its files are left out"
                )
        if len(settings) == 1:
            lacking = "an outdoor" if settings == {True} else "an indoor"
            ratio = int(settings == {True})
            warnings.append(
                f"{subset}: lacks {lacking} scene; add one, or run "
                f"make_corpus.py with --indoor_ratio {ratio}"
            )
    return problems, warnings
