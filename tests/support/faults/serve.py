"""Runs the recipe's commands as forks of one process, which spares their imports.

It reads one request per line from its input, as JSON, and answers each with a line:

* a run (see ``begin``): its number; it has a session of its own and goes on
* ``wait``, the number of a run: its exit code, once it has ended
* ``within``, a shell command: the number of a fork with a view of the disks of its
  own, in which the command has run, and which answers from now on
* ``leave``: ends that fork
"""

import atexit
import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import traceback

from recipe import SEPARATION

PRELOADED = """train separate_file export report prepare_polsess prepare_libri2mix
simulate.make_corpus exporting.export reporting.page reporting.examples matplotlib.figure
torch._dynamo torch.utils.tensorboard torch.distributed.run faults.install""".split()
CLONE_NEWNS = 0x00020000  # of Linux


def run_script(script, arguments):
    sys.argv = [script, *arguments]
    sys.path.insert(0, os.path.dirname(script))
    runpy.run_path(script, run_name="__main__")


def begin(asked):
    """Runs what is asked for, in this fork.

    Asked are ``script`` and its ``arguments``; ``folder`` to run it in;
    ``environment``; ``output``, a file; ``limit_seconds``; and for a run with faults
    ``faults`` (see install.py), ``trace`` (None: nothing is traced) and ``random``,
    whether the model draws random numbers. ``launch`` are options of torchrun (None:
    without it); faults then begin with their rank, and each rank adds itself to
    ``trace``.
    """
    os.setsid()
    signal.alarm(asked["limit_seconds"])
    inputs = os.open(os.devnull, os.O_RDONLY)
    output = os.open(asked["output"], os.O_WRONLY | os.O_CREAT, 0o644)
    for number, descriptor in enumerate((inputs, output, output)):
        os.dup2(descriptor, number)
    os.chdir(asked["folder"])
    os.environ.update(asked["environment"])
    if "launch" not in asked:
        run(asked)
    elif asked["launch"] is None:
        run_rank(asked)
    else:
        launch(asked)


def run(asked):
    if "faults" in asked:
        from faults import install

        faults, path = asked["faults"], f"{asked['output']}.struck"
        if asked["random"]:
            install.add_randomness()
        install.add_slow_metrics()
        install.leave_out_the_report()
        install.install(faults, lambda f: strike(path, f), asked["trace"])
    run_script(asked["script"], asked["arguments"])


def strike(path, fault):
    line = json.dumps(fault) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def launch(asked):
    """Is torchrun, whose processes are forks of this one."""
    torchrun = importlib.import_module("torch.distributed.run")
    configure = torchrun.config_from_args

    def with_forks(options):
        config, *_ = configure(options)
        config.start_method = "fork"
        return config, run_rank, [asked]

    torchrun.config_from_args = with_forks
    torchrun.main([*asked["launch"], asked["script"]])


def run_rank(asked):
    """Runs the script as one of several processes, with the faults of its rank."""
    rank = int(os.environ.get("RANK", 0))
    faults = [fault[1:] for fault in asked["faults"] if fault[0] == rank]
    trace = f"{asked['trace']}.{rank}"
    try:
        run({**asked, "faults": faults, "trace": trace})
    except Exception:
        traceback.print_exc()
        sys.exit(1)
    finally:
        # As at the end of an interpreter, which a process of torch is not.
        atexit._run_exitfuncs()


def see_disks(command):
    """Runs a shell command whose mounts only this process sees."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    private = "mount --make-rprivate / && "
    subprocess.run(private + command, shell=True, check=True)


def serve():
    while line := sys.stdin.readline():
        asked = json.loads(line)
        if "wait" in asked:
            answer = os.waitpid(asked["wait"], 0)[1]
            answer = os.waitstatus_to_exitcode(answer)
        elif "leave" in asked:
            return
        elif (answer := os.fork()) == 0:
            if "within" not in asked:
                begin(asked)
                return
            see_disks(asked["within"])
            print(json.dumps(os.getpid()), flush=True)
            continue
        elif "within" in asked and os.waitpid(answer, 0)[1]:
            answer = None  # it may not mount
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    sys.path[:0] = [str(SEPARATION), str(SEPARATION.parent)]
    for module in PRELOADED:
        importlib.import_module(module)
    gc.freeze()
    serve()
