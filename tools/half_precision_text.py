"""Says in words and as a table what half_precision.py measured.

Authors
 * The PolSESS recipe team 2026
"""

import pandas as pd
from readme_section import where

SYSTEMS = {
    "stock": "SpeechBrain's modules",
    "EPS 1e-4": "SpeechBrain's modules with EPS 1e-4",
    "safe norms": "SpeechBrain's modules with safe normalisations",
    "recipe": "the recipe's network",
}


def share(value):
    """A share in percent, never rounded to none or all.

    Example
    -------
    >>> share(0.99999), share(0.5), share(1.0)
    ('more than 99 %', '50 %', '100 %')
    """
    if 0.99 < value < 1:
        return "more than 99 %"
    if 0 < value < 0.01:
        return "less than 1 %"
    return f"{100 * value:.0f} %"


def cell(row):
    """What the table says of one case.

    Arguments
    ---------
    row : pd.Series
        Of the CSV.

    Returns
    -------
    str
        Agreement, and what is not finite.
    """
    lost = row["gradients_nonfinite_share"]
    if not row["output_finite"]:
        text = f"NaN {share(row['nan_share'])} from `{row['first_nonfinite']}`"
    elif pd.notna(row["agreement_db"]):
        text = f"{row['agreement_db']:.0f} dB"
    else:
        text = "same"
    if lost:
        text += f"; gradients {share(lost)} lost"
        if row["output_finite"] and not row["loss_gradient_finite"]:
            text += ", from the loss"
    return text


def cases(rows):
    """The inputs of some rows, by precision."""
    by_precision = rows.groupby("precision", sort=False)["input"]
    return "; ".join(
        f"{precision} ({', '.join(names)})" for precision, names in by_precision
    )


def sentences(system, rows):
    """What failed with one system, and how far it is from the reference.

    Arguments
    ---------
    system : str
        Its name in the CSV.
    rows : pd.DataFrame
        Its rows.

    Returns
    -------
    str
        An item of a list.
    """
    broken = rows[~rows["output_finite"]]
    lost = rows[rows["output_finite"] & (rows["gradients_nonfinite_share"] > 0)]
    by_loss = lost[~lost["loss_gradient_finite"]]
    by_network = lost[lost["loss_gradient_finite"]]
    parts = []
    if len(broken):
        names = " or ".join(
            f"`{n}`" for n in broken["first_nonfinite"].unique()
        )
        parts.append(
            f"the output is not finite in {cases(broken)}, from {names}"
        )
    if len(by_network):
        parts.append(
            f"gradients overflow in the network in {cases(by_network)}"
        )
    if len(by_loss):
        parts.append(f"those of the loss itself overflow in {cases(by_loss)}")
    if not parts:
        parts.append(f"all {len(rows)} cases are finite")
    elif len(broken) + len(lost) < len(rows):
        parts.append("all other cases are finite")
    levels = rows.groupby("precision", sort=False)["agreement_db"].min()
    known = [
        f"{name} {level:.0f} dB" for name, level in levels.dropna().items()
    ]
    if known:
        parts.append(f"the lowest agreement is {', '.join(known)}")
    return f"- {SYSTEMS[system]}: {'; '.join(parts)}."


def table_lines(table):
    """The lines of the table."""
    lines = [
        f"| precision | input | {' | '.join(SYSTEMS)} |",
        "| --- | --- |" + " --- |" * len(SYSTEMS),
    ]
    groups = table.groupby(["precision", "input"], sort=False)
    for (precision, name), rows in groups:
        cells = rows.set_index("system").apply(cell, axis=1)[list(SYSTEMS)]
        lines.append(f"| {precision} | {name} | {' | '.join(cells)} |")
    return lines


def to_markdown(table, device, seconds):
    """The result as a table with what is needed to repeat it.

    Arguments
    ---------
    table : pd.DataFrame
        The CSV.
    device : str
        cpu or cuda.
    seconds : float
        Length of the input.

    Returns
    -------
    str
        Markdown.
    """
    from reliability.facts import device_name

    commit, machine = where()
    measured = f"Measured with autocast on {device_name(device)}."
    if device == "cpu":
        measured = (
            "**Measured with autocast of the CPU. The GPU was not measured.** "
            "Products and sums are computed by other kernels there."
        )
    lines = [
        "# Half precision: where EPS 1e-8 gives NaN, and what cures it\n",
        f"{measured}\n",
        *table_lines(table),
        "\ndB: energy of what SpeechBrain's modules give in fp32 over that of "
        "the difference from it; `same` where nothing differs. NaN: share of "
        "the output, and the first module that gives a value that is not "
        "finite. Gradients: share of the values that are not finite, after the "
        "recipe's loss, which was not scaled; `from the loss` where the "
        "gradient that enters the network is not finite already.\n",
        *(
            sentences(system, rows)
            for system, rows in table.groupby("system", sort=False)
        ),
        f"\nConv-TasNet of `hparams/convtasnet.yaml` with one output and "
        f"random weights (seed 1234), {seconds} s of a mixture of "
        "`tests/samples/PolSESS` and what was made of it (-60 dB: 60 dB "
        "quieter; 1 LSB noise: one step of 16 bits, up or down).\n",
        "`python tools/half_precision.py results/half_precision` at commit "
        f"{commit}: {machine}.\n",
    ]
    return "\n".join(lines)
