"""What a field means, read from the text below it in the source, as pydantic's `use_attribute_docstrings` does.

Pydantic finds the text of each class by walking the stack, through all modules of the process where the class was
made by a call: the better part of a second in every process of the service. Here each source is read once.
"""

import ast
import functools
import inspect
import itertools
import sys
from collections.abc import Iterator, Mapping

__all__ = ["descriptions"]


def descriptions(of: type) -> Mapping[str, str]:
    """Give the texts that stand below a class's own attributes, by the attributes' names.

    Empty for a class that is not written down in its module, as one that a function makes.
    """
    return _of_module(of.__module__).get(of.__qualname__, {})


@functools.cache
def _of_module(name: str) -> Mapping[str, Mapping[str, str]]:
    try:
        source = inspect.getsource(sys.modules[name])
    except (
        KeyError,
        OSError,
        TypeError,
    ):  # Typed into a console, or without its source: then there is no text.
        return {}
    return dict(_of_classes(ast.parse(source), within=""))


def _of_classes(node: ast.AST, *, within: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield within + child.name, dict(_below_attributes(child))
            yield from _of_classes(child, within=f"{within}{child.name}.")
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _of_classes(child, within=f"{within}{child.name}.<locals>.")
        elif isinstance(child, ast.stmt):
            yield from _of_classes(child, within=within)


def _below_attributes(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for attribute, below in itertools.pairwise(node.body):
        match attribute, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, inspect.cleandoc(text)
