"""Table, text and plot of a study.

Authors
 * The PolSESS recipe team 2026
"""

import shlex
from collections import Counter

import pandas as pd
from paths import replacing
from reporting.media import Figure
from reporting.tables import to_markdown, write_texts

from tuning.space import overrides

BEST = 10  # trials of the table in study.md
# State -> colour of Okabe and Ito's, and shape
LOOKS = {"complete": ("#0072B2", "o"), "pruned": ("#D55E00", "x")}


def write_report(study, space, words, folder):
    """Writes trials.csv, study.md and study.png, each complete or absent.

    Arguments
    ---------
    study : optuna.study.Study
        With trials, maybe running ones.
    space : dict
        Key -> distribution.
    words : list of str
        Arguments of train.py: the YAML, and what all trials share.
    folder : Path
        Gets the files.

    Returns
    -------
    str
        How many trials ended how, and the command of the best.
    """
    trials = study.get_trials()
    table = trials_table(trials, list(space))
    counts = Counter(table["state"])
    ended = ", ".join(f"{n} {state}" for state, n in counts.items())
    summary = f"Trials: {ended or 0}.\n"
    ranked = table[table["state"] == "complete"].sort_values(
        "si_sdri", ascending=False, kind="stable"
    )
    if len(ranked):
        best = study.best_trial
        command = shlex.join(
            ["python", "train.py", *words, *overrides(best.params)]
        )
        summary += (
            f"Best: trial {best.number}, validation SI-SDRi {best.value:.2f} "
            f"dB, in {best.user_attrs.get('folder')}. Its training, with a "
            f"test:\n\n```bash\n{command}\n```\n"
        )
    parts = [f"# {study.study_name}\n", summary]
    for title, rows in (
        ("Best trials", ranked.head(BEST).drop(columns=["state", "error"])),
        (
            "Failed trials",
            table.loc[table["state"] == "fail", ["number", "error"]],
        ),
    ):
        if len(rows):
            texts = rows.map(lambda x: f"{x:.4g}" if type(x) is float else x)
            parts.append(f"## {title}\n\n{to_markdown(texts.astype(str))}")
    csv = table.to_csv(index=False, lineterminator="\n")
    write_texts({"trials.csv": csv, "study.md": "\n".join(parts)}, folder)
    with replacing(folder / "study.png") as [new]:
        plot_study(table, space).savefig(new, format="png", dpi=120)
    return summary


def trials_table(trials, keys):
    """Lists trials.

    Arguments
    ---------
    trials : list of optuna.trial.FrozenTrial
        Of a study.
    keys : list of str
        Those of the space.

    Returns
    -------
    pd.DataFrame
        Columns number, state, si_sdri (validation, the best epoch so far, dB),
        epochs, the keys, seconds (NaN while it runs), error.
    """
    rows = []
    for trial in trials:
        row = {"number": trial.number, "state": trial.state.name.lower()}
        values = trial.intermediate_values
        row["si_sdri"] = max(values.values(), default=float("nan"))
        row["epochs"] = max(values, default=0)
        row.update({key: trial.params.get(key) for key in keys})
        is_over = trial.state.is_finished() and trial.duration
        row["seconds"] = (
            round(trial.duration.total_seconds(), 1) if is_over else None
        )
        row["error"] = trial.user_attrs.get("error", "")
        rows.append(row)
    columns = ["number", "state", "si_sdri", "epochs", *keys, "seconds"]
    return pd.DataFrame(rows, columns=[*columns, "error"])


def plot_study(table, space):
    """Draws the trials, the best so far, and each key against the value.

    Arguments
    ---------
    table : pd.DataFrame
        The result of ``trials_table``.
    space : dict
        Key -> distribution.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for the study and one for each key.
    """
    figure = Figure((4 * (1 + len(space)), 3.5), layout="constrained")
    grid = figure.subplots(1, 1 + len(space), sharey=True, squeeze=False)
    first, *others = grid[0]
    is_complete = table["state"] == "complete"
    best = table["si_sdri"].where(is_complete).cummax().ffill()
    first.step(table["number"], best, where="post", color="#777777")
    first.set(xlabel="trial", ylabel="validation SI-SDRi (dB)")
    for state, (colour, shape) in LOOKS.items():
        rows = table[table["state"] == state]
        for axes, key in zip((first, *others), ("number", *space)):
            values = rows[key]
            if not pd.api.types.is_numeric_dtype(table[key]):
                values = values.astype(str)
            axes.scatter(
                values,
                rows["si_sdri"],
                color=colour,
                marker=shape,
                label=state,
                clip_on=False,
            )
    first.legend()
    first.xaxis.get_major_locator().set_params(integer=True)
    for axes, (key, distribution) in zip(others, space.items()):
        axes.set_xlabel(key)
        if getattr(distribution, "log", False):
            axes.set_xscale("log")
            # Without limits, an empty logarithmic axis is an error.
            axes.set_xlim(distribution.low, distribution.high)
    return figure
