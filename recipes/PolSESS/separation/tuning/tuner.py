"""The command tune.py: a study whose trials are trainings.

A trial is chosen by (sampler seed, its number, the trials before it), so that an
interrupted study goes on as an undisturbed one. Sampling: Bergstra et al.,
Algorithms for Hyper-Parameter Optimization, 2011.

Authors
 * The PolSESS recipe team 2026
"""

import math
import os
import shutil
import time
from functools import partial
from pathlib import Path

import numpy as np
import optuna
import torch
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import TrialState
from reliability.signals import SIGNALS, listening
from reporting.runs import read_curve
from runs.folder import lock_folder
from sqlalchemy.exc import SQLAlchemyError

from speechbrain.utils.parallel import get_available_cpu_count
from tuning.report import write_report
from tuning.space import overrides, read_space
from tuning.training import Training, stop

POLL_SECONDS = 0.5
SEEN_SECONDS = 60  # after which a running trial says again that it lives
LOST_SECONDS = 600  # after which a trial of another machine does not count
RESTARTS = 2  # of a trial whose training is killed
FIRST = 3  # trials of a command; where all of them fail, it stops
# The tuner gives these to train.py.
OURS = {"n_test", "test_only", "save_folder", "output_folder"}
say = partial(print, flush=True)


def tune(
    hparams,
    space,
    output_folder,
    n_trials,
    words=(),
    n_jobs=1,
    storage=None,
    study_name=None,
    sampler_seed=0,
    n_startup_trials=5,
    n_warmup_epochs=1,
):
    """Runs the trials of a study that are missing.

    Raises ValueError when the study cannot begin or go on.

    Arguments
    ---------
    hparams : str
        YAML of the training.
    space : str
        YAML of the search space, see ``space.read_space``.
    output_folder : str
        Gets the trials and the report.
    n_trials : int
        Trials of the study, with those of earlier commands.
    words : list of str
        Further arguments of train.py, the same for all trials.
    n_jobs : int
        Trials at once; each has a GPU of its own.
    storage : str
        URL of Optuna's storage; None for study.db in the output folder.
    study_name : str
        Name in the storage; None for one after the YAML.
    sampler_seed : int
        Seed of the choice of values.
    n_startup_trials : int
        Complete trials before one is pruned.
    n_warmup_epochs : int
        First epochs, in which no trial is pruned.

    Returns
    -------
    int
        Exit code: 0, 1 if no trial is complete, or 128 and the number of the
        signal that ended it.
    """
    for name, value, lowest in (
        ("n_trials", n_trials, 1),
        ("n_jobs", n_jobs, 1),
        ("sampler_seed", sampler_seed, 0),
        ("n_startup_trials", n_startup_trials, 0),
        ("n_warmup_epochs", n_warmup_epochs, 0),
    ):
        if value < lowest:
            raise ValueError(
                f"{name}: expected {lowest} or more, found {value}"
            )
    distributions = read_space(space, hparams, words)
    given = {word.partition("=")[0].lstrip("-") for word in words}
    for key in OURS & (given | distributions.keys()):
        raise ValueError(f"{key}: a trial has its own; leave it out")
    devices = _devices(n_jobs, words)
    lock_folder(output_folder)
    folder = Path(output_folder).resolve()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = storage or f"sqlite:///{folder / 'study.db'}"
    # Steps are epochs from 1; the first that may be pruned comes after these.
    pruner = optuna.pruners.MedianPruner(n_startup_trials, n_warmup_epochs + 1)
    try:
        database = _open_storage(url)
        study = optuna.create_study(
            storage=database,
            study_name=study_name or f"tune_{Path(hparams).stem}",
            direction="maximize",
            load_if_exists=True,
            pruner=pruner,
        )
        _check_study(study, hparams, distributions, words)
        tuner = Tuner(study, distributions, [hparams, *words], folder, devices)
        tuner.seed = sampler_seed
        tuner.left = _left(study, database, folder, shared=storage is not None)
        return tuner.run(n_trials)
    except (SQLAlchemyError, optuna.exceptions.OptunaError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise ValueError(
            f"storage: {_place(url)} cannot be used ({reason}); the same "
            "command goes on once it can"
        ) from error


def _open_storage(url):
    """The storage; it may lack its driver, or be of another version."""
    try:
        return optuna.storages.RDBStorage(url)
    except (ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"storage: {_place(url)}: {reason}") from error


def _place(url):
    """A URL without user and password."""
    return url.rpartition("@")[2]


def _devices(n_jobs, words):
    """The environment of each job: a GPU of its own, or its share of cores."""
    on_cpu = any("cpu" in w and w.startswith("--device") for w in words)
    count = 0 if on_cpu else torch.cuda.device_count()
    if not count:
        threads = max(1, get_available_cpu_count() // n_jobs)
        threads = os.environ.get("OMP_NUM_THREADS", str(threads))
        return [{"OMP_NUM_THREADS": threads}] * n_jobs
    if n_jobs > count:
        raise ValueError(
            f"n_jobs: expected at most the {count} visible GPUs, found {n_jobs}"
        )
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = [name for name in visible.split(",") if name] or range(count)
    return [{"CUDA_VISIBLE_DEVICES": str(n)} for n in list(names)[:n_jobs]]


def _check_study(study, hparams, distributions, words):
    """Refuses a study of something else, and names the difference."""
    wanted = {
        "YAML": [Path(hparams).name],
        "space": [f"{key}: {d}" for key, d in distributions.items()],
        "command line": sorted(words),
    }
    # Where all trials failed, the command may have been wrong.
    if any(t.state != TrialState.FAIL for t in study.get_trials()):
        for name, now in wanted.items():
            before = study.user_attrs.get(name, [])
            if set(before) != set(now):
                gone, new = (
                    ", ".join(sorted(set(a) - set(b))) or "nothing"
                    for a, b in ((before, now), (now, before))
                )
                raise ValueError(
                    f"{study.study_name} is a study of another {name}: {gone} "
                    f"before, {new} now; name another --output_folder (with "
                    "--storage: --study_name)"
                )
    for name, value in wanted.items():
        study.set_user_attr(name, value)


def _left(study, database, folder, shared):
    """The trials that an earlier command in this folder has left running."""
    study_id = database.get_study_id_from_name(study.study_name)
    return [
        optuna.trial.Trial(
            study,
            database.get_trial_id_from_study_id_trial_number(
                study_id, trial.number
            ),
        )
        for trial in study.get_trials(states=(TrialState.RUNNING,))
        if not shared
        or trial.user_attrs.get("folder") == str(_folder_of(folder, trial))
    ]


def _folder_of(folder, trial):
    return folder / "trials" / str(trial.number)


class Job:
    """A trial that runs: its training, and what has been seen of it."""

    def __init__(self, trial, training, device, words):
        self.trial, self.training = trial, training
        self.device, self.words = device, words
        self.output_folder = training.output.parent
        # An epoch that was reported before a kill is judged again.
        self.judged = max(trial_of(trial).intermediate_values, default=1) - 1
        self.seen = -math.inf

    def curve(self):
        """Epoch -> validation SI-SDRi in dB, where it is finite."""
        curve = read_curve(self.output_folder / "train_log.txt")
        pairs = zip(curve["epoch"], curve["si_sdri"])
        return {int(e): v for e, v in pairs if math.isfinite(v)}

    def should_prune(self):
        """Reports the new epochs one by one, and asks after each."""
        for epoch, si_sdri in self.curve().items():
            if epoch > self.judged:
                if epoch not in trial_of(self.trial).intermediate_values:
                    self.trial.report(si_sdri, epoch)
                self.judged = epoch
                if self.trial.should_prune():
                    return True
        return False


def trial_of(trial):
    """Reads a trial from the storage."""
    trials = trial.study.get_trials(deepcopy=False)
    return next(t for t in trials if t.number == trial.number)


class Tuner:
    """Begins trials, follows them and tells the study how they ended.

    Arguments
    ---------
    study : optuna.study.Study
        Of the trials.
    space : dict
        Key -> distribution.
    words : list of str
        Arguments of train.py: the YAML, and what all trials share.
    folder : Path
        Gets the trials and the report.
    devices : list of dict
        Environment of each of the trials at once.
    """

    seed = 0
    interrupted_by = None  # number of the signal

    def __init__(self, study, space, words, folder, devices):
        self.study, self.space, self.words = study, space, words
        self.folder, self.devices = folder, list(devices)
        self.left, self.jobs, self.codes = [], [], []

    def run(self, n_trials):
        """Runs trials until there are so many; returns the exit code."""
        try:
            with listening(self._on_signal):
                while self.interrupted_by is None:
                    self._begin(n_trials)
                    if not self.jobs:
                        break
                    for job in list(self.jobs):
                        self._follow(job)
                    time.sleep(POLL_SECONDS)
        finally:
            stop([job.training for job in self.jobs])
        if self.interrupted_by is not None:
            say("The trials are saved; the same command goes on")
            return 128 + self.interrupted_by
        say(
            f"\n{write_report(self.study, self.space, self.words, self.folder)}"
        )
        complete = self.study.get_trials(states=(TrialState.COMPLETE,))
        return 0 if complete else 1

    def _on_signal(self, number, frame):
        self.interrupted_by = number

    def _begin(self, n_trials):
        """Begins trials, those that were left first, while there is room."""
        while self.devices:
            if self.left:
                trial = self.left.pop(0)
            elif self._count() < n_trials:
                trial = self.study.ask()
                if _folder_of(self.folder, trial).exists():
                    raise ValueError(
                        f"{_folder_of(self.folder, trial)} is of another "
                        "study; name another --output_folder"
                    )
            else:
                return
            self._start(trial)

    def _count(self):
        """Trials that have ended or run, but for those of lost machines."""
        ours = {job.trial.number for job in self.jobs}
        now = time.time()
        return sum(
            trial.state.is_finished()
            or trial.number in ours
            or trial.state == TrialState.RUNNING
            and now - _seen(trial) < LOST_SECONDS
            for trial in self.study.get_trials(deepcopy=False)
        )

    def _start(self, trial):
        folder = _folder_of(self.folder, trial)
        folder.mkdir(parents=True, exist_ok=True)
        trial.set_user_attr("folder", str(folder))
        seeds = np.random.SeedSequence([self.seed, trial.number])
        (seed,) = seeds.generate_state(1)
        self.study.sampler = optuna.samplers.TPESampler(seed=int(seed))
        for key, distribution in self.space.items():
            suggest(trial, key, distribution)
        words = [*self.words, *overrides(trial.params), "--n_test=0"]
        say(f"trial {trial.number}: {' '.join(overrides(trial.params))}")
        device = self.devices.pop()
        training = Training(folder, words, device)
        self.jobs.append(Job(trial, training, device, words))

    def _follow(self, job):
        """Reports what is new of a trial, and ends it where it is over."""
        code = job.training.process.poll()  # before the log is read
        if job.should_prune():
            stop([job.training])
            self._tell(job, TrialState.PRUNED)
        elif code is None:
            if time.monotonic() - job.seen > SEEN_SECONDS:
                job.trial.set_user_attr("seen", time.time())
                job.seen = time.monotonic()
        elif code == 0 and job.curve():
            self._tell(job, TrialState.COMPLETE, max(job.curve().values()))
        elif code == 0:
            self._fail(job, code, "no validation is finite")
        elif code < 0 or code - 128 in SIGNALS:
            self._restart(job, code)
        else:
            self._fail(job, code, job.training.last_line())

    def _restart(self, job, code):
        """Restarts a training that was killed, up to RESTARTS times."""
        if self.interrupted_by is not None:  # a signal to all
            return
        kills = job.trial.user_attrs.get("kills", 0) + 1
        if kills > RESTARTS:
            self._fail(job, code, f"killed {kills} times")
            return
        job.trial.set_user_attr("kills", kills)
        say(f"trial {job.trial.number}: killed (exit code {code}), goes on")
        job.training = Training(job.output_folder, job.words, job.device)

    def _fail(self, job, code, reason):
        """Names a trial that failed; raises ValueError if none does not."""
        reason = f"exit code {code}: {reason}"
        job.trial.set_user_attr("error", reason)
        self._tell(job, TrialState.FAIL, code=code)
        if len(self.codes) == FIRST and set(self.codes) == {code}:
            raise ValueError(
                f"the first {FIRST} trials failed, trial {job.trial.number} "
                f"with {reason} ({job.training.output}); correct the command"
            )

    def _tell(self, job, state, value=None, code=0):
        """Ends a trial, and writes the report."""
        self.study.tell(job.trial, value, state)
        self.jobs.remove(job)
        self.devices.append(job.device)
        self.codes.append(code)
        ended = trial_of(job.trial)
        text = ended.user_attrs.get("error") or f"{ended.value:.2f} dB"
        say(f"trial {ended.number}: {state.name.lower()}, {text}")
        write_report(self.study, self.space, self.words, self.folder)
        self._delete_checkpoints()

    def _delete_checkpoints(self):
        """Keeps those of the best trial, and of those that run."""
        complete = self.study.get_trials(states=(TrialState.COMPLETE,))
        kept = {job.trial.number for job in self.jobs}
        kept |= {trial.number for trial in self.left}
        kept |= {self.study.best_trial.number} if complete else set()
        for path in self.folder.glob("trials/*/save/CKPT+*"):
            if int(path.parts[-3]) not in kept:
                shutil.rmtree(path)


def _seen(trial):
    """When a running trial last said that it lives, in seconds."""
    return trial.user_attrs.get("seen", trial.datetime_start.timestamp())


def suggest(trial, key, distribution):
    """Lets a trial have a value, the same one each time.

    Arguments
    ---------
    trial : optuna.trial.Trial
        Running.
    key : str
        Name of the value.
    distribution : optuna.distributions.BaseDistribution
        Of a number or of choices.
    """
    if isinstance(distribution, CategoricalDistribution):
        trial.suggest_categorical(key, distribution.choices)
        return
    is_whole = isinstance(distribution, IntDistribution)
    choose = trial.suggest_int if is_whole else trial.suggest_float
    bounds = distribution.low, distribution.high
    choose(key, *bounds, step=distribution.step, log=distribution.log)
