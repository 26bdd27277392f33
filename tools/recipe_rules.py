"""SpeechBrain's rules for a recipe, in words of our own.

Each function takes the root of a repository (this one, or a SpeechBrain into
which the recipe was laid) and returns what is wrong, one line each.

Authors
 * The PolSESS recipe team 2026
"""

import csv
import re
from pathlib import Path

RECIPE = "recipes/PolSESS"
TABLE = "tests/recipes/PolSESS.csv"
COLUMNS = (
    "Task,Dataset,Script_file,Hparam_file,Data_prep_file,Readme_file,"
    "Result_url,HF_repo,test_debug_flags,test_debug_checks,performance"
).split(",")
FILE_COLUMNS = ("Script_file", "Hparam_file", "Data_prep_file", "Readme_file")
MANDATORY = ("Task", *FILE_COLUMNS, "test_debug_flags", "test_debug_checks")

# Where the script uses a key: ["key"], hparams.key, modules.key, ...
USES = r'\["{0}"\]|(hparams|modules)\.{0}\b|(attr\(self\.hparams, |get\()"{0}"'


def rows_of(root):
    """The rows of the recipe's table of tests, as dicts."""
    with open(Path(root) / TABLE, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def files_of(root):
    """Paths of the recipe, its table and its samples, as text.

    Arguments
    ---------
    root : str or Path
        The repository.

    Returns
    -------
    list of str
        From the root; without what Python and trainings leave there.
    """
    root = Path(root)
    found = [root / TABLE]
    for folder in (root / RECIPE, *root.glob("tests/samples/PolSESS*")):
        # A link to a folder is a file to git.
        found += [
            path
            for path in folder.rglob("*")
            if path.is_symlink() or not path.is_dir()
        ]
    names = {str(path.relative_to(root)) for path in found}
    links = {str(p.relative_to(root)) + "/" for p in found if p.is_symlink()}
    return sorted(
        name
        for name in names
        if "__pycache__" not in name
        and "/separation/results/" not in name
        and not name.startswith(tuple(links) or "\0")
    )


def table_problems(root):
    """What is wrong with the table of tests.

    Arguments
    ---------
    root : str or Path
        The repository.

    Returns
    -------
    list of str
        A line for each problem.
    """
    root = Path(root)
    rows = rows_of(root)
    if not rows or list(rows[0]) != COLUMNS:
        return [f"{TABLE}: its columns must be {','.join(COLUMNS)}"]
    problems = []
    for number, row in enumerate(rows, start=2):
        place = f"{TABLE}, line {number}"
        problems += [f"{place}: {p}" for p in _row_problems(root, row)]
    listed = [row["Hparam_file"] for row in rows]
    there = {str(p.relative_to(root)) for p in (root / RECIPE).rglob("*.yaml")}
    problems += [f"{name} has no row in {TABLE}" for name in there - {*listed}]
    if len(set(listed)) < len(listed):
        problems.append(f"{TABLE}: a Hparam_file is listed twice")
    return sorted(problems)


def _row_problems(root, row):
    """What is wrong with one row."""
    if None in row or None in row.values():
        yield "the number of fields differs from that of the header"
        return
    if row["Dataset"] != "PolSESS":
        yield f"Dataset is {row['Dataset']!r}"
    for column in MANDATORY:
        if not row[column] or row[column] != row[column].strip():
            yield f"{column} is {row[column]!r}"
    for column in FILE_COLUMNS:
        if not (root / row[column]).is_file():
            yield f"{column}: there is no file {row[column]}"
    for sample in re.findall(r"tests/samples/\S+", row["test_debug_flags"]):
        if not (root / sample).exists():
            yield f"test_debug_flags: there is no {sample}"
    checks = row["test_debug_checks"]
    exists = re.search(r"file_exists=\[([^]]*)\]", checks)
    if not exists or " " in exists[1]:
        yield "test_debug_checks: expected file_exists=[a,b,...] without blanks"
    if "train_log.txt" in checks and not re.search(
        r"performance_check=\[[^],]+, [^],]+, [<>=]=?-?\d+(\.\d+)?, epoch: -?\d+\]",
        checks,
    ):
        yield (
            "test_debug_checks: expected performance_check=[file, name, "
            ">=number, epoch: number]"
        )


def yaml_problems(root, run_options=()):
    """Keys of the YAMLs that neither the script nor a later line uses.

    Arguments
    ---------
    root : str or Path
        The repository.
    run_options : tuple of str
        Keys that SpeechBrain itself uses.

    Returns
    -------
    list of str
        A line for each problem.
    """
    problems = []
    for row in rows_of(root):
        path = Path(root) / row["Hparam_file"]
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        script = (Path(root) / row["Script_file"]).read_text(encoding="utf-8")
        for match in re.finditer(r"^(\w+):(.*)$", text, re.M):
            key, value = match.groups()
            if key in run_options or value.lstrip().startswith("!apply"):
                continue
            if f"<{key}>" in text[match.end() :]:
                continue
            # hparams[f"n_{split}"]: the beginning of a key.
            begins = re.findall(r'\[f"(\w+)\{\w+\}"\]', script)
            if re.search(USES.format(key), script) or any(
                key.startswith(begin) for begin in begins
            ):
                continue
            problems.append(f"{row['Hparam_file']}: nothing uses the key {key}")
        for key in re.findall(r"^(\w+): !PLACEHOLDER", text, re.M):
            if key not in ("data_folder", "output_folder"):
                problems.append(f"{row['Hparam_file']}: {key} has no value")
    return problems
