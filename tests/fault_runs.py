"""Runs of train.py with faults, and what they leave."""

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import torch
from checkpoints.checkpointer import SafeCheckpointer
from checkpoints.checksums import find_problem
from fault_actions import state_digest
from recipe import ROOT, SAMPLES, SEPARATION

# 4 mixtures: a window of 3 batches and a shorter one in each of 2 epochs.
OPTIONS = (
    "hparams/convtasnet.yaml --N=8 --B=4 --H=8 --X=2 --R=1 --kernel_size=32 "
    "--stride=16 --number_of_epochs=2 --batch_size=1 --segment_seconds=0.5 "
    "--grad_accumulation_factor=3 --ckpt_interval_steps=1 --noprogressbar "
    "--device=cpu --metrics=[si_sdr] --lr=0.01 "
    "--valid_variants=[SER,S] --test_variants=[SER,S]"
).split()
PARTS = ("encoder", "masknet", "decoder")


class Server:
    """Starts runs; see faults.py.

    Arguments
    ---------
    *command : str
        One that starts another in surroundings of its own.
    """

    def __init__(self, *command):
        paths = [SEPARATION, SEPARATION.parent, ROOT / "tests"]
        self.process = subprocess.Popen(
            [*command, sys.executable, ROOT / "tests/faults.py", "serve"],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(map(str, paths)),
                "OMP_NUM_THREADS": "1",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.outputs = itertools.count()

    def run(self, folder, *options, faults=(), workers=0, traced=True):
        """Runs the command to its end; returns exit code, number, output."""
        output = folder.with_name(f"{folder.name}.{next(self.outputs)}.out")
        given = {option.partition("=")[0] for option in options}
        usual = [*OPTIONS, f"--num_workers={workers}"]
        usual.append(f"--data_folder={SAMPLES}")
        usual.append(f"--output_folder={folder}")
        asked = {
            "faults": list(faults),
            "arguments": [
                *(o for o in usual if o.partition("=")[0] not in given),
                *options,
            ],
            "output": str(output),
            "trace": f"{folder}.trace" if traced else None,
        }
        self.began = time.time()
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline())
        return answer["code"], answer["process"], output.read_text()

    def succeed(self, folder, *options, **keywords):
        """Runs the command, which must succeed; returns its output."""
        code, _, output = self.run(folder, *options, **keywords)
        assert code == 0, output[-3000:]
        return output

    def close(self):
        """Ends the server."""
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def newest(folder):
    """The checkpoint from which a run would go on."""
    found = SafeCheckpointer(folder / "save").find_checkpoint()
    assert found is not None and not find_problem(found.path)
    return found.path


def digest(folder):
    """The sum of all tensors of the newest checkpoint."""
    path = newest(folder)
    weights = {
        f"separator.{part}.{name}": value
        for part in PARTS
        for name, value in torch.load(path / f"{part}.ckpt").items()
    }
    return state_digest(weights, torch.load(path / "optimizer.ckpt"))


def trace(folder, key):
    """Reads the lines of a trace for batches or steps."""
    lines = Path(f"{folder}.trace").read_text().splitlines()
    return [json.loads(line)[key] for line in lines if key in json.loads(line)]


def alive(group):
    """Processes of a group that are not merely waiting to be reaped."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of_group = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(of_group) == group and state != "Z":
            found.append(path.parent.name)
    return found


def left_after(process, seconds=5):
    """Processes of a run that still live after a while."""
    until = time.time() + seconds
    while alive(process) and time.time() < until:
        time.sleep(0.1)
    return alive(process)
