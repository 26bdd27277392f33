"""Says in words and as tables what bench_precision.py measured.

Authors
 * The PolSESS recipe team 2026
"""

import math
import os
import statistics

from readme_section import where
from scipy import stats

TARGET_DB = 0.05
OPTIONS = (
    "--n_train {n_train} --n_val {n_val} --n_test {n_test} --epochs {epochs}"
)


def student_interval(values, confidence=0.95):
    """Mean and Student's t interval of independent values.

    Arguments
    ---------
    values : list of float
        One for each seed.
    confidence : float
        Level of the interval.

    Returns
    -------
    tuple of float
        Mean, lower and upper limit; the limits of a single value are NaN.

    Example
    -------
    >>> [round(x, 3) for x in student_interval([1.0, 2.0, 3.0])]
    [2.0, -0.484, 4.484]
    """
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, math.nan, math.nan
    error = statistics.stdev(values) / math.sqrt(len(values))
    quantile = stats.t.ppf((1 + confidence) / 2, len(values) - 1)
    reach = error * float(quantile)
    return mean, mean - reach, mean + reach


def verdict(low, high, target=TARGET_DB):
    """Whether an interval of differences keeps within the target.

    Example
    -------
    >>> verdict(-0.04, 0.01), verdict(-0.9, -0.1), verdict(-0.1, 0.1)
    ('kept', 'missed', 'undecided')
    """
    if -target <= low and high <= target:
        return "kept"
    return "missed" if low > target or high < -target else "undecided"


def scores_lines(table):
    """The lines of the table of all trainings."""
    lines = [
        "| seed | precision | threads | SI-SDRi, dB | best epoch | mixtures/s "
        "| steps without finite gradients |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row.seed} | {row.precision} | {row.threads} | {row.si_sdri:.3f} | "
        f"{row.best_epoch} | {row.items_per_second:.1f} | "
        f"{row.nonfinite_steps} |"
        for row in table.itertuples()
    ]
    return lines


def differences_lines(table, at_once):
    """The lines of the table of differences from fp32."""
    lines = [
        "| precision | mean difference from fp32, dB | 95 % interval | seeds | "
        f"within {TARGET_DB} dB | speed, times fp32 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    scores = table.pivot(index="seed", columns="precision", values="si_sdri")
    speeds = table.pivot(
        index="seed", columns="precision", values="items_per_second"
    )
    for precision in table["precision"].unique():
        if precision == "fp32":
            continue
        differences = (scores[precision] - scores["fp32"]).tolist()
        mean, low, high = student_interval(differences)
        speed = f"{(speeds[precision] / speeds['fp32']).median():.2f}"
        if precision == "fp32_control" and at_once > 1:
            speed = ""  # it ran alone
        lines.append(
            f"| {precision} | {mean:+.3f} | {low:+.3f} to {high:+.3f} | "
            f"{len(differences)} | {verdict(low, high)} | {speed} |"
        )
    return lines


CONTROL_TEXT = (
    " How far they part shows fp32_control: fp32 once more, on a CPU with "
    "another number of threads, which add in another order."
)


def to_markdown(table, sizes, device, output, at_once=1):
    """The result as tables with what is needed to repeat it.

    Arguments
    ---------
    table : pd.DataFrame
        The CSV.
    sizes : dict
        Of the corpus, and the epochs.
    device : str
        cpu or cuda.
    output : pathlib.Path
        The folder of the text, as it was given.
    at_once : int
        Trainings that shared the cores.

    Returns
    -------
    str
        Markdown.
    """
    from reliability.facts import device_name

    machine = where()[1]
    commits = " and ".join(table["commit"].unique())  # of the trainings
    precisions = list(table["precision"].unique())
    choices = {
        "seeds": " ".join(map(str, table["seed"].unique())),
        "precisions": " ".join(precisions),
        "at_once": at_once,
    }
    chosen = "".join(f" --{name} {value}" for name, value in choices.items())
    measured = f"Trained on {device_name(device)}."
    if device == "cpu":
        measured = (
            "**Trained on a CPU. The GPU was not measured**, nor was fp16, "
            "which SpeechBrain refuses on a CPU."
        )
    lines = [
        "# Mixed precision against fp32\n",
        f"{measured} The best validation SI-SDRi of each training, task ES, "
        "validated in fp32.\n",
        *scores_lines(table),
        "",
        *differences_lines(table, at_once),
        "\nThe difference is that within a seed, which has the same first "
        "weights, mixtures and steps; its interval is Student's t over the "
        "seeds. The target is kept if the whole interval is within it, missed "
        "if none of it is, otherwise undecided: trainings part by the smallest "
        "rounding, so that their difference is not that of the precision "
        f"alone.{CONTROL_TEXT if 'fp32_control' in precisions else ''}\n",
        f"`python tools/bench_precision.py bench {output} "
        f"{OPTIONS.format(**sizes)}{chosen}` (`hparams/"
        f"convtasnet_demo.yaml`); trainings at commit {commits}: {machine}, {at_once} "
        "training(s) at once. Speeds are to be trusted only "
        "where nothing else ran; load of the machine at the end: "
        f"{os.getloadavg()[0]:.1f} processes on {os.cpu_count()} cores.\n",
    ]
    return "\n".join(lines)
