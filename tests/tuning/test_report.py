"""The table and the plot of a study hold each trial as it ended."""

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial
from tuning.report import plot_study, trials_table, write_report

SPACE = {
    "lr": FloatDistribution(1e-4, 1e-2, log=True),
    "norm_type": CategoricalDistribution(["gLN", "cLN"]),
}
CURVES = [
    ("complete", [1.0, 3.0, 2.0]),
    ("pruned", [0.5]),
    ("fail", []),
    ("complete", [2.0, 5.0]),
    ("running", [4.0]),
]


@pytest.fixture
def study():
    study = optuna.create_study(study_name="tune_a", direction="maximize")
    for number, (state, curve) in enumerate(CURVES):
        state = TrialState[state.upper()]
        study.add_trial(
            create_trial(
                state=state,
                value=max(curve) if state == TrialState.COMPLETE else None,
                params={"lr": 1e-4 * (number + 1), "norm_type": "gLN"},
                distributions=SPACE,
                intermediate_values=dict(enumerate(curve, start=1)),
                user_attrs={"error": "exit code 1"} if not curve else {},
            )
        )
    return study


def test_the_table_has_the_best_epoch_of_each_trial(study):
    table = trials_table(study.trials, list(SPACE))
    assert list(table)[4:6] == ["lr", "norm_type"]
    assert list(table["state"]) == [state for state, _ in CURVES]
    assert list(table["epochs"]) == [3, 1, 0, 2, 1]
    assert table["si_sdri"].tolist()[:2] == [3.0, 0.5]
    assert table["si_sdri"].isna().tolist() == [0, 0, 1, 0, 0]
    assert table["error"].tolist() == ["", "", "exit code 1", "", ""]


def test_the_plot_shows_ended_trials_and_the_best_so_far(study):
    figure = plot_study(trials_table(study.trials, list(SPACE)), SPACE)
    first, lr, norm_type = figure.axes
    (best,) = first.get_lines()
    assert best.get_ydata().tolist() == [3, 3, 3, 5, 5]
    complete, pruned = lr.collections
    assert complete.get_offsets().tolist() == [[1e-4, 3], [4e-4, 5]]
    assert pruned.get_offsets().tolist() == [[2e-4, 0.5]]
    assert lr.get_xscale() == "log" and lr.get_xlim() == (1e-4, 1e-2)
    assert norm_type.get_xlabel() == "norm_type"


def test_a_study_in_which_all_failed_has_a_report(tmp_path):
    study = optuna.create_study(study_name="tune_a", direction="maximize")
    study.add_trial(create_trial(state=TrialState.FAIL))
    assert write_report(study, SPACE, ["a.yaml"], tmp_path) == (
        "Trials: 1 fail.\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("study.md", "study.png", "trials.csv")
    ]
