"""Derives what goes to SpeechBrain from the working tree, mechanically.

The files that train and test (tier 1) are copied. On the way, the blocks between
the lines ``# local: begin`` and ``# local: end`` are dropped (in Markdown these
are comments, ``<!-- local: begin -->``), and a YAML line such as
``!new:ours.Net # upstream: theirs.Net`` takes the class that its comment names; a
comment that is a tag, such as ``# upstream: !new``, replaces the tag alone, and one
without a dot, such as ``# upstream: fp32``, or with tag and name, the whole value.
A file whose first line is ``# local: file`` stays here.

Authors
 * The PolSESS recipe team 2026
"""

import ast
import csv
import io
import re
import shutil

RECIPE = "recipes/PolSESS"
SEPARATION = f"{RECIPE}/separation"
TABLE = "tests/recipes/PolSESS.csv"
SAMPLES = "tests/samples/PolSESS"
REQUIREMENTS = f"{RECIPE}/extra_requirements.txt"
LINKS = tuple(
    f"{SEPARATION}/{name}.py" for name in ("paths", "prepare_polsess")
)
TIER_1 = (
    f"{RECIPE}/paths.py",
    f"{RECIPE}/prepare_polsess.py",
    *(
        f"{SEPARATION}/{name}.py"
        for name in (
            "train variants mixtures separator losses metrics scoring summary"
        ).split()
    ),
)
READMES = (f"{RECIPE}/README.md", f"{SEPARATION}/README.md")
# Mixtures of the samples that go along: a small part, to stay below 1 MB.
SAMPLE_ROWS = {
    "train": ("indoor", "outdoor"),
    "val": ("outdoor",),
    "test": ("indoor", "outdoor"),
}

MARKER = re.compile(r"\s*(?:#|<!--) local: (begin|end|file)\b")
CLASS = re.compile(
    r"(!(?:new|name|apply):)[\w.]+(.*?) +# upstream: (\w+\.[\w.]+)$"
)
TAG = re.compile(r"!\w+:([\w.]+) +# upstream: (!\w+)$")
VALUE = re.compile(r"(: ).* # upstream: ([\w-]+|!\w+:[\w.]+)$")


def derive(text, name):
    """Drops the local blocks of a file and swaps its classes.

    Arguments
    ---------
    text : str
        Content of a Python, YAML or Markdown file.
    name : str
        Its path, for errors.

    Returns
    -------
    str or None
        What goes upstream; None for a file that stays here.

    Raises
    ------
    ValueError
        If the markers are not balanced, or nested.

    Example
    -------
    >>> derive(
    ...     "a: 1\\n# local: begin\\nb: 2\\n# local: end\\nc: 3\\n", "x.yaml"
    ... )
    'a: 1\\nc: 3\\n'
    >>> derive("net: !new:fast.Net # upstream: slow.Net\\n", "x.yaml")
    'net: !new:slow.Net\\n'
    >>> derive("f: !apply:a.find [b] # upstream: !name:a.b\\n", "x.yaml")
    'f: !name:a.b\\n'
    >>> derive("block: !name:a.Block # upstream: !new\\n", "x.yaml")
    'block: !new:a.Block\\n'
    """
    lines = text.splitlines()
    kept, begin, after_block = [], None, False
    for number, line in enumerate(lines, start=1):
        found = MARKER.match(line)
        kind = found[1] if found else None
        if kind == "file" and number == 1:
            return None
        if kind and (kind == "file" or (kind == "begin") != (begin is None)):
            raise ValueError(
                f"{name}:{number}: '# local: {kind}' without its counterpart; "
                "expected pairs of begin and end that are not nested"
            )
        if kind:
            begin = number if kind == "begin" else None
            after_block = True
        elif begin is None:
            is_blank = not line.strip()
            # A block leaves no double gap.
            if is_blank and after_block and (not kept or not kept[-1].strip()):
                continue
            after_block = False
            line = TAG.sub(r"\2:\1", CLASS.sub(r"\1\3\2", line))
            kept.append(VALUE.sub(r"\1\2", line))
    if begin is not None:
        raise ValueError(
            f"{name}:{begin}: '# local: begin' is never ended; add a line "
            "'# local: end'"
        )
    return "\n".join(kept).rstrip("\n") + "\n"


def imported(text):
    """Top-level modules that Python code imports, inside functions too.

    Example
    -------
    >>> sorted(imported("import os.path\\ndef f():\\n    from a.b import c"))
    ['a', 'os']
    """
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.split(".")[0])
    return names


def needed_requirements(text, modules):
    """The lines of a requirements file whose package is among the modules.

    Example
    -------
    >>> needed_requirements("jinja2>=3.0\\npesq>=0.0.4\\n", {"os", "pesq"})
    'pesq>=0.0.4\\n'
    """
    lines = text.splitlines(keepends=True)
    return "".join(x for x in lines if re.match(r"[\w-]*", x)[0] in modules)


def derive_table(text, files):
    """The rows of the table of recipes whose YAML goes upstream."""
    reader = csv.DictReader(io.StringIO(text))
    out = io.StringIO()
    writer = csv.DictWriter(out, reader.fieldnames, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row for row in reader if row["Hparam_file"] in files)
    return out.getvalue()


def copy_samples(source, target):
    """Copies the first mixtures of each setting, with metadata for them alone.

    Arguments
    ---------
    source : Path
        The sample corpus.
    target : Path
        Where its part goes.
    """
    for split, settings in SAMPLE_ROWS.items():
        (path,) = (source / split).glob("corpus_*.csv")
        with open(path, encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        reverb = header.index("reverbForSpeaker1")
        setting_of = {
            "indoor" if row[reverb].endswith(".wav") else "outdoor": row
            for row in reversed(rows)
        }
        kept = [setting_of[setting] for setting in settings]
        (target / split).mkdir(parents=True)
        with open(
            target / split / path.name, "w", encoding="utf-8", newline=""
        ) as file:
            csv.writer(file, lineterminator="\n").writerows([header, *kept])
        names = {cell for row in kept for cell in row}
        for wav in (source / split).rglob("*.wav"):
            if wav.name in names:
                copied = target / wav.relative_to(source)
                copied.parent.mkdir(exist_ok=True)
                shutil.copy(wav, copied)


def build_tree(project, tree):
    """Writes what goes upstream into a folder, which is emptied first.

    Arguments
    ---------
    project : Path
        A working tree of this repository.
    tree : Path
        Where the files go, under their paths in SpeechBrain.

    Returns
    -------
    list of str
        Their paths, sorted; the samples included.

    Raises
    ------
    ValueError
        If markers are not balanced, or what goes upstream holds one still.
    """
    shutil.rmtree(tree, ignore_errors=True)
    yamls = sorted((project / SEPARATION / "hparams").glob("*.yaml"))
    names = [*TIER_1, *READMES]
    names += [str(path.relative_to(project)) for path in yamls]
    texts = {}
    for name in names:
        text = derive((project / name).read_text(encoding="utf-8"), name)
        if text is not None:
            texts[name] = text
    modules = set().union(*(imported(texts[name]) for name in TIER_1))
    requirements = (project / REQUIREMENTS).read_text(encoding="utf-8")
    texts[REQUIREMENTS] = needed_requirements(requirements, modules)
    table = (project / TABLE).read_text(encoding="utf-8")
    texts[TABLE] = derive_table(table, texts)
    for name, text in texts.items():
        if re.search(r"(#|<!--) (local|upstream):", text):
            raise ValueError(f"{name}: a marker is left; check its spelling")
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text, encoding="utf-8")
    for link in LINKS:
        (tree / link).symlink_to(f"../{link.rpartition('/')[2]}")
    copy_samples(project / SAMPLES, tree / SAMPLES)
    files = (path for path in tree.rglob("*") if not path.is_dir())
    return sorted(str(path.relative_to(tree)) for path in files)


def count_lines(tree):
    """Lines of the derived files; samples and the link do not count."""
    return sum(
        len(path.read_text(encoding="utf-8").splitlines())
        for path in tree.rglob("*.*")
        if path.is_file()
        and not path.is_symlink()
        and "samples" not in path.relative_to(tree).parts
    )
