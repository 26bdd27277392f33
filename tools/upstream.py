"""Runs SpeechBrain's own checks on the derived recipe; writes patch and request.

> python tools/upstream.py /path/to/speechbrain

The recipe is derived into ``tree`` of the output folder and laid over a clean
clone of the checkout, which stays as it is. Each check prints one line: PASS, or
FAIL with its log. Written are polsess.patch (for `git apply`) and
pull_request.md. The exit code is 1 if a check failed.

Authors
 * The PolSESS recipe team 2026
"""

import argparse
import csv
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from upstream_tree import LINKS, RECIPE, SAMPLES, TABLE, build_tree, count_lines

ROOT = Path(__file__).resolve().parents[1]
TEXT = Path(__file__).with_name("pull_request.md.in")
SUMMARY = ROOT / "results/demo/test_summary.csv"
TARGET_LINES = 2000  # that one reviewer takes in
ROW_SECONDS = 1800
EPOCHS = "--number_of_epochs="
# The row of SpeechBrain's README that lists the recipes of this task.
README_ROW = re.compile(r"^(\| *Speech Separation *\|[^|\n]*?)( *\|)", re.M)

# SpeechBrain's own tests that take a folder with tables of recipes.
CONSISTENCY = (
    "test_recipe.test_recipe_list",
    "test_recipe.test_recipe_files",
    "test_recipe.test_mandatory_files",
    "test_recipe.test_README_links",
    "test_yaml.test_yaml_script_consistency",
)


def git(folder, *arguments, **options):
    """Runs git in a folder; returns what it prints, raises when it fails."""
    done = subprocess.run(
        ["git", "-C", folder, *arguments],
        check=True,
        stdout=subprocess.PIPE,
        **options,
    )
    return done.stdout.decode("utf-8", "replace").strip()


def lay_over(checkout, tree, clone):
    """Clones a checkout and adds the derived recipe to the index.

    Arguments
    ---------
    checkout : Path
        A git checkout of SpeechBrain; only its HEAD is used.
    tree : Path
        The derived recipe.
    clone : Path
        Where the clone goes; a folder that is there is removed.

    Returns
    -------
    str
        The commit of the checkout.
    """
    shutil.rmtree(clone, ignore_errors=True)
    git(tree, "clone", "-q", "--shared", checkout, clone)
    shutil.copytree(tree, clone, symlinks=True, dirs_exist_ok=True)
    readme = clone / "README.md"
    text, count = README_ROW.subn(
        rf"\1, [PolSESS]({RECIPE})\2", readme.read_text(encoding="utf-8")
    )
    if count != 1:
        raise ValueError(
            f"{checkout}/README.md: one row 'Speech Separation' expected for "
            f"the link to the recipe, {count} found"
        )
    readme.write_text(text, encoding="utf-8")
    git(clone, "add", "-A")  # without what its .gitignore excludes
    return git(clone, "rev-parse", "HEAD")


def write_patch(clone, path):
    """Writes the index as a patch and applies it to HEAD, as a test.

    Arguments
    ---------
    clone : Path
        With the recipe in its index.
    path : Path
        Where the patch goes.
    """
    command = ["git", "-C", clone, "diff", "--cached", "--binary", "HEAD"]
    with open(path, "wb") as file:
        subprocess.run(command, check=True, stdout=file)
    index = {**os.environ, "GIT_INDEX_FILE": str(path.with_suffix(".index"))}
    git(clone, "read-tree", "HEAD", env=index)
    git(clone, "apply", "--cached", path.resolve(), env=index)
    same = git(clone, "write-tree", env=index) == git(clone, "write-tree")
    path.with_suffix(".index").unlink()
    if not same:
        raise ValueError(f"{path} gives other files than were checked")


def row_command(root, output_folder, epochs=None):
    """The command of the first row of the table of recipes.

    Arguments
    ---------
    root : Path
        A tree with the recipe and its table.
    output_folder : str or Path
        Where the run goes.
    epochs : int
        How many; None for the number of the row.

    Returns
    -------
    list of str
        To be run in the root; the interpreter is left out.
    """
    with open(root / TABLE, encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    command = [row["Script_file"], row["Hparam_file"]]
    command += shlex.split(row["test_debug_flags"])
    if epochs is not None:
        command = [x for x in command if not x.startswith(EPOCHS)]
        command.append(f"{EPOCHS}{epochs}")
    return [*command, "--device=cpu", f"--output_folder={output_folder}"]


def logged_epochs(output_folder):
    """Epochs in train_log.txt, in the order of its lines."""
    text = Path(output_folder, "train_log.txt").read_text(encoding="utf-8")
    return [int(number) for number in re.findall(r"^epoch: (\d+)", text, re.M)]


class Checks:
    """Runs checks in a clone of SpeechBrain and prints a line for each.

    Arguments
    ---------
    clone : Path
        SpeechBrain with the recipe.
    logs : Path
        Folder for what the checks print.
    library : str
        copy for the speechbrain of the clone, installed for that of this Python.
    """

    def __init__(self, clone, logs, library):
        self.clone, self.logs, self.results = clone, logs, {}
        work = logs.parent
        for folder in (logs, work / "only", work / "bin", work / "tests_only"):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        shutil.copy(clone / TABLE, work / "only")  # without other recipes
        self.tables = f"{work / 'only'}/"
        (work / "tests_only/tests").symlink_to(clone / "tests")
        path = clone if library == "copy" else work / "tests_only"
        # SpeechBrain starts recipes by `python`, with a PYTHONPATH of its own.
        python = work / "bin/python"
        python.write_text(
            f'#!/bin/sh\nPYTHONPATH="${{PYTHONPATH:+$PYTHONPATH:}}{path}" '
            f'exec "{sys.executable}" "$@"\n'
        )
        python.chmod(0o755)
        tools = Path(sys.executable).parent
        self.environment = {
            **os.environ,
            "PATH": f"{python.parent}:{tools}:{os.environ['PATH']}",
            "PYTHONPATH": "",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def run(self, name, command, timeout=600):
        """Runs a command in the clone; it passes if its exit code is 0.

        Arguments
        ---------
        name : str
            Name of the check.
        command : list
            Words of the command.
        timeout : float
            Seconds after which it fails.
        """
        log = self.logs / f"{name.replace(' ', '_')}.log"
        with open(log, "w", encoding="utf-8") as file:
            try:
                code = subprocess.run(
                    command,
                    cwd=self.clone,
                    env=self.environment,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    timeout=timeout,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                file.write(f"ERROR: not done after {timeout} s\n")
                code = 1
        self.add(name, code == 0, log)

    def run_test(self, name, module, call, timeout=600):
        """Calls a test of SpeechBrain; it passes unless it raises or is False.

        speechbrain is imported before the clone, the current folder, is on the
        path, so that the option library decides which one it is.

        Arguments
        ---------
        name : str
            Name of the check.
        module : str
            Module of the test.
        call : str
            Python code of the call.
        timeout : float
            Seconds after which it fails.
        """
        code = (
            "import sys; sys.path.remove(''); import speechbrain; "
            f"sys.path.insert(0, ''); import {module}; "
            f"assert {module}.{call} is not False"
        )
        self.run(name, ["python", "-c", code], timeout)

    def add(self, name, passed, log=None):
        """Notes and prints a result; None if the check was not run."""
        self.results[name] = {True: "PASS", False: "FAIL", None: "NOT RUN"}[
            passed
        ]
        reason = ""
        if passed is False and log:
            lines = log.read_text(encoding="utf-8").strip().splitlines()
            errors = [x for x in lines if re.search(r"ERROR|:\d+:\d+:|==>", x)]
            reason = f": {(errors or lines[-1:] or [''])[0].strip()} [{log}]"
        print(f"{self.results[name]} {name}{reason}", flush=True)


def check_style(checks, files):
    """The hooks that SpeechBrain's pre-commit runs, with its configuration."""
    texts = [x for x in files if not x.endswith(".wav") and x not in LINKS]
    python = [name for name in texts if name.endswith(".py")]
    yamls = [name for name in texts if name.endswith(".yaml")]
    concise = "--output-format=concise"
    checks.run("ruff check", ["ruff", "check", "--no-cache", concise, *python])
    checks.run(
        "ruff format", ["ruff", "format", "--no-cache", "--check", *python]
    )
    checks.run(
        "yamllint", ["yamllint", "--no-warnings", "-f", "parsable", *yamls]
    )
    words = "--ignore-words=.dict-speechbrain.txt"
    checks.run("codespell", ["codespell", words, *texts])
    checks.run("blanks", ["git", "diff", "--cached", "--check", "HEAD"])


def check_recipe(checks, files):
    """SpeechBrain's consistency tests, and the doctests of the recipe."""
    for test in CONSISTENCY:
        module, name = test.split(".")
        call = f"{name}(recipe_folder={checks.tables!r})"
        checks.run_test(name, f"tests.consistency.{module}", call)
    call = f"check_docstrings('.', ['{RECIPE}/'])"
    checks.run_test("docstrings", "tests.utils.check_docstrings", call)
    call = f"load_yaml_test({checks.tables!r})"
    checks.run_test("load_yaml", "tests.utils.recipe_tests", call)
    builder = ["python", "tools/readme_builder.py", "--recipe_info_dir"]
    out = checks.logs / "PERFORMANCE.md"
    command = [*builder, checks.tables, "--output_file", out]
    checks.run("PERFORMANCE.md", command)
    modules = [x for x in files if x.endswith(".py") and x not in LINKS]
    pytest = shutil.which("pytest", path=checks.environment["PATH"])
    options = ["-q", "-p", "no:cacheprovider", "--noconftest"]
    command = ["python", pytest, *options, "--doctest-modules", *modules]
    checks.run("doctests", command)


def check_row(checks):
    """Runs the row of the table, then once more for an epoch, as a resume."""
    output = checks.clone / "tests/tmp/PolSESS_row_02"  # SpeechBrain's name
    call = f"run_recipe_tests({checks.tables!r}, run_opts='--device=cpu')"
    name = "row trains and tests"
    checks.run_test(name, "tests.utils.recipe_tests", call, ROW_SECONDS)
    if checks.results[name] == "FAIL":
        for log in (output / "log.txt", output / "stderr.txt"):
            if log.exists():
                print(log.read_text(encoding="utf-8")[-1000:], file=sys.stderr)
        return
    before = logged_epochs(output)
    command = row_command(checks.clone, output, len(before) + 1)
    checks.run("row resumes", ["python", *command], ROW_SECONDS)
    if logged_epochs(output) != [*before, len(before) + 1]:
        checks.add("row resumes", False, output / "train_log.txt")


def pull_request(template, results, lines, where):
    """SpeechBrain's template, filled in.

    Only boxes that the checks give evidence for are ticked; the others are for
    the person who opens the pull request.

    Arguments
    ---------
    template : str
        SpeechBrain's pull_request_template.md.
    results : dict
        Name of a check -> PASS, FAIL or NOT RUN.
    lines : int
        Number of lines of the recipe.
    where : str
        Commit, library and Python of the checks.

    Returns
    -------
    str
        Markdown.
    """
    table = "".join(f"| {name} | {end} |\n" for name, end in results.items())
    with open(SUMMARY, encoding="utf-8", newline="") as file:
        scores = "".join(
            f"| {row['variant']} | {row['n']} | {float(row['si_sdr_mean']):.2f} |"
            f" {float(row['si_sdri_mean']):.2f} |\n"
            for row in csv.DictReader(file)
            if "macro mean" in row["variant"]
        )
    body = TEXT.read_text(encoding="utf-8")
    for name, value in {
        "CHECKS": table,
        "SCORES": scores,
        "LINES": str(lines),
        "WHERE": where,
    }.items():
        body = body.replace(f"@{name}@", value.rstrip("\n"))
    text = re.sub(r"<!--.*?-->", lambda _: body, template, count=1, flags=re.S)
    text = text.replace("Fixes #<issue_number>", "It fixes no issue.")
    text = re.sub(r"<!-- Does your PR.*?-->", "No breaking changes.", text)
    ticked = ["does only one thing", "update the documentation", "breaking"]
    if set(results.values()) == {"PASS"}:
        ticked += ["necessary tests", "pass** locally", "code style"]
    for words in ticked:
        pattern = rf"- \[ \] (?=[^\n]*{re.escape(words)})"
        text = re.sub(pattern, "- [x] ", text, count=1)
    return text


def parse_arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("checkout", type=Path, help="git checkout of SpeechBrain")
    add("--output_folder", type=Path, default=ROOT / "build/upstream")
    add("--rows", type=int, choices=(0, 1), default=1, help="0: no trainings")
    add(
        "--library",
        choices=("copy", "installed"),
        default="copy",
        help="speechbrain of the checkout, or of this Python",
    )
    return parser.parse_args()


def main():
    """Derives, checks, writes."""
    options = parse_arguments()
    if not (options.checkout / ".git").exists():
        sys.exit(f"{options.checkout} is not a git checkout of SpeechBrain")
    output = options.output_folder.resolve()
    clone = output / "speechbrain"
    files = build_tree(ROOT, output / "tree")
    commit = lay_over(options.checkout.resolve(), output / "tree", clone)
    checks = Checks(clone, output / "logs", options.library)
    staged = git(clone, "diff", "--cached", "--name-only", "HEAD").split("\n")
    left_out = sorted(set(files) - set(staged))
    checks.add("nothing is ignored by git", not left_out)
    size = sum((clone / x).stat().st_size for x in files if SAMPLES in x)
    checks.add("samples of at most 1 MB", size <= 2**20)
    check_style(checks, files)
    check_recipe(checks, files)
    if options.rows:
        check_row(checks)
    else:
        checks.add("row trains and tests", None)
    write_patch(clone, output / "polsess.patch")
    lines = count_lines(output / "tree")
    where = (
        f"SpeechBrain at commit {commit[:12]}, its "
        f"{'own library' if options.library == 'copy' else 'tests, and the installed library'}"
        f", Python {sys.version.split()[0]}"
    )
    template = clone / ".github/pull_request_template.md"
    text = template.read_text(encoding="utf-8")
    text = pull_request(text, checks.results, lines, where)
    (output / "pull_request.md").write_text(text, encoding="utf-8")
    failed = [x for x, end in checks.results.items() if end == "FAIL"]
    print(f"{lines} lines without samples (target: at most {TARGET_LINES})")
    print(f"{len(checks.results)} checks, {len(failed)} failed. {where}.")
    print(f"Written: {output}/polsess.patch, {output}/pull_request.md")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
