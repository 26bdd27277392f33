"""Half precision against fp32: one forward pass, and whole trainings.

> python benchmarks/precision.py bench results/precision --epochs 3 -- --N=128

Trainings of a seed share first weights and mixtures. What counts is the
difference of their best validation SI-SDRi, validated in fp32. The control is
fp32 with another number of threads, which only rounds differently. Options after
-- go to train.py. A complete training is not repeated.

Authors
 * The PolSESS recipe team 2026
"""

import itertools

import pandas as pd
import torch
import yaml
from common import (
    SEED,
    add_ratios,
    load_hparams,
    make_corpus,
    markdown_table,
    parse,
    train,
    write_results,
)
from scipy import stats

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
CONTROL = "fp32_control"
LIMIT_DB = 0.05  # a smaller difference does not matter


def measure_forward(seconds=1.0):
    """How far half precision changes the estimate of the full network.

    Arguments
    ---------
    seconds : float
        Length of the signals.

    Returns
    -------
    list of dict
        For each input and precision the energy of the fp32 estimate over that
        of the difference, in dB; nan where the estimate is not finite.
    """
    separator = load_hparams()["separator"].to(DEVICE).eval()
    torch.manual_seed(SEED)
    noise = 0.1 * torch.randn(1, round(8000 * seconds), device=DEVICE)
    half_silent = noise.clone()
    half_silent[:, noise.shape[1] // 2 :] = 0
    inputs = {"noise": noise, "half silent": half_silent}
    inputs["-60 dB"] = noise / 1000
    rows = []
    for name, precision in itertools.product(inputs, HALF):
        with torch.no_grad():
            expected = separator(inputs[name])
            with torch.autocast(DEVICE, HALF[precision]):
                estimate = separator(inputs[name]).float()
        error = (estimate - expected).square().sum()
        agreement = 10 * torch.log10(expected.square().sum() / error)
        row = {"input": name, "precision": precision}
        rows.append({**row, "agreement, dB": f"{agreement:.1f}"})
    return rows


def measure_trainings(options, precisions):
    """A row for each seed and precision: best SI-SDRi in dB, mixtures a second.

    Arguments
    ---------
    options : argparse.Namespace
        The command line.
    precisions : list of str
        fp32 among them.

    Returns
    -------
    list of dict
        In the order of the trainings.
    """
    work = options.work_folder / f"precision_{options.mixtures}"
    make_corpus(work / "PolSESS", n_train=options.mixtures, n_val=40)
    rows = []
    for seed, precision in itertools.product(options.seeds, precisions):
        threads = torch.get_num_threads()
        if precision == CONTROL:
            threads = max(1, threads // 2) if threads > 1 else 2
        arguments = [
            *options.flags,
            f"--data_folder={work / 'PolSESS'}",
            f"--seed={seed}",
            f"--number_of_epochs={options.epochs}",
            f"--precision={precision.split('_')[0]}",
            "--eval_precision=fp32",
        ]
        output = work / f"{precision}_{seed}_{options.epochs}"
        epochs = train(output, arguments, threads)
        # An epoch that a resume found finished has no speed.
        speeds = [x.get("train items_per_second") for x in epochs]
        # The log rounds; the best checkpoint is among those that are kept.
        metas = output.glob("save/CKPT+*/CKPT.yaml")
        metas = [yaml.safe_load(path.read_text()) for path in metas]
        row = {"seed": seed, "precision": precision}
        row["si_sdri"] = max(x["si_sdri"] for x in metas if "si_sdri" in x)
        row["speed"] = float(pd.Series(speeds, dtype=float).median())
        rows.append(row)
        print(row, flush=True)
    return rows


def differences(rows):
    """Differences from fp32 with Student's interval over the seeds.

    Arguments
    ---------
    rows : list of dict
        See ``measure_trainings``, with the ratios of the speeds.

    Returns
    -------
    list of dict
        A row for each precision but fp32.
    """
    table = pd.DataFrame(rows)
    scores = table.pivot(index="seed", columns="precision", values="si_sdri")
    speeds = table.groupby("precision")["times speed"].median()
    found = []
    for name in scores.columns.drop("fp32"):
        change = scores[name] - scores["fp32"]
        low, high = stats.ttest_1samp(change, 0).confidence_interval()
        verdict = "undecided"
        if max(-low, high) <= LIMIT_DB:
            verdict = "yes"
        elif low > LIMIT_DB or high < -LIMIT_DB:
            verdict = "no"
        row = {"precision": name, "difference, dB": f"{change.mean():+.3f}"}
        row["95 % interval"] = f"{low:+.3f} to {high:+.3f}"
        row[f"within {LIMIT_DB} dB"] = verdict
        found.append({**row, "speed, times fp32": f"{speeds[name]:.2f}"})
    return found


def main():
    """Measures and writes."""
    options = parse(
        __doc__,
        "work_folder output_folder",
        seeds=[1234, 1235, 1236],
        mixtures=1000,
        epochs=3,
    )
    # SpeechBrain refuses to train in fp16 on a CPU.
    half = list(HALF) if DEVICE == "cuda" else ["bf16"]
    # SpeechBrain allows TF32; fp32 is to be fp32.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    forward = measure_forward()
    rows = measure_trainings(options, ["fp32", *half, CONTROL])
    add_ratios(rows, "speed", ["seed"], precision="fp32")
    text = (
        f"Trained on {DEVICE}, {len(options.seeds)} seeds, {options.epochs} "
        f"epochs of {options.mixtures} mixtures; best validation SI-SDRi against "
        "that of fp32 with the same seed. The interval is Student's t over the "
        "seeds; yes if all of it is within the limit, no if none of it is."
    )
    parts = [markdown_table(differences(rows)), text]
    parts.append("The full network with random weights against itself in fp32:")
    parts.append(markdown_table(forward))
    title = "Half precision against fp32"
    write_results(options.output_folder, title, parts, rows)


if __name__ == "__main__":
    main()
