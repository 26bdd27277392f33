"""Fills SpeechBrain's template of a pull request.

Authors
 * The PolSESS recipe team 2026
"""

import csv
import re

from recipe_rules import rows_of

RESULTS = "results/demo/test_summary.csv"
NETWORK = ("addresses in READMEs (tests/.run-url-checks.sh)",)
COLUMNS = ("si_sdr_mix", "si_sdr", "si_sdri", "sdr", "pesq", "stoi", "estoi")
ROWS = ("indoor macro mean", "outdoor macro mean", "macro mean")

WHAT = """\
It adds `recipes/PolSESS`: separation and enhancement of Polish speech on PolSESS, a \
corpus of two speakers with an acoustic scene, a sound event and reverberation, whose \
mixtures are stored with all their components. From them the recipe makes nine test \
conditions by cancelling components (MM-IPC).

- `prepare_polsess.py` checks a corpus and writes manifests; `simulate/` makes a corpus \
of the same layout from synthesised speech, so that everything runs without a download.
- `separation/train.py` is one script for all configurations, on `Brain` without an \
override of `fit_batch`; it scores every utterance with SI-SDR, SDR, PESQ and STOI and \
writes tables with confidence intervals.
- Nothing in `speechbrain/` changes, and no other recipe does. Outside its folder it \
adds `tests/recipes/PolSESS.csv`, small samples in `tests/samples`, and one link in the \
README.

Extra dependencies are in `recipes/PolSESS/extra_requirements.txt`.
"""
LIMITS = """\
- The figures above come from a simulated corpus of synthesised voices. Nothing was \
trained on PolSESS itself, whose sources have to be obtained from their owners.
- No model is uploaded yet, so `Result_url`, `HF_repo` and `performance` are empty.
- It needs torch 2.6 and SpeechBrain 1.1.2 or newer: older ones run code that the \
`CKPT.yaml` of a checkpoint holds. With `develop` as it is (version 1.1.0) its own check \
reads the version of the installed package.
- Several GPUs were not tried; several processes were, on CPUs.
"""


def results_table(project):
    """Means of the demo's test, as Markdown, from what it wrote.

    Arguments
    ---------
    project : Path
        A work tree of this repository.

    Returns
    -------
    str
        With the sentence on where the figures come from.
    """
    with open(project / RESULTS, encoding="utf-8", newline="") as file:
        rows = {row["variant"]: row for row in csv.DictReader(file)}
    names = [name.replace("_", " ") for name in COLUMNS]
    lines = [f"| test rows | n | {' | '.join(names)} |"]
    lines.append("| --- " * (len(names) + 2) + "|")
    for name in ROWS:
        cells = []
        for column in COLUMNS:
            value = float(rows[name][f"{column}_mean"])
            digits = 3 if "stoi" in column else 2
            cells.append(f"{value:.{digits}f}")
        lines.append(f"| {name} | {rows[name]['n']} | {' | '.join(cells)} |")
    origin = (project / "results/demo/README.md").read_text(encoding="utf-8")
    return "\n".join([*lines, "", origin.split("\n\n", 1)[1].strip()])


def checks_table(results):
    """Outcomes of the checks as Markdown.

    Arguments
    ---------
    results : list of tuple
        Name and complaints of each check; None for one that was not run.

    Returns
    -------
    str
        One line a check.
    """
    lines = ["| check | outcome |", "| --- | --- |"]
    for name, problems in results:
        outcome = "not run" if problems is None else "passed"
        if problems:
            outcome = "FAILED: " + problems[0].replace("|", "/")
        lines.append(f"| {name} | {outcome} |")
    return "\n".join(lines)


def pull_request(template, project, results, where):
    """The template with its first comment replaced and its boxes ticked.

    Only boxes for which this run has the evidence are ticked; the others are for
    the person who opens the pull request.

    Arguments
    ---------
    template : str
        Of SpeechBrain.
    project : Path
        A work tree of this repository.
    results : list of tuple
        Name and complaints of each check; None for one that was not run.
    where : str
        What the checks were run with.

    Returns
    -------
    str
        The text.
    """
    yamls = [row["Hparam_file"] for row in rows_of(project)]
    listed = "\n".join(f"- `{name}`" for name in yamls)
    body = (
        f"{WHAT}\nConfigurations:\n\n{listed}\n\n### Results\n\n"
        f"{results_table(project)}\n\n### Checks\n\n{where}\n\n"
        f"{checks_table(results)}\n\n### Limits\n\n{LIMITS}"
    )
    text = re.sub(r"<!--.*?-->", lambda _: body, template, count=1, flags=re.S)
    text = text.replace(
        "Fixes #<issue_number>", "No issue is fixed by it; it adds a recipe."
    )
    text = re.sub(
        r"<!-- Does your PR introduce any breaking.*?-->",
        "It has no breaking changes.",
        text,
    )
    outcome = dict(results)
    ran_all = all(outcome[n] == [] for n in outcome if n not in NETWORK)
    is_clean = all(not problems for problems in outcome.values())
    ticks = {
        "does only one thing": not outcome["files"],
        "update the documentation": not outcome["READMEs"],
        "new necessary tests": not outcome["list of recipes"],
        "pass** locally": ran_all,
        "breaking changes** introduced": True,
        "code style": is_clean,
    }
    for words, is_true in ticks.items():
        if is_true:
            text = re.sub(
                rf"- \[ \] (?=.*{re.escape(words)})", "- [x] ", text, count=1
            )
    return text
