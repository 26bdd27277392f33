"""Ways to train one network on the same mixtures, with as many steps each.

> python benchmarks/training.py bench/demo/PolSESS bench/training \
      results/training/demo
> python benchmarks/training.py bench/demo/PolSESS bench/few \
      results/training/demo_few --n_train 200 --steps 5000 --seeds 1 \
      --arms baseline mean_of_5 remix -- --n_valid=20

Each arm (training_arms.yaml) trains the demo's network for some steps with each
seed, and is tested by the test stage of train.py. Same command, same result: a
tested run is not repeated, an interrupted one goes on.

Authors
 * The PolSESS recipe team 2026
"""

import itertools
import json
import shlex
import shutil
from functools import partial
from pathlib import Path

import yaml
from common import markdown_table, parse, write_results
from paired import (
    difference,
    interval,
    macro_mean,
    mean_of_seeds,
    on_cores,
    silent_rows,
    start,
)

HERE = Path(__file__).parent
ARMS = HERE / "training_arms.yaml"
BATCH_SIZE = 4
# The options below that are not of the model and its training.
NO_MODEL = ("--metrics", "--noprogressbar", "--num_workers")
# The demo's network and options.
FLAGS = (
    "--N=128 --kernel_size=32 --stride=16 --B=64 --H=128 --X=6 --R=2 "
    f"--batch_size={BATCH_SIZE} --grad_accumulation_factor=1 "
    "--segment_seconds=2.0 --lr=0.002 --weight_decay=0.0 --ema_decay=0.0 "
    "--num_workers=0 --metrics=[si_sdr] --noprogressbar"
)


def arms():
    """Name of each arm -> words."""
    texts = yaml.safe_load(ARMS.read_text(encoding="utf-8"))
    return {name: shlex.split(text) for name, text in texts.items()}


def epochs_for(steps, n_train):
    """Number of epochs that make so many steps.

    Raises ValueError when it is not a whole number.

    Example
    -------
    >>> epochs_for(2500, 1000)
    10
    """
    steps_of_epoch = -(-n_train // BATCH_SIZE)
    epochs, rest = divmod(steps, steps_of_epoch)
    if rest or not epochs:
        raise ValueError(
            f"steps: expected whole epochs of {steps_of_epoch} steps, found "
            f"{steps}"
        )
    return epochs


def train(options, case, core):
    """Trains and tests one arm with one seed.

    Arguments
    ---------
    options : argparse.Namespace
        Those of the command line.
    case : tuple
        Seed and name of the arm.
    core : int
        Number of an idle core.

    Returns
    -------
    Path
        Folder of the tested run; None where it failed.
    """
    seed, name = case
    words = arms()[name]
    first = words[0]
    script, more = "train.py", ["hparams/convtasnet.yaml"]
    flags, test = FLAGS.split(), []
    folder = options.work_folder / name / str(seed)
    if (folder / "test_summary.md").is_file():  # the last file of a test
        return folder
    if first.endswith(".py"):
        script, more, words = HERE / first, [], words[1:]
        flags = [word for word in flags if word.startswith(NO_MODEL)]
    elif first in arms():
        trained = options.work_folder / first / str(seed)
        if not (trained / "test_summary.md").is_file():
            return None
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(trained, folder)
        (folder / "test_summary.md").unlink()
        words, test = words[1:], ["--test_only"]
    flags += [f"--data_folder={options.corpus}", f"--output_folder={folder}"]
    flags += [f"--task={options.task}", f"--seed={seed}"]
    epochs = epochs_for(options.steps, options.n_train)
    flags += [f"--n_train={options.n_train}", f"--number_of_epochs={epochs}"]
    # The last one counts; train.py takes a key once.
    flags += [*words, *options.flags]
    more += {flag.partition("=")[0]: flag for flag in flags}.values()
    more += test
    output = folder.with_suffix(".log")
    code = start(script, more, core, output).wait()
    if code:
        print(f"{output}: exit code {code}", flush=True)
    return None if code else folder


def commits_of(folders):
    """Commits that trained and tested some runs, in words."""
    starts = [s for f in folders for s in f.glob("record/start-*.json")]
    found = {json.loads(start.read_bytes())["commit"] for start in starts}
    return ", ".join(sorted(found))


def row_of(name, runs, base, task):
    """SI-SDRi of an arm and differences to the first one, in dB.

    Arguments
    ---------
    name : str
        The arm.
    runs, base : dict
        Seed -> folder, of the arm and of the first one.
    task : str
        ES, EB or SB.

    Returns
    -------
    dict
        ``differences``: that of each seed, a text.
    """
    seeds = [seed for seed in runs if seed in base]
    scores = mean_of_seeds([runs[seed] for seed in seeds])
    of_base = mean_of_seeds([base[seed] for seed in seeds])
    by_seed = [
        difference(mean_of_seeds([base[s]]), mean_of_seeds([runs[s]]))[0]
        for s in seeds
    ]
    summary = macro_mean(scores, task)
    names = ("difference", "difference_low", "difference_high")
    return {
        "arm": name,
        "options": shlex.join(arms()[name]),
        "mixtures": summary["mixtures"],
        "seeds": len(seeds),
        "si_sdri": summary["si_sdri_mean"],
        "ci_low": summary["si_sdri_ci_low"],
        "ci_high": summary["si_sdri_ci_high"],
        "silent": silent_rows([runs[seed] for seed in seeds]),
        **dict(zip(names, difference(of_base, scores))),
        "differences": " ".join(f"{x:+.2f}" for x in by_seed),
    }


def shown(row):
    """A row as a reader sees it."""
    names = ("difference", "difference_low", "difference_high")
    return {
        "arm": row["arm"],
        "options": f"`{row['options']}`",
        "seeds": row["seeds"],
        "SI-SDRi [95 %]": interval(
            *(row[name] for name in ("si_sdri", "ci_low", "ci_high")),
            silent=row["silent"],
        ),
        "difference [95 %]": interval(*(row[n] for n in names), sign="+"),
        "of each seed": row["differences"],
    }


def main():
    """Trains, tests and writes."""
    options = parse(
        __doc__,
        "corpus work_folder output_folder",
        arms=list(arms()),
        seeds=[1, 2, 3],
        task="ES",
        n_train=1000,
        steps=2500,
        jobs=2,
    )
    one = partial(train, options)
    epochs_for(options.steps, options.n_train)
    # Copies come after what they copy.
    copies = [name for name in options.arms if arms()[name][0] in arms()]
    trained = [name for name in options.arms if name not in copies]
    folders = {}
    for names in (trained, copies):
        cases = list(itertools.product(options.seeds, names))
        folders |= on_cores(one, cases, options.jobs)
    runs = {
        name: {s: folders[s, name] for s in options.seeds if folders[s, name]}
        for name in options.arms
    }
    base = runs[options.arms[0]]
    rows = [
        row_of(name, of_arm, base, options.task)
        for name, of_arm in runs.items()
        if base.keys() & of_arm.keys()
    ]
    failed = [
        f"{n}, seed {s}" for (s, n), folder in folders.items() if not folder
    ]
    corpus = options.corpus.parent.name
    text = (
        f"Task {options.task}, corpus {corpus}, {options.n_train} training "
        f"mixtures, {options.steps} steps of {BATCH_SIZE} items, "
        f"{rows[0]['mixtures']} test mixtures. SI-SDRi in dB, the mean over the "
        "test variants; seeds are averaged row by row first. Differences to "
        f"{options.arms[0]} are paired; intervals are over mixtures, the last "
        f"column shows the seeds. Common options: `{FLAGS}`. Commits of the "
        f"runs: {commits_of(filter(None, folders.values()))}."
    )
    if failed:
        text += f" Failed: {', '.join(failed)}."
    write_results(
        options.output_folder,
        f"Ways to train, {corpus} corpus, {options.n_train} mixtures",
        [text, markdown_table(list(map(shown, rows)))],
        rows,
    )


if __name__ == "__main__":
    main()
