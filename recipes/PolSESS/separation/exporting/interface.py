"""The Python file by which SpeechBrain loads a network that it does not have.

speechbrain.inference.interfaces.foreign_class takes it from the folder of an export.

Authors
 * The PolSESS recipe team 2026
"""

import ast
import inspect
from importlib import import_module

HEAD = '''"""{name} for SpeechBrain, made by export.py of the PolSESS recipe.

> from speechbrain.inference.interfaces import foreign_class
> model = foreign_class(source="this/folder", pymodule_file="{file}")

Licensed under Apache-2.0.
"""

from speechbrain.inference.separation import SepformerSeparation


class CustomInterface(SepformerSeparation):
    """Separates [batch, time] into [batch, time, source]."""
'''
MAPPING = '''
    MODULES_NEEDED = ["network"]

    def separate_batch(self, mix):
        """Estimates the sources of mixtures."""
        return self.mods.network(mix.to(self.device))
'''


def interface_name(network):
    """Names the file; two networks in one process need different names.

    Arguments
    ---------
    network : networks.registry.Network
        Its entry in the registry.

    Returns
    -------
    str
        Name of the file.
    """
    return f"custom_{network.builder.split('.')[-2]}.py"


def interface_text(network):
    """Joins the interface with the code of a network.

    Arguments
    ---------
    network : networks.registry.Network
        Its entry in the registry.

    Returns
    -------
    str
        Python code that imports nothing of the recipe.
    """
    head = HEAD.format(name=network.name, file=interface_name(network))
    head += MAPPING * (not network.is_mask)
    sources = _sources(network.builder.rpartition(".")[0])
    text = "\n\n".join([head, *sources.values()])
    names = [
        node.name
        for node in ast.parse(text).body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef))
    ]
    assert len(set(names)) == len(names), names
    return text


def _sources(module):
    """Module -> its code without imports of the recipe, in order of need.

    All come into one namespace, so that their names must differ.
    """
    sources = {}
    text = inspect.getsource(import_module(module))
    lines = text.splitlines()
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom) and "networks" in (
            node.module.split(".")
        ):
            sources.update(_sources(node.module))
            for number in range(node.lineno - 1, node.end_lineno):
                lines[number] = ""
    sources[module] = "\n".join(lines) + "\n"
    return sources
