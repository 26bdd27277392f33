"""Command line, corpus, network, tables and origin of all benchmarks.

Authors
 * The PolSESS recipe team 2026
"""

import argparse
import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch
import yaml
from hyperpyyaml import load_hyperpyyaml

ROOT = Path(__file__).resolve().parents[1]
SEPARATION = ROOT / "recipes/PolSESS/separation"
CONV_TASNET = "convtasnet.yaml"
SEED = 1234
sys.path.insert(0, str(SEPARATION))


def parse(doc, folders, **defaults):
    """Reads the command line of a benchmark.

    Arguments
    ---------
    doc : str
        Docstring of the benchmark.
    folders : str
        Names of its folders, the last one for the results.
    **defaults : object
        Options with their defaults; a list takes several values.

    Returns
    -------
    argparse.Namespace
        The folders as absolute Paths, the options, and in ``flags`` the words
        after --, which are for train.py.
    """
    parser = argparse.ArgumentParser(description=doc.split("\n")[0])
    for name in folders.split():
        parser.add_argument(name, type=lambda x: Path(x).absolute())
    for name, default in defaults.items():
        several = isinstance(default, list)
        parser.add_argument(
            f"--{name}",
            type=type(default[0] if several else default),
            nargs="+" if several else None,
            default=default,
            help=f"default {default}",
        )
    from paths import expand_home

    words = [*expand_home(), "--"]
    end = words.index("--")
    options = parser.parse_args(words[:end])
    options.flags = words[end + 1 : -1]
    return options


def make_corpus(folder, **options):
    """Simulates a corpus of 4 s mixtures at 8 kHz, or completes one.

    Arguments
    ---------
    folder : Path
        Root of the corpus.
    **options : object
        Options of make_corpus.py; each split has 1 mixture by default.
    """
    defaults = {"n_train": 1, "n_val": 1, "n_test": 1, "seed": SEED}
    options = {**defaults, "output_folder": folder, **options}
    script = ROOT / "recipes/PolSESS/simulate/make_corpus.py"
    words = [f"--{name}={value}" for name, value in options.items()]
    subprocess.run([sys.executable, script, *words], check=True)


def load_hparams(hparams=CONV_TASNET, flags="", **overrides):
    """Loads a YAML of the recipe; without folders it has temporary ones.

    Arguments
    ---------
    hparams : str
        Its name.
    flags : str
        Overrides as on the command line.
    **overrides : object
        Overrides by key.

    Returns
    -------
    dict
        The loaded YAML.
    """
    words = (word.split("=", 1) for word in shlex.split(flags))
    given = {key.lstrip("-"): yaml.safe_load(text) for key, text in words}
    with tempfile.TemporaryDirectory() as folder:
        folders = {"data_folder": folder, "output_folder": folder}
        overrides = {**folders, "seed": SEED, **given, **overrides}
        with open(SEPARATION / "hparams" / hparams, encoding="utf-8") as file:
            return load_hyperpyyaml(file, overrides)


def load_data(corpus, split, **overrides):
    """Prepares a corpus; returns the dataset of a split and the hparams."""
    from train import dataio_prep

    hparams = load_hparams(
        data_folder=str(corpus),
        save_folder=f"{corpus}_save_{overrides['task']}",
        **overrides,
    )
    hparams["prepare"](splits=[split])
    return dataio_prep(hparams, [split])[split], hparams


def train(output_folder, arguments, threads):
    """Runs train.py in a subprocess; raises RuntimeError when it fails.

    Arguments
    ---------
    output_folder : Path
        The folder of the run.
    arguments : list of str
        Its options.
    threads : int
        Number of threads of torch.

    Returns
    -------
    list of dict
        For each epoch what train_log.txt says, for instance
        "train items_per_second": 14.2.
    """
    command = [sys.executable, "train.py", f"hparams/{CONV_TASNET}", *arguments]
    command += [f"--output_folder={output_folder}", "--metrics=[si_sdr]"]
    # It takes all threads that it is given.
    command += ["--noprogressbar", "--__threads=null"]
    done = subprocess.run(
        command,
        cwd=SEPARATION,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{shlex.join(command)}\n{done.stderr[-3000:]}")
    log = (output_folder / "train_log.txt").read_text(encoding="utf-8")
    pairs = r"((?:train|valid) [\w -]+): (-?[\d.]+(?:e[-+]?\d+)?)"
    return [
        {name: float(value) for name, value in re.findall(pairs, line)}
        for line in log.splitlines()
    ]


def spread(values, digits=2):
    """Median and range of some rounds; empty without any.

    Example
    -------
    >>> spread([2.0, 1.0, 4.0])
    '2.00 (1.00 to 4.00)'
    """
    values = pd.Series(list(values), dtype=float).dropna()
    if values.empty:
        return ""
    median, low, high = values.median(), values.min(), values.max()
    return f"{median:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def add_ratios(rows, name, within, **base):
    """Adds to each row "times <name>": its value over that of a base row.

    Arguments
    ---------
    rows : list of dict
        Changed in place; a value may be None.
    name : str
        The value.
    within : list of str
        Keys that a row and its base row share, for instance the round.
    **base : object
        Keys and values that make a row a base row.

    Example
    -------
    >>> rows = [{"n": 0, "way": "a", "s": 2.0}, {"n": 0, "way": "b", "s": 3.0}]
    >>> add_ratios(rows, "s", ["n"], way="a")
    >>> [row["times s"] for row in rows]
    [1.0, 1.5]
    """
    bases = {
        tuple(row[key] for key in within): row[name]
        for row in rows
        if base.items() <= row.items()
    }
    for row in rows:
        value = bases.get(tuple(row[key] for key in within))
        row[f"times {name}"] = (
            row[name] / value if value and row[name] else None
        )


def markdown_table(rows):
    """Rows, dicts with the same keys, as a Markdown table; None is empty.

    Example
    -------
    >>> print(markdown_table([{"a": 1, "b": None}]))
    | a | b |
    | --- | --- |
    | 1 |  |
    """
    lines = [list(rows[0]), ["---"] * len(rows[0])]
    lines += [row.values() for row in rows]
    cells = [["" if x is None else str(x) for x in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def spread_table(rows, by, **digits):
    """A Markdown table of medians and ranges.

    Arguments
    ---------
    rows : list of dict
        Measurements.
    by : list of str
        Keys of the cases, in the order of the columns.
    **digits : int
        Measured value -> number of decimals. It may be given as a dict too.

    Returns
    -------
    str
        One line for each case.
    """
    cases = {}
    for row in rows:
        cases.setdefault(tuple(row[key] for key in by), []).append(row)
    return markdown_table(
        [
            dict(zip(by, case))
            | {
                name: spread([row[name] for row in of_case], n)
                for name, n in digits.items()
            }
            for case, of_case in cases.items()
        ]
    )


def origin():
    """Command, commit (marked where code differs), machine, versions, load."""

    def git(*words):
        return subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True
        )

    commit = git("rev-parse", "--short=12", "HEAD").stdout.strip() or "unknown"
    code = [":(top)", ":(top,exclude)results", ":(top,exclude)README.md"]
    if git("diff", "--quiet", "HEAD", "--", *code).returncode:
        commit += "-dirty"
    processor = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        found = re.search(r"model name\s*: (.*)", text)
        processor = found[1] if found else processor
    if torch.cuda.is_available():
        processor += f", {torch.cuda.get_device_name()}"
    script = os.path.relpath(sys.argv[0], ROOT)
    words = [
        os.path.relpath(x) if os.path.isabs(x) else x for x in sys.argv[1:]
    ]
    return (
        f"`{shlex.join(['python', script, *words])}` at commit {commit}: "
        f"{os.cpu_count()} cores of {processor}, {platform.system()}, Python "
        f"{platform.python_version()}, torch {version('torch')}, speechbrain "
        f"{version('speechbrain')}; {os.getloadavg()[0]:.1f} processes ran at "
        "the end."
    )


def write_results(folder, title, parts, rows):
    """Writes README.md and a CSV named after the folder; prints the former.

    Arguments
    ---------
    folder : Path
        For the results.
    title : str
        Title of the README.
    parts : list of str
        Its paragraphs and tables.
    rows : list of dict
        All measurements.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows)
    table.to_csv(
        folder / f"{folder.name}.csv", index=False, float_format="%.5g"
    )
    end = f"{len(rows)} measurements in `{folder.name}.csv`. {origin()}"
    text = "\n\n".join([f"# {title}", *parts, end]) + "\n"
    (folder / "README.md").write_text(text, encoding="utf-8")
    print(text)
