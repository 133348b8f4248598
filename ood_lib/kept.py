"""Is a kept result still current? It is kept under the digest of all that decided it.

The caller names what decides: settings, images, weights, and the functions and classes that act.

    path = folder / f"segments-{digest(threshold, model, dataset, segment_metrics)}.parquet"

Only an edit of what acts makes a result outdated (`ood_lib.acting_code`).
"""

import ast
import hashlib
import warnings
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path, PurePath
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ood_lib.acting_code import describe_definition, is_docstring, is_installed, unwrap
from ood_lib.files import atomic_path

_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_KEEPING = (__name__, "ood_lib.acting_code", "ood_lib.files")  # results, and decide none


def digest(*deciding: Any) -> str:
    """16 hexadecimal digits that change with anything given here, and with the code it leads to.

    Takes plain values, arrays, tensors, containers (a list and a tuple are alike), dataclasses,
    settings, functions, classes, networks, and objects with a representation of their own, or with
    a method ``what_decides`` that gives one of the former. ValueError for what cannot be told from
    another of its kind: a lambda, a function inside of a function, an object without either.
    """
    describer = _Describer()
    description = describer.describe(deciding)
    return _hash(["\n".join([description, *describer.definitions.values()]).encode()])


def weights_digest(network: Any) -> str:
    """The digest of a network's parameters and buffers, also of those that it does not save."""
    weights = dict(network.named_parameters()) | dict(network.named_buffers())
    return _hash(name.encode() + _bytes(weights[name]) for name in sorted(weights))


def files_digest(paths: Iterable[Path]) -> str:
    """The digest of files by place, size and time of the last change, so that new ones are seen."""
    states = {path.absolute(): path.stat() for path in paths}
    lines = [f"{path} {state.st_size} {state.st_mtime_ns}\n" for path, state in states.items()]
    return _hash(["".join(lines).encode()])


def code_digest(path: Path) -> str:
    """Changes with what a Python file does, also with what nobody calls; not with its words."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(getattr(node, "body", None), list):
            node.body = [part for part in node.body if not is_docstring(part)]
    return _hash([ast.dump(tree).encode()])


def write_table(table: Any, path: Path) -> None:
    """Keep a ``pandas.DataFrame`` or ``pyarrow.Table`` as Parquet with checksums."""
    import pyarrow as pa  # late, for a second's sake, as nothing else here needs it
    import pyarrow.parquet as pq

    if not isinstance(table, pa.Table):
        table = pa.Table.from_pandas(table, preserve_index=False)
    with atomic_path(path) as aside:
        pq.write_table(table, aside, compression="zstd", write_page_checksum=True)


def read_table(path: Path, check: Callable[[Any], Any] = lambda table: table) -> Any:
    """What ``check`` makes of the ``pyarrow.Table`` that was kept; None if there is none.

    None also, with a warning, for a file that is damaged, or that ``check`` refuses.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        return None
    try:
        return check(pq.read_table(path, page_checksum_verification=True))
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        warnings.warn(f"{path} is damaged ({reason}); it is made again.", stacklevel=3)
        return None


class _Describer:
    """Describes values as text, and collects the definitions to which they lead, each once."""

    def __init__(self) -> None:
        self.definitions: dict[Any, str] = {}
        """What each does. Another one is called by its place in this order, whatever its name."""

    def describe(self, value: Any) -> str:
        """A text that is equal for values that decide alike."""
        if isinstance(value, type | FunctionType) or hasattr(value, "__wrapped__"):
            return self._define(unwrap(value))
        if hasattr(value, "what_decides"):
            return self.describe((type(value), value.what_decides()))
        if isinstance(value, np.generic):  # a number of NumPy's is a number
            value = value.item()
        if isinstance(value, _PLAIN):
            return repr(value)
        if isinstance(value, list | tuple):
            return f"[{', '.join(map(self.describe, value))}]"
        if isinstance(value, dict):
            items = sorted((self.describe(key), self.describe(own)) for key, own in value.items())
            return f"{{{', '.join(f'{key}: {own}' for key, own in items)}}}"
        if isinstance(value, set | frozenset):
            return f"{{{', '.join(sorted(map(self.describe, value)))}}}"
        if isinstance(value, np.ndarray) and value.dtype.hasobject:
            return self.describe(value.tolist())
        if isinstance(value, np.ndarray) or hasattr(value, "detach"):
            return _hash([_bytes(value)])
        return self._describe_object(value)

    def _describe_object(self, value: Any) -> str:
        if isinstance(value, PurePath | ModuleType):
            return str(getattr(value, "__name__", value))
        if isinstance(value, BuiltinFunctionType):
            return f"{value.__module__}.{value.__qualname__}"
        if isinstance(value, MethodType):
            return self.describe((value.__func__, value.__self__))
        if isinstance(value, partial):
            return self.describe((value.func, value.args, value.keywords))
        if is_dataclass(value):
            held = {field.name: getattr(value, field.name) for field in fields(value)}
            return self.describe((type(value), held))
        if hasattr(value, "model_dump"):  # of pydantic
            return self.describe((type(value), value.model_dump()))
        if hasattr(value, "named_parameters"):
            return self._describe_module(value)
        if hasattr(value, "get_params"):  # of scikit-learn
            return self.describe((type(value), value.get_params(deep=False)))
        if hasattr(value, "to_dict"):  # of pandas, whose own representation leaves out rows
            return self.describe(value.to_dict())
        shown = repr(value)
        if type(value).__repr__ is object.__repr__ or " at 0x" in shown:
            raise ValueError(_refusal(shown))
        return f"{self._define(type(value))} {shown}"

    def _describe_module(self, module: Any) -> str:
        """A network: kinds of layers, their plain attributes, all weights; else all it holds."""
        held = [_held(part) for part in module.modules()]
        if next(module.parameters(), None) is None:
            return self.describe((type(module), held[0], dict(module.named_children())))
        plain = [{name: own for name, own in each.items() if _is_plain(own)} for each in held]
        kinds = dict.fromkeys(type(part) for part in module.modules())
        return self.describe((list(kinds), repr(module), plain, weights_digest(module)))

    def _define(self, thing: type | FunctionType) -> str:
        """The place of a definition of our own; the name of one of an installed package."""
        name = f"{thing.__module__}.{thing.__qualname__}"
        if name.startswith("tqdm."):
            return "tqdm"  # whose bar is of another class in a notebook
        if thing.__module__ in _KEEPING or is_installed(thing):
            return name
        code = getattr(thing, "__code__", None)
        if "<" in name + getattr(code, "co_qualname", ""):
            raise ValueError(_refusal(name))  # <lambda>, or in the <locals> of another function
        if thing not in self.definitions:
            self.definitions[thing] = ""  # before its own text, which may lead back here
            self.definitions[thing] = describe_definition(thing, self.describe)
        return f"#{list(self.definitions).index(thing)}"


def _held(module: Any) -> dict[str, Any]:
    """A module's own attributes, without those that change nothing of what it computes."""
    of_any_module = {"training", "gradient_checkpointing", *vars(type(module).__mro__[-2]())}
    return {name: own for name, own in vars(module).items() if name not in of_any_module}


def _is_plain(value: Any) -> bool:
    """Whether it is a number, a text, None, or made of such."""
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, _PLAIN)


def _bytes(values: Any) -> bytes:
    """Type, shape and numbers of an array or tensor, also of types that NumPy does not know."""
    about = f"{values.dtype} {tuple(values.shape)} ".encode()
    if hasattr(values, "detach"):
        values = values.detach().cpu().flatten().contiguous()
        values = values.view(values.new_empty(0).byte().dtype).numpy()
    return about + values.tobytes()


def _hash(parts: Iterable[bytes]) -> str:
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(part)
    return hashed.hexdigest()[:16]


def _refusal(shown: str) -> str:
    return (f"{shown} has no name by which a result could be kept, for others look the same. "
            "Define it with def or class at the top of a module, or leave checkpoint out.")
