"""A study chooses, prunes, names what fails, and goes on as if undisturbed."""

import os
import re
import shlex
import signal
import statistics
import time

import numpy as np
import optuna
import pytest
import tune
from server import alive
from stand_in import value
from tuning import tuner
from tuning.tuner import _devices


def curves(table, epochs=3):
    """The whole curve of each trial, by the stand-in's formula."""
    return [[value(lr, e) for e in range(1, epochs + 1)] for lr in table["lr"]]


def test_the_best_epoch_counts_and_the_best_trial_is_a_command(study, capsys):
    assert study.tune("--task=S B", n_trials=4) == 0
    table = study.table()
    assert list(table["number"]) == [0, 1, 2, 3]
    assert set(table["state"]) == {"complete"} and set(table["epochs"]) == {3}
    expected = np.array(curves(table))[:, -1]
    assert np.allclose(table["si_sdri"], expected, atol=1e-6)
    best = int(np.argmax(expected))
    text = (study.folder / "study/study.md").read_text()
    command = re.search("```bash\n(.*)\n```", text)[1]
    assert command in capsys.readouterr().out
    assert shlex.split(command) == [
        *["python", "train.py", study.arguments["hparams"], "--task=S B"],
        f"--lr={table['lr'][best]}",
    ]
    assert text.index("## Best trials") < text.index(f"| {best} |")
    assert (study.folder / "study/study.png").read_bytes()[1:4] == b"PNG"
    # Checkpoints are kept of the best trial alone, logs of all.
    trials = study.folder / "study/trials"
    kept = {p.parts[-3] for p in trials.glob("*/save/CKPT+*")}
    assert kept == {str(best)}
    assert len(list(trials.glob("*/train_log.txt"))) == 4
    # The same command has nothing to do, and more trials are added to these.
    assert study.tune("--task=S B", n_trials=4) == 0
    assert len(study.starts()) == 4
    assert study.tune("--task=S B", n_trials=5) == 0
    assert study.results()[:4] == table.drop(columns="seconds").values.tolist()
    assert len(study.table()) == len(study.starts()) == 5


def test_a_trial_below_the_median_of_an_epoch_is_pruned(study):
    options = {"n_startup_trials": 2, "n_warmup_epochs": 1, "n_trials": 9}
    study.tune("--seconds=0.05", **options)
    table = study.table()
    complete, ended = [], {}
    for number, curve in enumerate(curves(table)):
        ended[number] = ("complete", 3)
        for epoch in (2, 3):  # the first one is warm-up
            others = [other[epoch - 1] for other in complete]
            if len(others) >= 2 and curve[epoch - 1] < statistics.median(
                others
            ):
                ended[number] = ("pruned", epoch)
                break
        else:
            complete.append(curve)
    found = zip(table["state"], table["epochs"])
    assert dict(enumerate(found)) == ended
    assert ("pruned", 2) in ended.values()


def test_values_are_a_function_of_seed_and_number(study):
    tables = {}
    for name, seed in (("one", 1), ("again", 1), ("two", 2)):
        output_folder = str(study.folder / name)
        study.tune(output_folder=output_folder, sampler_seed=seed, n_trials=2)
        tables[name] = study.results(name)
    assert tables["one"] == tables["again"]
    lrs = [row[4] for name in ("one", "two") for row in tables[name]]
    assert len(set(lrs)) == 4


def test_a_study_whose_tuner_and_trainings_are_killed_is_undisturbed(study):
    """The tuner is killed in trials 0 and 2, the training of trial 1."""
    words = ("--number_of_epochs=3", "--seconds=0.1")
    options = {"n_startup_trials": 1, "n_trials": 3}
    study.tune(
        *words, **options, output_folder=str(study.folder / "undisturbed")
    )
    for trial in (0, 2):
        process = study.start(*words, **options)
        study.wait_for(f"trials/{trial}/save/CKPT+1")
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        if trial == 0:  # the next command has the training of trial 1 killed
            process = study.start(*words, **options)
            study.wait_for("trials/1/save/CKPT+1")
            os.kill(study.starts()[-1][1], signal.SIGKILL)
            study.wait_for("trials/2")
            process.terminate()
            process.join()
            assert process.exitcode == 128 + signal.SIGTERM
    assert study.tune(*words, **options) == 0
    assert study.results() == study.results("undisturbed")
    numbers = [number for number, _ in study.starts()]
    assert set(numbers) == {0, 1, 2} and len(numbers) in (6, 7)


def test_a_training_does_not_outlive_its_tuner(study):
    process = study.start("--seconds=30")
    study.wait_for("starts.txt")
    process.kill()
    process.join()
    until = time.monotonic() + 5
    while alive(study.starts()[0][1]) and time.monotonic() < until:
        time.sleep(0.01)
    assert not alive(study.starts()[0][1])


def test_a_trial_goes_on_when_its_old_training_has_saved(study):
    words = ("--seconds=0.3", "--saves=1.5")
    process = study.start(*words, n_trials=1)
    study.wait_for("trials/0/save/CKPT+1")
    process.kill()
    process.join()
    assert study.tune(*words, n_trials=1) == 0
    assert list(study.table()["state"]) == ["complete"]


def test_other_options_go_to_the_trainings():
    words = ["--seed=7", "--n_train=5", "--study=3", "--task", "SB"]
    given = ["a.yaml", "--space=s", "--output_folder=o", "--n_trials=4"]
    options, found = tune.parse_arguments([*given, *words])
    assert found == words and options.n_trials == 4
    assert options.study_name is None


def test_a_training_that_dies_again_and_again_fails(study, capsys):
    assert study.tune("--dies=[1]") == 0
    assert list(study.table()["state"]) == ["complete", "fail", "complete"]
    assert [n for n, _ in study.starts()] == [0, 1, 1, 1, 2]
    line = "exit code -9: killed 3 times"
    assert study.table()["error"][1] == line
    assert f"trial 1: fail, {line}" in capsys.readouterr().out


def test_a_crash_is_named_and_the_study_goes_on(study, capsys):
    assert study.tune("--fails=[0, 2]", n_trials=5) == 0
    states = list(study.table()["state"])
    assert states == ["fail", "complete", "fail", "complete", "complete"]
    line = "exit code 1: ValueError: no corpus in /data"
    assert f"trial 2: fail, {line}" in capsys.readouterr().out
    text = (study.folder / "study/study.md").read_text()
    assert f"| 2 | {line} |" in text
    assert "Trials: 2 fail, 3 complete." in text


def test_a_study_without_a_complete_trial_is_an_error(study):
    assert study.tune("--fails=[0]", n_trials=1) == 1


def test_a_command_whose_first_trials_fail_stops(study):
    message = "the first 3 trials failed, trial 2 with exit code 1: .*/data"
    with pytest.raises(ValueError, match=message):
        study.tune("--fails=[0, 1, 2]", n_trials=30)
    assert len(study.starts()) == 3
    # Nothing has been found, so the command may be corrected.
    assert study.tune("--number_of_epochs=2", n_trials=4) == 0
    assert list(study.table()["state"]) == ["fail"] * 3 + ["complete"]


@pytest.mark.parametrize(
    "what, changed, words, message",
    [
        ("task", {}, ["--task=SB"], "line: nothing before, --task=SB now"),
        ("space", {}, [], "another space: lr: Float.* before, lr: Int.* now"),
        ("yaml", {}, [], "of another YAML: a.yaml before, b.yaml now"),
    ],
)
def test_a_study_of_something_else_is_refused(
    study, what, changed, words, message
):
    study.tune(n_trials=1, study_name="one")
    changed = {}
    if what == "space":
        study.space("lr: {low: 1, high: 3}")
    elif what == "yaml":
        os.rename(study.arguments["hparams"], study.folder / "b.yaml")
        changed = {"hparams": str(study.folder / "b.yaml")}
    with pytest.raises(ValueError, match=message) as caught:
        study.tune(*words, **changed, study_name="one")
    assert "\n" not in str(caught.value) and len(study.starts()) == 1
    # Another study has another folder.
    with pytest.raises(ValueError, match="trials/0 is of another study"):
        study.tune(*words, **changed, study_name="two")


def test_trials_run_at_once_and_machines_share_a_study(study):
    url = f"sqlite:///{study.folder / 'shared.db'}"
    options = {"n_trials": 6, "n_jobs": 2, "storage": url}
    process = study.start("--seconds=0.1", **options)
    study.wait_for("trials/1")
    other = str(study.folder / "other")
    assert study.tune("--seconds=0.1", **options, output_folder=other) == 0
    process.join()
    assert process.exitcode == 0
    ours, theirs = (
        {number for number, _ in study.starts(name)}
        for name in ("study", "other")
    )
    assert ours and theirs and not ours & theirs
    # A machine counts before it asks: one trial too many is possible.
    assert len(ours | theirs) in (6, 7)


def test_a_lost_trial_does_not_count_after_a_while(study, monkeypatch):
    url = f"sqlite:///{study.folder / 'shared.db'}"
    study.tune(storage=url, n_trials=1)
    lost = optuna.load_study(storage=url, study_name="tune_a").ask()
    study.tune(storage=url, n_trials=2)
    assert len(study.starts()) == 1
    lost.set_user_attr("seen", time.time() - 601)
    study.tune(storage=url, n_trials=2)
    assert [number for number, _ in study.starts()] == [0, 2]


@pytest.mark.parametrize(
    "visible, expected", [("", ["0", "1"]), ("5,GPU-7,2", ["5", "GPU-7"])]
)
def test_each_job_has_a_gpu_of_its_own(monkeypatch, visible, expected):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = [job["CUDA_VISIBLE_DEVICES"] for job in _devices(2, [])]
    assert found == expected
    with pytest.raises(ValueError, match="n_jobs: .* 3 visible GPUs, found 4"):
        _devices(4, [])
    assert len(_devices(4, ["--device=cpu"])) == 4


def test_a_space_leaves_the_keys_of_a_trial_alone(study):
    space = study.space("n_test: {choices: [1, 2]}")
    with pytest.raises(ValueError, match="n_test: a trial has its own"):
        study.tune(space=space)


def test_jobs_without_a_gpu_share_the_cores(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr(tuner, "get_available_cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert _devices(3, []) == [{"OMP_NUM_THREADS": "2"}] * 3
    assert _devices(9, []) == [{"OMP_NUM_THREADS": "1"}] * 9


@pytest.mark.parametrize(
    "word, message",
    [
        ("--n_trials=0", "n_trials: expected 1 or more, found 0"),
        ("--n_jobs=0", "n_jobs: expected 1 or more, found 0"),
        ("--sampler_seed=-1", "sampler_seed: expected 0 or more, found -1"),
        (
            "--n_startup_trials=-1",
            "n_startup_trials: expected 0 or more, found",
        ),
        ("--n_warmup_epochs=-1", "n_warmup_epochs: expected 0 or more, found"),
        ("--n_test=4", "n_test: a trial has its own"),
        ("--test_only", "test_only: a trial has its own"),
        ("--save_folder=x", "save_folder: a trial has its own"),
        ("--space=missing.yaml", "No such file"),
        ("--storage=nonsense", "storage: nonsense cannot be used"),
        ("--storage=oracle://u@h/d", "storage: h/d: Failed to import"),
        ("--storage=sqlite:////proc/a.db", "storage: sqlite:////proc/a.db can"),
    ],
)
def test_bad_input_is_a_line_and_exit_code_1(study, capsys, word, message):
    options = {f"--{k}={v}" for k, v in study.arguments.items() if k[0] != "h"}
    words = [*sorted(options), word]
    assert tune.main([study.arguments["hparams"], *words]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and printed.count("\n") == 1
    assert message in printed


def test_a_damaged_database_is_named(study):
    study.tune(n_trials=1)
    (study.folder / "study/study.db").write_bytes(b"no database" * 1000)
    with pytest.raises(ValueError, match="storage: .*file is not a database"):
        study.tune()


def test_optuna_is_named_where_it_is_missing(study, capsys, monkeypatch):
    import sys

    for name in [n for n in sys.modules if n.partition(".")[0] == "tuning"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optuna", None)
    words = ["a.yaml", "--space=s", "--output_folder=o", "--n_trials=1"]
    assert tune.main(words) == 1
    assert "pip install optuna" in capsys.readouterr().err
