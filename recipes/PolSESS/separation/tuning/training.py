"""train.py as a process of its own, which does not outlive the tuner.

Authors
 * The PolSESS recipe team 2026
"""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from runs.folder import LOCK
from runs.ranks import end_with_parent

TRAIN = Path(__file__).resolve().parents[1] / "train.py"
OUTPUT = "output.txt"
STOP_SECONDS = 60  # in which a training ends its step and saves


class Training:
    """A training that has begun, or goes on, in a folder.

    Arguments
    ---------
    folder : Path
        Its output folder. What it prints is added to output.txt.
    words : list of str
        YAML and overrides.
    environment : dict
        Added to the environment of this process.
    """

    def __init__(self, folder, words, environment):
        _wait_until_free(folder)
        self.output = folder / OUTPUT
        tuner = os.getpid()

        def end_with_tuner():
            end_with_parent()
            if os.getppid() != tuner:  # which was killed before
                os._exit(1)

        with open(self.output, "ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, TRAIN, *words, f"--output_folder={folder}"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                # The Ctrl-C of a terminal reaches the tuner alone.
                start_new_session=True,
                preexec_fn=end_with_tuner,
            )

    def last_line(self):
        """The last line that it printed."""
        text = self.output.read_bytes()[-5000:].decode("utf-8", "replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else "no output"


def stop(trainings):
    """Lets trainings save and end, and kills those that do not.

    Arguments
    ---------
    trainings : list of Training
        Running or ended.
    """
    for training in trainings:
        training.process.terminate()
    until = time.monotonic() + STOP_SECONDS
    for training in trainings:
        try:
            training.process.wait(max(0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(training.process.pid, signal.SIGKILL)
            training.process.wait()


def _wait_until_free(folder):
    """Waits for the training of a killed tuner, which is saving."""
    path = folder / LOCK
    if not path.exists():
        return
    until = time.monotonic() + STOP_SECONDS
    with open(path, "r+", encoding="utf-8") as file:
        while time.monotonic() < until:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except (BlockingIOError, PermissionError):
                time.sleep(0.1)
            except OSError:  # a file system without locks
                return
