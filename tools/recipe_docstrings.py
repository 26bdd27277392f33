"""SpeechBrain's format of docstrings, checked on the syntax tree.

Authors
 * The PolSESS recipe team 2026
"""

import ast
import re
from pathlib import Path

from recipe_rules import RECIPE

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SECTION = re.compile(r"^ *(Arguments|Returns|Yields|Raises|Example)\s*$")


def docstring_problems(root, folder=RECIPE):
    """Missing or incomplete docstrings of a folder.

    Every module, class and function has one, functions inside of functions too;
    only names that begin with an underscore may do without, unless they are
    nested. One with several paragraphs that has arguments names all of them.

    Arguments
    ---------
    root : str or Path
        The repository.
    folder : str
        Where the modules are.

    Returns
    -------
    list of str
        A line for each problem.
    """
    problems = []
    for path in sorted((Path(root) / folder).rglob("*.py")):
        if path.is_symlink() or "__pycache__" in path.parts:
            continue
        name = path.relative_to(root)
        text = path.read_text(encoding="utf-8")
        problems += [f"{name}: {p}" for p in module_problems(text)]
    return problems


def module_problems(text):
    """What is wrong with the docstrings of a module.

    Arguments
    ---------
    text : str
        Its source.

    Returns
    -------
    list of str
        A line for each problem.

    Example
    -------
    >>> module_problems("def of(x):\\n    return x\\n")
    ['no docstring that begins it', 'of has no docstring']
    """
    tree = ast.parse(text)
    if not text:
        return []
    problems = []
    if not ast.get_docstring(tree):
        problems.append("no docstring that begins it")
    for node, is_nested in _definitions(tree, False):
        if node.name.startswith("_") and not is_nested:
            continue
        docstring = ast.get_docstring(node)
        if not docstring:
            problems.append(f"{node.name} has no docstring")
        elif isinstance(node, FUNCTIONS):
            problems += [
                f"{node.name}: {problem}"
                for problem in _section_problems(node, docstring)
            ]
    return problems


def _definitions(node, in_function):
    """Yields functions and classes, and whether a function holds them."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (*FUNCTIONS, ast.ClassDef)):
            yield child, in_function
        inside = in_function or isinstance(child, FUNCTIONS)
        yield from _definitions(child, inside)


def _section_problems(node, docstring):
    """What is wrong with the sections of a docstring."""
    lines = docstring.splitlines()
    titles = {}
    for number, line in enumerate(lines):
        match = SECTION.match(line)
        if not match:
            continue
        titles[match[1]] = number
        below = lines[number + 1] if number + 1 < len(lines) else ""
        if below.strip() != "-" * len(match[1]):
            yield f"{match[1]} is not underlined by as many dashes"
        if number == 0 or lines[number - 1].strip():
            yield f"there is no empty line before {match[1]}"
    arguments = _arguments(node)
    if "Arguments" in titles:
        begin = titles["Arguments"] + 2
        ends = [n for n in titles.values() if n > begin] + [len(lines)]
        named = re.findall(
            r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: ?:.*)?$",
            "\n".join(lines[begin : min(ends)]),
            re.M,
        )
        named = ", ".join(named).replace("*", "").split(", ")
        if sorted(named) != sorted(arguments):
            yield f"the arguments are {arguments}, the docstring has {named}"
    if len(lines) > 1 and arguments and "Arguments" not in titles:
        if {"Returns", "Yields"} & titles.keys() or len(arguments) > 2:
            yield "there is no section Arguments"
    if "Arguments" in titles and _returns_value(node):
        if not {"Returns", "Yields"} & titles.keys():
            yield "there is no section Returns"


def _arguments(node):
    """Names of the arguments, without self and cls."""
    given = node.args
    names = [a.arg for a in given.posonlyargs + given.args]
    names += [given.vararg.arg] if given.vararg else []
    names += [a.arg for a in given.kwonlyargs]
    names += [given.kwarg.arg] if given.kwarg else []
    return [name for name in names if name not in ("self", "cls")]


def _returns_value(node):
    """Whether a function returns something, nested ones left out."""
    pending = list(node.body)
    while pending:
        current = pending.pop()
        if isinstance(current, (*FUNCTIONS, ast.ClassDef, ast.Lambda)):
            continue
        if isinstance(current, ast.Return) and current.value is not None:
            return True
        pending += ast.iter_child_nodes(current)
    return False
