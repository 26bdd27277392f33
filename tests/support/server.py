"""Runs the recipe's commands quickly, whole or with faults."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
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
FAULTY_SIZES = (
    "--N=8 --B=4 --H=8 --X=2 --R=1 --kernel_size=32 --stride=16"
).split()
FAULTY = (
    "--number_of_epochs=2 --batch_size=1 --segment_seconds=0.5 "
    "--grad_accumulation_factor=3 --ckpt_interval_steps=1 --noprogressbar "
    "--device=cpu --metrics=[si_sdr] --lr=0.01 "
    "--valid_variants=[SER,S] --test_variants=[SER,S]"
).split()
TWO = ["--standalone", "--nproc_per_node=2"]


class Ended(NamedTuple):
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
        run = self.start(folder, script, *arguments, folder=folder, **asked)
        return run.end()

    def train(self, folder, *options, data_folder=SAMPLES, name=None, **asked):
        words = train_arguments(folder, TINY, options, data_folder, name)
        return self.start(folder, "train.py", *words, **asked).end()

    def start_faulty(
        self,
        folder,
        *options,
        data_folder=SAMPLES,
        workers=0,
        name=None,
        sizes=FAULTY_SIZES,
        **asked,
    ):
        """Starts train.py with faults; options replace the usual ones.

        Another network takes the name of its YAML, and sizes. Its output and trace lie next to its folder. See faults/serve.py for what
        may be asked.
        """
        usual = [*sizes, *FAULTY, f"--num_workers={workers}"]
        if "launch" in asked:
            usual.append("--distributed_backend=gloo")
        words = train_arguments(folder, usual, options, data_folder, name)
        usual = {"faults": [], "trace": f"{folder}.trace", "random": True}
        return self.start(folder, "train.py", *words, **{**usual, **asked})

    def run(self, folder, *options, code=None, **asked):
        """Runs train.py with faults to its end, maybe with an expected code."""
        ended = self.start_faulty(folder, *options, **asked).end()
        assert code in (None, ended.code), (ended.code, ended.output[-3000:])
        return ended

    def succeed(self, folder, *options, **asked):
        return self.run(folder, *options, code=0, **asked).output

    @contextmanager
    def disks(self, command):
        """Lets runs see what a shell command mounts, and nothing else.

        Gives the number of a process that sees it, too.
        """
        process = self.ask(within=command)
        assert process, f"cannot be mounted: {command}"
        try:
            yield process
        finally:
            self.ask(leave=True)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Run:
    """A run that has begun, in a session of its own."""

    def __init__(self, server, **asked):
        self.server, self.asked = server, asked
        self.output = Path(asked["output"])
        self.process = server.ask(**asked)

    def end(self):
        """Waits for its end; returns how it ended.

        Each of its faults must have happened. What it started has to end too, or
        is killed and an error, unless the system has killed the run itself.
        """
        code = self.server.ask(wait=self.process)
        faults = [list(fault) for fault in self.asked.get("faults", [])]
        if "launch" in self.asked:
            faults = [fault[1:] for fault in faults]
        is_over = self.asked.get("launch") or faults and code >= 0
        left = self.left() if is_over else []
        for process in left:
            os.kill(process, signal.SIGKILL)
        output = self.output.read_text()
        assert not left, output[-3000:]
        struck = Path(f"{self.output}.struck")
        lines = struck.read_text().splitlines() if struck.exists() else []
        missed = [f for f in faults if f not in list(map(json.loads, lines))]
        assert not missed, f"never happened: {missed}\n{output[-3000:]}"
        return Ended(code, self.process, output)

    def left(self):
        """Its processes that still live after a minute."""
        until = time.monotonic() + 60
        while alive(self.process) and time.monotonic() < until:
            time.sleep(0.05)
        return alive(self.process)


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
