"""SpeechBrain's own tests, restricted to this recipe, in a copy of it.

Authors
 * The PolSESS recipe team 2026
"""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

from recipe_rules import RECIPE, TABLE, rows_of

TOOLS = Path(__file__).resolve().parent
ROW_SECONDS = 900  # that a row may take
RECIPE_TESTS = "tests.utils.recipe_tests"
CONSISTENCY = "tests.consistency.test_recipe"


class Bench:
    """Where SpeechBrain's tests run: a copy, and the speechbrain they import.

    Arguments
    ---------
    copy : Path
        Of SpeechBrain, with the recipe.
    library : str
        copy for the speechbrain of the copy, installed for that of this Python.
    """

    def __init__(self, copy, library):
        self.copy = copy
        work = copy.parent
        self.only = work / "only"  # a folder with this recipe's table alone
        self.only.mkdir()
        shutil.copy(copy / TABLE, self.only)
        # Without a path to the copy's root, only its tests are found.
        self.path = copy
        if library == "installed":
            self.path = work / "tests_only"
            self.path.mkdir()
            (self.path / "tests").symlink_to(copy / "tests")
        self._write_python(work / "bin")
        self.environment = {
            **os.environ,
            "PATH": f"{work / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.path),
            "PYTHONDONTWRITEBYTECODE": "1",
            "XDG_CACHE_HOME": str(work / "cache"),
        }

    def _write_python(self, folder):
        """Writes the `python` that SpeechBrain's tests start recipes with.

        They set PYTHONPATH to the folder of the script alone, and would find
        whatever speechbrain is installed.
        """
        folder.mkdir()
        script = folder / "python"
        script.write_text(
            "#!/bin/sh\n"
            f'PYTHONPATH="$PYTHONPATH:{self.path}" exec "{sys.executable}" "$@"\n'
        )
        script.chmod(script.stat().st_mode | stat.S_IXUSR)

    def run(self, command, **options):
        """Runs a command in the copy, with the speechbrain to be tested."""
        return subprocess.run(
            command,
            cwd=self.copy,
            env=self.environment,
            text=True,
            capture_output=True,
            check=False,
            **options,
        )

    def call(self, calls, timeout=600):
        """Calls functions of SpeechBrain's tests in a process of their own.

        Arguments
        ---------
        calls : list
            Each with a name, module:function and a dict of keywords.
        timeout : float
            In seconds.

        Returns
        -------
        dict
            Name -> complaints; speechbrain -> the file that was imported.
        """
        command = [sys.executable, TOOLS / "upstream_call.py"]
        try:
            done = self.run(command, input=json.dumps(calls), timeout=timeout)
        except subprocess.TimeoutExpired:
            return {call[0]: [f"not done in {timeout:g} s"] for call in calls}
        found = dict(json.loads(line) for line in done.stdout.splitlines())
        reason = (done.stderr.strip().splitlines() or ["it ended"])[-1]
        return {call[0]: [reason] for call in calls} | found


def consistency_calls(only):
    """The calls of tests/consistency and tests/utils that need no training.

    Arguments
    ---------
    only : Path
        A folder with this recipe's table alone.

    Returns
    -------
    list
        For `Bench.call`.
    """
    table = {"recipe_folder": str(only)}
    yaml_test = "tests.consistency.test_yaml:test_yaml_script_consistency"
    docstrings = "tests.utils.check_docstrings:check_docstrings"
    return [
        ("list of recipes", f"{CONSISTENCY}:test_recipe_list", table),
        ("files of the list", f"{CONSISTENCY}:test_recipe_files", table),
        ("mandatory fields", f"{CONSISTENCY}:test_mandatory_files", table),
        ("links of the README", f"{CONSISTENCY}:test_README_links", table),
        ("YAMLs against script", yaml_test, table),
        (
            "docstrings",
            docstrings,
            {"base_folder": ".", "check_folders": [f"{RECIPE}/"]},
        ),
        ("YAMLs load", f"{RECIPE_TESTS}:load_yaml_test", table),
    ]


def doctest_problems(bench, files):
    """Imports all modules and runs their doctests, as upstream runs its own."""
    modules = [
        name
        for name in files
        if name.startswith(RECIPE)
        and name.endswith(".py")
        and not (bench.copy / name).is_symlink()
    ]
    folders = f"{RECIPE}/separation {RECIPE}"
    options = ["-q", "--tb=line", "-rfE", "-p", "no:cacheprovider"]
    options += ["--doctest-modules", "-o", f"pythonpath={folders}"]
    # Not `python -m pytest`, and no conftest.py: these would put the copy, and
    # so its speechbrain, before the one that was asked for.
    pytest = Path(sys.executable).with_name("pytest")
    done = bench.run([pytest, "--noconftest", *options, *modules])
    lines = re.findall(r"^(?:FAILED|ERROR) (.*)$", done.stdout, re.M)
    if done.returncode and not lines:
        lines = (done.stdout + done.stderr).strip().splitlines()[-1:]
    return lines


def performance_table_problems(bench):
    """Runs the tool that makes PERFORMANCE.md of the tables of recipes."""
    out = str(bench.only.parent / "PERFORMANCE.md")
    command = [sys.executable, "tools/readme_builder.py"]
    command += ["--recipe_info_dir", f"{bench.only}/", "--output_file", out]
    done = bench.run(command)
    return done.stderr.strip().splitlines()[-1:] if done.returncode else []


def row_checks(bench):
    """Runs the rows of the table, one by one, with their checks.

    Arguments
    ---------
    bench : Bench
        Where to run them.

    Returns
    -------
    list of tuple
        Name of a row, function that returns what is wrong.
    """
    return [
        (
            f"row {number}, {Path(row['Hparam_file']).name}",
            lambda row=row, number=number: _row_problems(bench, row, number),
        )
        for number, row in enumerate(rows_of(bench.copy), start=2)
    ]


def _row_problems(bench, row, number):
    """Runs one row."""
    keywords = {
        "recipe_folder": str(bench.only),
        "filters_fields": ["Hparam_file"],
        "filters": [[row["Hparam_file"]]],
        "run_opts": "--device=cpu",
    }
    call = ("row", f"{RECIPE_TESTS}:run_recipe_tests", keywords)
    problems = bench.call([call], timeout=ROW_SECONDS)["row"]
    if problems:
        output = bench.copy / f"tests/tmp/PolSESS_row_{number:02d}"
        for name in ("stderr.txt", "stdout.txt"):
            if (output / name).is_file():
                text = (output / name).read_text(errors="replace").strip()
                problems += text.splitlines()[-1:]
    return problems
