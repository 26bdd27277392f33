"""Which files of the recipe name which, so that none is missing or idle.

Authors
 * The PolSESS recipe team 2026
"""

import ast
import functools
import os
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

from recipe_rules import FILE_COLUMNS, RECIPE, TABLE, files_of, rows_of

SEPARATION = f"{RECIPE}/separation"
FILE_NAME = re.compile(r"[\w*./-]+\.(py|yaml|txt|csv|html|jinja|md)")
# What runs write, and files of users.
WRITTEN = re.compile(r"CKPT|hyperparams|my_module|/")


def missing(root):
    """Files of the recipe that its files name, and that are not there.

    Arguments
    ---------
    root : str or Path
        The repository.

    Returns
    -------
    list of str
        A line for each of them.
    """
    files = set(files_of(root))
    return sorted(
        f"{source} names {target}, which is not there"
        for source, target in references(root)
        if target.startswith(RECIPE) and target not in files
    )


def idle(root):
    """Files that no other file names: their loss would go unnoticed.

    Arguments
    ---------
    root : str or Path
        The repository.

    Returns
    -------
    list of str
        A line for each of them.
    """
    named = {target for source, target in references(root) if source != target}
    return sorted(
        f"{name} is named nowhere"
        for name in files_of(root)
        if name.startswith(RECIPE) and name not in named
    )


def outward_links(root, files):
    """What READMEs refer to that is not handed over: links, targets of make.

    Arguments
    ---------
    root : str or Path
        The repository.
    files : list of str
        What is handed over.

    Returns
    -------
    list of str
        A line for each of them.
    """
    problems = []
    for name in files:
        if not name.endswith(".md"):
            continue
        for link in _links(Path(root) / name):
            target = os.path.normpath(os.path.join(Path(name).parent, link))
            inside = [f for f in files if f == target or f.startswith(target)]
            if not inside:
                problems.append(f"{name}: the link {link} leads nowhere")
        text = (Path(root) / name).read_text(encoding="utf-8")
        for target in re.findall(r"`(make \w+)`", text):
            problems.append(f"{name}: `{target}` is of this repository alone")
    return problems


def references(root):
    """All (file, file that it names), paths from the root, existing or not.

    Arguments
    ---------
    root : str or Path
        The repository.

    Returns
    -------
    set of tuple
        Pairs of str.
    """
    root = Path(root).resolve()
    found = set()
    for row in rows_of(root):
        found |= {(TABLE, row[column]) for column in FILE_COLUMNS}
    for name in files_of(root):
        if not name.startswith(RECIPE):
            continue
        path = root / name
        targets = set()
        if path.is_symlink():
            targets.add(_target_of_link(path))
        if name.endswith(".py") and path.is_file():
            targets |= _imported(root, path) | set(_opened(path))
        elif name.endswith(".yaml"):
            targets |= _configured(root, path)
        elif name.endswith(".md"):
            targets |= _mentioned(root, path)
        for target in targets:
            found |= {(name, step) for step in _steps(root, target)}
    return found


def _target_of_link(path):
    """What a link leads to; of a folder, the file that makes it a package."""
    target = path.parent / os.readlink(path)
    return target / "__init__.py" if target.is_dir() else target


def _steps(root, path):
    """The path and the links to folders on its way, as text from the root."""
    path = Path(os.path.normpath(path))
    for parent in path.parents:
        if parent.is_symlink():
            yield str(parent.relative_to(root))
            path = parent.resolve() / path.relative_to(parent)
    yield os.path.relpath(path, root)


def _imported(root, path):
    """Modules of the recipe that a module imports.

    One that is neither in the recipe nor installed counts as one of the recipe.
    """
    names = set()
    for node in _nodes(path.read_text(encoding="utf-8")):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module)
    in_separation = path.parent == root / SEPARATION
    home = root / (SEPARATION if in_separation else RECIPE)
    return {file for name in names for file in _files_of_module(home, name)}


def _configured(root, path):
    """Modules of the recipe of which a YAML makes something."""
    text = path.read_text(encoding="utf-8")
    names = set(re.findall(r"!(?:new|name|apply|module):([\w.]+)\.\w+", text))
    home = root / SEPARATION
    return {file for name in names for file in _files_of_module(home, name)}


def _files_of_module(home, name):
    """Where a module is, or should be; nothing if it is not of the recipe."""
    first, *inner = name.split(".")
    package = home / first
    if package.is_dir():
        files = [package / "__init__.py"]
        if inner:
            files.append(package.joinpath(*inner).with_suffix(".py"))
        return files
    module = package.with_suffix(".py")
    if module.is_symlink() or module.is_file():
        return [module]
    if first in sys.stdlib_module_names or first in _installed():
        return []
    return [package if inner else module]


@functools.cache
def _nodes(text):
    """All nodes of a module's syntax tree."""
    return list(ast.walk(ast.parse(text)))


@functools.cache
def _installed():
    """Names of the modules that packages provide."""
    return set(packages_distributions())


def _opened(path):
    """Files beside a module that it reads or starts."""
    for node in _nodes(path.read_text(encoding="utf-8")):
        name = None
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            left = {n.id for n in ast.walk(node.left) if hasattr(n, "id")}
            name = node.right if left & {"HERE", "__file__"} else None
        elif isinstance(node, ast.Call) and node.args:
            method = getattr(node.func, "attr", "")
            if method in ("with_name", "get_template"):
                name = node.args[0]
        if isinstance(name, ast.Constant) and FILE_NAME.fullmatch(name.value):
            yield path.resolve().parent / name.value


def _links(path):
    """Relative links of a README."""
    links = re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8"))
    return [link for link in links if ":" not in link]


def _mentioned(root, path):
    """Files that a README links to, or names in its commands and tables."""
    targets = {path.parent / link for link in _links(path)}
    text = path.read_text(encoding="utf-8")
    marked = re.findall(r"```bash\n(.*?)```|`([^`\n]+)`", text, re.S)
    words = {word for pair in marked for part in pair for word in part.split()}
    folders = [path.parent, root / RECIPE, root / SEPARATION]
    folders += [folders[2] / "hparams", folders[1] / "simulate"]
    for word in words:
        if not FILE_NAME.fullmatch(word) or WRITTEN.match(word):
            continue
        found = {f for folder in folders for f in folder.glob(word)}
        if not found and word.endswith((".py", ".yaml", "requirements.txt")):
            found = {path.parent / word}
        targets |= found
    return targets
