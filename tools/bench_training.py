"""Times the training command against the bare steps, and the preparation.

> python tools/bench_training.py bench results/benchmark

The command is train.py with the small network on a simulated corpus: reading,
mixing, the loop of SpeechBrain with what the recipe adds. The bare step is that
of the same network, loss, clipping and Adam on noise in memory, timed right
before and right after. The preparation reads metadata of the size of the
training set of PolSESS, without audio, and with its audit a tenth of that with all
files.

Authors
 * The PolSESS recipe team 2026
"""

import json
import pathlib
import re
import statistics
import subprocess
import sys
import time

import torch
from bench_preparation import measure_preparation
from readme_section import ROOT, where

SEPARATION = ROOT / "recipes/PolSESS/separation"
sys.path[:0] = [str(ROOT / "tests"), str(SEPARATION.parent)]

YAML = "hparams/convtasnet_small.yaml"
ROUNDS = 5
BATCH_SIZE = 4
N_TRAIN = 60
SECONDS = 4.0
STEPS = N_TRAIN // BATCH_SIZE  # of a round, as many as in an epoch
WARM_UP = 3
ROWS = 128_000
AUDITED_ROWS = 12_800
MOST_OVERHEAD, MOST_WAITING = 10, 5  # percent: the targets
OVERRIDES = {
    "batch_size": BATCH_SIZE,
    "number_of_epochs": 2,
    "grad_accumulation_factor": 1,
    "n_valid": 2,
    "n_test": 2,
    "segment_seconds": SECONDS,
    "metrics": "[si_sdr]",
    "num_workers": 1,
    "cache_folder": "null",
}


def make_corpus(folder):
    """Simulates the corpus; one that is there is completed."""
    corpus = folder / "PolSESS"
    script = ROOT / "recipes/PolSESS/simulate/make_corpus.py"
    numbers = ["--n_train", str(N_TRAIN), "--n_val", "2", "--n_test", "2"]
    command = [sys.executable, script, "--output_folder", corpus]
    subprocess.run([*command, *numbers, "--seed", "1234"], check=True)
    return corpus


def train(corpus, output_folder, device):
    """Runs the command; returns the figures of its second epoch.

    The first epoch contains what happens once, such as the start of the loader.
    """
    command = [
        sys.executable,
        "train.py",
        YAML,
        f"--data_folder={corpus}",
        f"--output_folder={output_folder}",
        *[f"--{key}={value}" for key, value in OVERRIDES.items()],
        *["--precision=fp32", f"--device={device}", "--noprogressbar"],
        "--ckpt_interval_minutes=0",
    ]
    subprocess.run(
        command, cwd=SEPARATION, check=True, stdout=subprocess.DEVNULL
    )
    log = pathlib.Path(output_folder, "train_log.txt")
    line = log.read_text(encoding="utf-8").splitlines()[-1]
    return {
        name: float(value)
        for name, value in re.findall(r"train (\w+): ([-\d.e+]+)", line)
    }


class BareStep:
    """The step of the training, without all around it.

    Arguments
    ---------
    folder : pathlib.Path
        For what the YAML writes.
    device : str
        Where the step is computed.
    """

    def __init__(self, folder, device):
        from hyperpyyaml import load_hyperpyyaml

        overrides = {
            **OVERRIDES,
            "data_folder": folder,
            "output_folder": folder,
        }
        text = "\n".join(f"{key}: {value}" for key, value in overrides.items())
        with open(SEPARATION / YAML, encoding="utf-8") as file:
            hparams = load_hyperpyyaml(file, text)
        self.device = device
        self.network = hparams["separator"].to(device)
        self.loss = hparams["loss"]
        self.max_grad_norm = hparams["max_grad_norm"]
        self.optimizer = hparams["opt_class"](self.network.parameters())
        samples = round(SECONDS * hparams["sample_rate"])
        self.reference = torch.randn(BATCH_SIZE, samples, 1, device=device)
        noise = torch.randn(BATCH_SIZE, samples, device=device)
        self.mixture = self.reference.sum(-1) + noise

    def take(self):
        """One step."""
        loss = self.loss(self.network(self.mixture), self.reference).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(
            self.network.parameters(), self.max_grad_norm
        )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def items_per_second(self):
        """Of as many steps as an epoch has, after a warm-up."""
        from benchmark_machine import time_calls

        for _ in range(WARM_UP):
            self.take()
        return BATCH_SIZE / time_calls(self.take, self.device, STEPS)


def measure_training(folder, device):
    """A row for each round: bare steps, the command, bare steps."""
    corpus = make_corpus(folder)
    step = BareStep(folder / "bare", device)
    rows = []
    for number in range(ROUNDS):
        before = step.items_per_second()
        # A folder that is new, else the command would resume what is there.
        run = folder / f"training_{time.time_ns()}"
        stats = train(corpus, run, device)
        bare = statistics.mean([before, step.items_per_second()])
        whole = stats["items_per_second"]
        waiting = stats["waiting_seconds"]
        seconds = waiting + stats["computing_seconds"]
        rows.append(
            {
                "round": number + 1,
                "bare": bare,
                "command": whole,
                "overhead_percent": 100 * (bare / whole - 1),
                "waiting_percent": 100 * waiting / seconds,
            }
        )
        print(rows[-1], flush=True)
    return rows


def to_text(values, digits=1):
    """Median and range."""
    figures = (statistics.median(values), min(values), max(values))
    return "{} ({} to {})".format(*(f"{f:.{digits}f}" for f in figures))


def to_markdown(result):
    """The result as a table with what is needed to repeat it."""
    columns = {
        name: [row[name] for row in result["rounds"]]
        for name in result["rounds"][0]
    }
    overrides = " ".join(f"--{k}={v}" for k, v in OVERRIDES.items())
    return (
        "# The training command against its bare steps\n\n"
        "| | median (range) | target |\n"
        "| --- | --- | --- |\n"
        f"| bare steps, items/s | {to_text(columns['bare'], 2)} | |\n"
        f"| train.py, items/s | {to_text(columns['command'], 2)} | |\n"
        "| more time an item than the bare step, % | "
        f"{to_text(columns['overhead_percent'])} | at most {MOST_OVERHEAD} |\n"
        "| of the time, waiting for data, % | "
        f"{to_text(columns['waiting_percent'])} | below {MOST_WAITING} |\n"
        f"| preparation of {ROWS:,} rows without audit, s | "
        f"{to_text(result['preparation_seconds'])} | |\n"
        f"| preparation of {AUDITED_ROWS:,} rows with `audit=quick`, s | "
        f"{to_text(result['audited_seconds'])} | |\n\n"
        f"`train.py {YAML} {overrides} --precision=fp32 "
        "--ckpt_interval_minutes=0` on a simulated corpus, the second epoch of "
        f"{N_TRAIN} mixtures of {SECONDS:g} s in each of {ROUNDS} rounds; a "
        "bare step is the same network, loss, clipping and Adam on noise in "
        f"memory, {STEPS} of them right before and right after, with "
        f"{result['threads']} thread(s) like the command. The preparation is "
        "`prepare_polsess`: without an audit no file needs to be there; with the "
        "quick one, the default, the head of each file is read, and the samples of some "
        "mixtures (files of 4 s, hard links to those of two mixtures, hence in "
        "memory).\n\n"
        "`make bench` (`tools/bench_training.py`) at commit "
        f"{result['commit']}, on {result['device']}: {result['machine']}.\n"
    )


def main(work_folder, output_folder):
    """Measures, and writes training.md and training.json.

    Arguments
    ---------
    work_folder : str
        For the corpus and the runs.
    output_folder : str
        For the figures.
    """
    torch.manual_seed(1234)
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    folder = pathlib.Path(work_folder).resolve() / "training"
    result = {
        "rounds": measure_training(folder, device),
        "preparation_seconds": measure_preparation(
            folder, ROWS, "none", ROUNDS
        ),
        "audited_seconds": measure_preparation(
            folder, AUDITED_ROWS, "quick", ROUNDS
        ),
        "threads": torch.get_num_threads(),
        "device": device,
    }
    result["commit"], result["machine"] = where()
    output = pathlib.Path(output_folder)
    output.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1) + "\n"
    (output / "training.json").write_text(text, encoding="utf-8")
    text = to_markdown(result)
    (output / "training.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
