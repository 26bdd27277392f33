"""Counts what a run writes, and cuts off one write or lets it fail.

A write is named after what it does, and to what, below the run's folder:

* ``open save/.CKPT/encoder.ckpt``, for writing
* ``mkdir``, ``rename`` (named after the old name), ``remove``, ``rmdir``

CKPT stands for ``CKPT+`` and the time. A fault's place is ``write`` and such a
name, its number counts the writes of this name, and its action is

* the name of a signal, which the process gets before the write
* ``kill at N``: the system kills the process when the file has N bytes
* ``full at N``: the system refuses what goes beyond N bytes, once

The place ``write`` alone changes nothing: all writes are told to the trace, the
size of a file before and after with them.
"""

import atexit
import json
import os
import re
import resource
import signal
import sys
from collections import Counter

import torch

from faults.actions import send

EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir")


def watch(faults, strike, trace):
    """Begins to count, and lets faults happen; strike gets each just before.

    The name of the file trace is that of the run's folder and .trace.
    """
    writes = Writes(faults, strike, trace)
    atexit.register(writes.tell)
    sys.addaudithook(writes.hear)
    save = torch.save

    def audited_save(content, path, **keywords):
        """Announces the file, which C++ would open silently."""
        sys.audit("open", os.fspath(path), "wb", os.O_WRONLY)
        save(content, path, **keywords)

    torch.save = audited_save


class Writes:
    """All writes into a folder so far, see watch."""

    def __init__(self, faults, strike, trace):
        self.faults = {
            (fault[0].removeprefix("write "), fault[1]): fault
            for fault in faults
        }
        self.strike = strike
        self.is_told = ("write", 0) in self.faults
        if self.is_told:
            strike(self.faults["write", 0])
        self.trace = trace
        self.folder = os.path.realpath(re.sub(r"\.trace.*", "", trace)) + os.sep
        self.counts = Counter()
        self.last = None

    def hear(self, event, arguments):
        if event not in EVENTS or isinstance(arguments[0], int):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        path = os.fspath(arguments[0])
        # What is removed is named within its folder.
        if event in ("os.remove", "os.rmdir") and arguments[1] != -1:
            above = os.readlink(f"/proc/self/fd/{arguments[1]}")
            path = os.path.join(above, path)
        path = os.path.realpath(path)
        if path.startswith(self.folder):
            self.tell()
            self.begin(event.removeprefix("os."), path)

    def begin(self, what, path):
        name = path.removeprefix(self.folder)
        # Without times, hashes and what else differs from run to run.
        name = re.sub(r"(CKPT)\+[^/]*", r"\1", name)
        name = re.sub(r"\.\w{8}\.partial", "*.partial", name)
        name = re.sub(r"-[\da-f]{12}", "-*", name)
        place = f"{what} {name}"
        self.counts[place] += 1
        self.last = (place, self.counts[place], size_of(path), path)
        fault = self.faults.get(self.last[:2])
        if fault is None:
            return
        self.strike(fault)
        action = fault[2]
        if " at " in action:
            limit_files(*action.split(" at "))
        else:
            send(action)

    def tell(self):
        """Tells the trace the last write, which is over by now."""
        if self.last and self.is_told:
            *told, path = self.last
            self.last = None
            with open(self.trace, "a", encoding="utf-8") as file:
                told = {"write": [*told, size_of(path)]}
                file.write(json.dumps(told) + "\n")


def size_of(path):
    return os.path.getsize(path) if os.path.isfile(path) else 0


def limit_files(action, n_bytes):
    """Lets the system stop the next file that gets longer."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]

    def lift_the_limit(number, frame):
        """Others of this process are not concerned."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(n_bytes), hard))
    handler = signal.SIG_DFL if action == "kill" else lift_the_limit
    signal.signal(signal.SIGXFSZ, handler)
