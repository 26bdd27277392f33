"""Runs the recipe's commands quickly, whole or with faults.

Authors
 * The PolSESS recipe team 2026
"""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from recipe import ROOT, SAMPLES, SEPARATION

# A network and a schedule that take seconds.
TINY = (
    "--N=16 --B=8 --H=16 --X=2 --R=1 --kernel_size=32 --stride=16 "
    "--number_of_epochs=2 --batch_size=2 --segment_seconds=1.0 "
    "--grad_accumulation_factor=1 --num_workers=0 --noprogressbar --device=cpu"
).split()
# For faults. 4 mixtures: a window of 3 batches and a shorter one in each of 2 epochs.
FAULTY = (
    "--N=8 --B=4 --H=8 --X=2 --R=1 --kernel_size=32 "
    "--stride=16 --number_of_epochs=2 --batch_size=1 --segment_seconds=0.5 "
    "--grad_accumulation_factor=3 --ckpt_interval_steps=1 --noprogressbar "
    "--device=cpu --metrics=[si_sdr] --lr=0.01 "
    "--valid_variants=[SER,S] --test_variants=[SER,S]"
).split()
TWO = ["--standalone", "--nproc_per_node=2"]


class Ended(NamedTuple):
    """What is left of a run: exit code, number of its process, what it printed."""

    code: int
    process: int
    output: str


def train_arguments(folder, usual, options, data_folder, name=None):
    """Arguments of train.py; options replace the usual ones.

    ``--name=usual`` leaves an option to the YAML.
    """
    given = {option.partition("=")[0] for option in options}
    usual = [f"--output_folder={folder}", *usual]
    if data_folder is not None:
        usual.append(f"--data_folder={data_folder}")
    return [
        f"hparams/{name or 'convtasnet.yaml'}",
        *(o for o in usual if o.partition("=")[0] not in given),
        *(o for o in options if not o.endswith("=usual")),
    ]


class Server:
    """Starts runs as forks of a process that has imported everything."""

    def __init__(self):
        paths = [SEPARATION, SEPARATION.parent, ROOT / "tests/support"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "faults.serve"],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(map(str, paths)),
                "OMP_NUM_THREADS": "1",
                "POLSESS_DATA_ROOT": "",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.numbers = itertools.count()

    def ask(self, **asked):
        """Sends a request; returns the answer."""
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def start(self, output, script, *arguments, folder=SEPARATION, **asked):
        """Starts a command of the recipe; what it prints goes next to output."""
        output = f"{output}.{next(self.numbers)}.out"
        return Run(
            self,
            output=output,
            script=str(SEPARATION / script),
            arguments=[str(argument) for argument in arguments],
            **{"environment": {}, "limit_seconds": 60, **asked},
            folder=str(folder),
        )

    def call(self, folder, script, *arguments, **asked):
        """Runs a command in a folder; returns how it ended."""
        start = self.start(folder, script, *arguments, folder=folder, **asked)
        return start.end()

    def train(self, folder, *options, data_folder=SAMPLES, name=None, **asked):
        """Runs train.py, a tiny network, to its end."""
        words = train_arguments(folder, TINY, options, data_folder, name)
        return self.start(folder, "train.py", *words, **asked).end()

    def start_faulty(
        self, folder, *options, data_folder=SAMPLES, workers=0, **asked
    ):
        """Starts train.py with faults, see faults/install.py.

        Arguments
        ---------
        folder : Path
            Output folder; its trace, and its output, lie next to it.
        *options : str
            Of train.py; they replace the usual ones.
        data_folder : Path
            The corpus.
        workers : int
            Of data loaders.
        **asked : dict
            See ``begin`` of faults/serve.py: faults, trace, random, launch.

        Returns
        -------
        Run
            That has begun.
        """
        usual = [*FAULTY, f"--num_workers={workers}"]
        if "launch" in asked:
            usual.append("--distributed_backend=gloo")
        words = train_arguments(folder, usual, options, data_folder)
        asked = {
            "faults": [],
            "trace": f"{folder}.trace",
            "random": True,
            **asked,
        }
        return self.start(folder, "train.py", *words, **asked)

    def run(self, folder, *options, **asked):
        """Runs train.py with faults to its end."""
        return self.start_faulty(folder, *options, **asked).end()

    def succeed(self, folder, *options, **asked):
        """Does so, successfully; returns its output."""
        ended = self.run(folder, *options, **asked)
        assert ended.code == 0, ended.output[-3000:]
        return ended.output

    def close(self):
        """Ends the server."""
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Run:
    """A run that has begun, in a session of its own."""

    def __init__(self, server, **asked):
        self.server, self.asked = server, asked
        self.output = Path(asked["output"])
        self.began = time.time()
        self.process = server.ask(**asked)

    def end(self, leaves_processes=False):
        """Waits for its end; returns how it ended.

        Each of its faults must have happened, and processes that it started have
        to end too, soon, unless it was killed.
        """
        code = self.server.ask(wait=self.process)
        output = self.output.read_text()
        faults = [list(fault) for fault in self.asked.get("faults", [])]
        if "launch" in self.asked:
            faults = [fault[1:] for fault in faults]
        struck = Path(f"{self.output}.struck")
        lines = struck.read_text().splitlines() if struck.exists() else []
        missed = [f for f in faults if f not in list(map(json.loads, lines))]
        assert not missed, f"never happened: {missed}\n{output[-3000:]}"
        return Ended(code, self.process, output)

    def left(self, seconds=5):
        """Its processes that still live after a while."""
        return left_after(self.process, seconds)


def alive(session):
    """Processes of a session that are not merely waiting to be reaped."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def left_after(session, seconds=5):
    """Processes of a run that still live after a while."""
    until = time.monotonic() + seconds
    while alive(session) and time.monotonic() < until:
        time.sleep(0.05)
    return alive(session)


def kill(session):
    """Kills what is left of a run."""
    for process in alive(session):
        os.kill(process, signal.SIGKILL)
