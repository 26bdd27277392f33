#!/usr/bin/env python3
"""Searches hyper-parameters: trials of train.py, chosen and pruned by Optuna.

> python tune.py hparams/convtasnet.yaml --space=hparams/tune.yaml \
      --output_folder=results/tune_convtasnet --n_trials=30 \
      --data_folder=/path/to/PolSESS --number_of_epochs=10

Options that are not listed below go to each training. The same command goes on
where it was interrupted. Needs: pip install optuna

Authors
 * The PolSESS recipe team 2026
"""

import argparse
import sys

from paths import expand_home


def parse_arguments(arguments):
    """Parses the command line.

    Arguments
    ---------
    arguments : list of str
        Without the script.

    Returns
    -------
    options : argparse.Namespace
        The options of the tuner.
    words : list of str
        Those of the trainings.
    """
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], allow_abbrev=False
    )
    add = parser.add_argument
    add("hparams", help="YAML of the training")
    add("--space", required=True, help="YAML, key -> {low, high, ...}")
    add("--output_folder", required=True, help="of the study")
    add("--n_trials", type=int, required=True, help="of the study, in all")
    add("--n_jobs", type=int, default=1, help="trials at once, one GPU each")
    add("--storage", help="URL for Optuna; default: study.db in the folder")
    add("--study_name", help="default: tune_ and the name of the YAML")
    add("--sampler_seed", type=int, default=0, help="of the search")
    add("--n_startup_trials", type=int, default=5, help="before any is pruned")
    add("--n_warmup_epochs", type=int, default=1, help="in which none is")
    return parser.parse_known_args(expand_home(arguments))


def main(arguments):
    """Runs a study.

    Arguments
    ---------
    arguments : list of str
        Command line without the script.

    Returns
    -------
    int
        Exit code, 1 after an error, 128 and its number after a signal.
    """
    options, words = parse_arguments(arguments)
    try:
        from reliability.command_line import quoted
        from tuning.tuner import tune

        quoted([options.hparams, *words])  # a mistake fails no trial
        return tune(**vars(options), words=words)
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
