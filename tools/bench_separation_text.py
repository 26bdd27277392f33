"""The text of ``bench_separation.py``.

Authors
 * The PolSESS recipe team 2026
"""

import statistics


def to_markdown(table, figures, hours, large_seconds):
    """The result, with what is needed to repeat it.

    Arguments
    ---------
    table : pd.DataFrame
        A row for each recording.
    figures : dict
        Times and memory, window and overlap, commit and machine.
    hours : float
        Length of the recording whose memory was measured.
    large_seconds : float
        The same with the network of the default size.

    Returns
    -------
    str
        Markdown.
    """
    loss = table["pieces_oracle_db"] - table["long_db"]
    right, active = table["order_right"].sum(), table["both_active"].sum()
    lines = [
        "# Long recordings\n",
        f"Windows of {figures['window_seconds']:g} s that share "
        f"{figures['overlap_seconds']:g} s. Each recording is "
        f"{table['seconds'].iloc[0]:g} s of test mixtures of the same two "
        "speakers, joined end to end, with scenes, events and reverberation.\n",
        "| speakers | mixtures one by one, oracle order | the recording, one order "
        "| the recording, oracle order | borders | both active | order right |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in table.to_dict("records"):
        lines.append(
            f"| {row['speakers']} | {row['pieces_oracle_db']:.2f} dB | "
            f"{row['long_db']:.2f} dB | {row['long_oracle_db']:.2f} dB | "
            f"{row['borders']} | {row['both_active']} | {row['order_right']} |"
        )
    lines.append(
        f"\nMean SI-SDR of mixtures and speakers. The recording as a whole loses "
        f"{loss.mean():.2f} dB ({loss.min():.2f} to {loss.max():.2f}) against its "
        f"mixtures in oracle order; {right} of {active} borders of windows with "
        f"both speakers active keep the order of the speakers "
        f"({100 * right / max(1, active):.1f} %). A speaker is active where the "
        "reference has more than a tenth of its RMS. The order inside a window is "
        "what the network gives: *oracle order* of the recording tells how much a "
        "change of order within windows costs.\n"
    )
    lines += ["| network | one pass, s | in windows, s | ratio |"]
    lines += ["| --- | --- | --- | --- |"]
    for name, key in (
        ("trained", "time_trained"),
        ("default size", "time_large"),
    ):
        cells = [spread(values) for values in figures[key]]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines.append(
        "\nSixty seconds, in turn, median (range) of the rounds.\n\n"
        f"The peak of `separate_file.py` beyond that for one second of noise: "
        f"{figures['memory_trained']:.3f} GiB for {hours:g} hours of it, trained "
        f"network; {figures['memory_large']:.3f} GiB for "
        f"{large_seconds / 60:g} minutes, default size.\n\n"
        f"The trained network: `{figures['training']}`.\n\n"
        f"`tools/bench_separation.py` at commit {figures['commit']}: "
        f"{figures['machine']}.\n"
    )
    return "\n".join(lines)


def training_of(run):
    """The command with which a training ended, without folders.

    Arguments
    ---------
    run : Path
        Its output folder.

    Returns
    -------
    str
        As it was recorded.
    """
    from reliability.record import recorded_starts

    starts = recorded_starts(run)
    words = starts[-1]["command"].split() if starts else ["unknown"]
    return " ".join(w for w in words if not w.split("=")[0].endswith("_folder"))


def spread(values):
    """Median and range.

    Arguments
    ---------
    values : list of float
        Of the rounds.

    Returns
    -------
    str
        For a table.

    Example
    -------
    >>> spread([2.0, 1.0, 4.0])
    '2.00 (1.00 to 4.00)'
    """
    median = statistics.median(values)
    return f"{median:.2f} ({min(values):.2f} to {max(values):.2f})"
