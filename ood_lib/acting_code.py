"""What code does, as text: equal for definitions that differ in words, names and places alone.

A definition counts together with all definitions of this library, or of the reader's own files, to
which its names lead. Of installed packages only the name counts. What does not act is left out:
comments, docstrings, annotations, imports, the words of errors, names of local variables, and the
names and files of the definitions themselves.
"""

import ast
import importlib
import inspect
import sysconfig
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from types import FunctionType, ModuleType
from typing import Any

LIBRARY = __name__.partition(".")[0]
Definition = type | FunctionType
Describe = Callable[[Any], str]  # gives a text for whatever the code names

_INSTALLED = ("<frozen", *{sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})
# Fields of Python's syntax tree that decide nothing.
_SILENT = {"annotation", "returns", "ctx", "type_comment", "kind", "type_params"}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IMPORTS = (ast.Import, ast.ImportFrom)


def is_installed(thing: Definition) -> bool:
    """Whether it is of Python or of an installed package other than this library."""
    if thing.__module__.partition(".")[0] == LIBRARY:
        return False
    try:
        return inspect.getfile(thing).startswith(_INSTALLED)
    except (TypeError, OSError):  # built in, or a class of a notebook
        return thing.__module__ != "__main__"


def unwrap(thing: Any) -> Any:
    """The function that was decorated. A decorator's own definition is read where it is named."""
    while hasattr(thing, "__wrapped__"):
        code = getattr(thing, "__code__", None)
        if code is not None and not code.co_filename.startswith(_INSTALLED):
            return thing  # a closure of the reader's, which may do anything
        thing = thing.__wrapped__
    return thing


def describe_definition(thing: Definition, describe: Describe) -> str:
    """What a function or class does; ``describe`` is asked for all that its names stand for."""
    names = getattr(thing, "__globals__", None) or vars(importlib.import_module(thing.__module__))
    tree = _tree(thing)
    if tree is None:  # a class of a notebook: Python finds the source of its methods only
        parts = {name: part for name, part in vars(thing).items() if isinstance(part, FunctionType)}
        return describe((list(thing.__bases__), parts))
    tree.name = ""
    return _Reader(names, describe).read(tree, {})


@cache
def _tree(thing: Definition) -> Any:
    """The definition as Python reads it; None if its source is not to be had."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]
    except (OSError, TypeError):
        return None


class _Reader:
    """Reads code of one module, whose names it looks up."""

    def __init__(self, names: dict[str, Any], describe: Describe) -> None:
        self.names = names
        self.describe = describe

    def read(self, node: Any, local: dict[str, str]) -> str:
        """What a part of the syntax tree does; ``local`` variables are called by their numbers."""
        if isinstance(node, list):
            acting = [part for part in node if not is_docstring(part)]
            # Of an import only what it brings counts.
            acting = [part for part in acting if not isinstance(part, _IMPORTS)]
            return f"[{', '.join(self.read(part, local) for part in acting)}]"
        if not isinstance(node, ast.AST):
            return repr(node)
        if isinstance(node, ast.Name):
            return local.get(node.id) or self._of_module(node.id, [])
        root, path = _chain(node)
        if root not in local and isinstance(self.names.get(root), ModuleType):
            return self._of_module(root, path)
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            return f"raise {self.read(node.exc.func, local)}"
        if isinstance(node, _FUNCTIONS):
            bound = [name for name in dict.fromkeys(_bound_names(node)) if name not in local]
            local = local | {name: f"${len(local) + i}" for i, name in enumerate(bound)}
            reader = _Reader(self.names | _imports(node, self.names), self.describe)
            return reader._read_fields(node, local)
        return self._read_fields(node, local)

    def _read_fields(self, node: ast.AST, local: dict[str, str]) -> str:
        """The kind of the node and its parts, alike in all versions of Python."""
        shown = [
            f"{field}={self.read(value, local)}"
            for field, value in ast.iter_fields(node)
            if field not in _SILENT and value not in (None, [])
        ]
        return f"{type(node).__name__}({', '.join(shown)})"

    def _of_module(self, root: str, path: list[str]) -> str:
        """What a name of the module stands for, or ``root.path`` if the root is a module."""
        if root not in self.names:
            return root  # Python's own
        found = self.names[root]
        if isinstance(found, ModuleType) and found.__name__.partition(".")[0] != LIBRARY:
            return ".".join([found.__name__, *path])
        for name in path:
            found = getattr(found, name)
        return self.describe(found)


def is_docstring(node: Any) -> bool:
    """Whether a statement is nothing but a text."""
    text = node.value if isinstance(node, ast.Expr) else None
    return isinstance(text, ast.Constant) and isinstance(text.value, str)


def _chain(node: ast.AST) -> tuple[str, list[str]]:
    """Of ``a.b.c`` the name a and the path b, c; an empty name if it begins otherwise."""
    if isinstance(node, ast.Attribute):
        root, path = _chain(node.value)
        return root, [*path, node.attr]
    return (node.id if isinstance(node, ast.Name) else ""), []


def _bound_names(function: ast.AST) -> Iterator[str]:
    """The names to which a function gives values, in the order of their mention."""
    for node in ast.iter_child_nodes(function):
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, (*_DEFINITIONS, ast.ExceptHandler)) and node.name:
            yield node.name
        if not isinstance(node, (*_DEFINITIONS, ast.Lambda)):  # whose names are not the function's
            yield from _bound_names(node)


def _imports(function: ast.AST, names: dict[str, Any]) -> dict[str, Any]:
    """What the import statements inside of a function of that module bring, by name."""
    statements = [node for node in ast.walk(function) if isinstance(node, _IMPORTS)]
    found: dict[str, Any] = {}
    exec(compile(ast.Module(statements, []), "<imports>", "exec"), names, found)
    return found
