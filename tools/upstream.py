"""Would SpeechBrain take the recipe? Runs its checks, makes patch and request.

> python tools/upstream.py /path/to/speechbrain --output_folder build/upstream

The recipe is laid over a clean copy of what is committed in the checkout, which
stays as it is. Each check takes a line: passed, or FAILED and why, or not run. The
exit code is 1 if one failed. Into the output folder go the patch, for `git am`,
and the text of a pull request.

Authors
 * The PolSESS recipe team 2026
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from recipe_docstrings import docstring_problems
from recipe_hygiene import hygiene_problems
from recipe_references import idle, missing, outward_links
from recipe_rules import TABLE, table_problems
from upstream_checks import (
    Bench,
    consistency_calls,
    doctest_problems,
    performance_table_problems,
    row_checks,
)
from upstream_copy import (
    commit,
    files_to_give,
    git,
    lay_over,
    make_copy,
    write_patch,
)
from upstream_style import style_checks
from upstream_text import NETWORK, pull_request

PROJECT = Path(__file__).resolve().parents[1]
PATCH = "0001-Add-a-recipe-for-PolSESS.patch"


class Results:
    """Runs checks and prints a line for each."""

    def __init__(self):
        self.found = []

    def add(self, name, check):
        """Notes the outcome of a check.

        Arguments
        ---------
        name : str
            Of the check.
        check : callable or list or None
            Returns what is wrong; or what is wrong; None if it is not run.
        """
        begin = time.monotonic()
        try:
            problems = check() if callable(check) else check
        except Exception as error:
            problems = [f"{type(error).__name__}: {error}"]
        self.found.append((name, problems))
        if problems is None:
            print(f"not run  {name}")
        elif problems:
            more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
            print(f"FAILED   {name}: {problems[0]}{more}")
            for problem in problems[1:20]:
                print(f"           {problem}", file=sys.stderr)
        else:
            seconds = time.monotonic() - begin
            taken = f", {seconds:.0f} s" if seconds > 5 else ""
            print(f"passed   {name}{taken}")
        sys.stdout.flush()

    @property
    def failed(self):
        """Names of the checks that failed."""
        return [name for name, problems in self.found if problems]


def check_files(results, copy, files):
    """Checks that need no SpeechBrain: files, table, READMEs, docstrings.

    Arguments
    ---------
    results : Results
        Gets the outcomes.
    copy : Path
        Of SpeechBrain, with the recipe.
    files : list of str
        What was laid over.
    """
    results.add(
        "blanks, line ends, sizes", lambda: hygiene_problems(copy, files)
    )
    results.add(TABLE, lambda: table_problems(copy))
    results.add("READMEs", lambda: outward_links(copy, files))
    results.add("files that name others", lambda: missing(copy) + idle(copy))
    results.add("sections of docstrings", lambda: docstring_problems(copy))
    for name, check in style_checks(copy, files):
        results.add(name, check)


def check_with_speechbrain(results, bench, files, rows):
    """SpeechBrain's own tests.

    Arguments
    ---------
    results : Results
        Gets the outcomes.
    bench : Bench
        Where they run.
    files : list of str
        What was laid over.
    rows : bool
        Whether to run the rows of the table, which takes minutes.

    Returns
    -------
    str
        The file of the speechbrain that was imported.
    """
    calls = consistency_calls(bench.only)
    found = bench.call(calls)
    for name, _, _ in calls:
        results.add(name, found[name])
    results.add("PERFORMANCE.md", lambda: performance_table_problems(bench))
    results.add(
        "doctests of all modules", lambda: doctest_problems(bench, files)
    )
    for name, check in row_checks(bench):
        results.add(name, check if rows else None)
    for name in NETWORK:
        results.add(name, None)
    return found.get("speechbrain", "none")


def run(checkout, output_folder, rows, library, work):
    """Does all of it.

    Arguments
    ---------
    checkout : Path
        A git checkout of SpeechBrain.
    output_folder : Path
        For the patch and the text.
    rows : bool
        Whether to run the rows of the table.
    library : str
        copy or installed: which speechbrain the tests import.
    work : Path
        An empty folder.

    Returns
    -------
    Results
        Outcomes of all checks.
    """
    copy = work / "speechbrain"
    files = files_to_give(PROJECT)
    head = make_copy(checkout, copy)
    results = Results()
    problems = lay_over(PROJECT, copy, files)
    problems += commit(copy, PROJECT, files)
    results.add("files", problems)
    output_folder.mkdir(parents=True, exist_ok=True)
    results.add("patch", lambda: write_patch(copy, output_folder / PATCH))
    template = git(copy, "show", "HEAD:.github/pull_request_template.md")
    present = [name for name in files if (copy / name).exists()]
    check_files(results, copy, present)
    bench = Bench(copy, library)
    imported = check_with_speechbrain(results, bench, present, rows)
    version = (Path(imported).parent / "version.txt").read_text().strip()
    source = (
        "the checkout" if str(copy) in imported else "the installed package"
    )
    where = (
        f"On SpeechBrain at commit {head[:12]}, with speechbrain {version} of "
        f"{source}, Python {sys.version.split()[0]}."
    )
    print(where)
    text = pull_request(template, PROJECT, results.found, where)
    (output_folder / "pull_request.md").write_text(text + "\n", "utf-8")
    return results


def main():
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkout", type=Path, help="of SpeechBrain, with git")
    parser.add_argument(
        "--output_folder", type=Path, default=PROJECT / "build/upstream"
    )
    parser.add_argument(
        "--rows", type=int, choices=(0, 1), default=1, help="0: no trainings"
    )
    parser.add_argument(
        "--library",
        choices=("copy", "installed"),
        default="copy",
        help="which speechbrain the tests import",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="upstream") as work:
        results = run(
            options.checkout.resolve(),
            options.output_folder.resolve(),
            bool(options.rows),
            options.library,
            Path(work).resolve(),
        )
    failed = results.failed
    print(f"{len(results.found)} checks, {len(failed)} failed")
    print(f"Written: {options.output_folder}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
