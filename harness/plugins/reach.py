"""What code a module can reach: followed through its imports, without running any of it."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from pathlib import Path

from avbench.harness.errors import MethodError

_PACKAGE_MAKER = re.compile(rb"(?<![.\w])__path__|__path__\s*=(?!=)")
"""What makes a package of a module; to read another's ``__path__`` does not."""


def reachable(start: Iterable[str], own: Callable[[str], bool]) -> tuple[dict[str, Path], set[str]]:
    """The files of the modules that ``own`` admits, by name, and the top-level names of all others.

    Where a module of a package other than avbench is reached, all modules of that package are: there are too many ways
    to load one without an import that names it. Packages above a module count as imported, as Python imports them.
    Raises :class:`MethodError` for a module without a file that can be read: bytecode alone, an archive, or one made in
    memory.
    """
    found: dict[str, Path] = {}
    foreign: set[str] = set()
    seen: set[str] = set()
    waiting = list(start)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if not own(name):
            foreign.add(name.partition(".")[0])
            continue
        spec = _spec(name)
        if spec is None:
            continue
        waiting.extend(_parents(name))
        file = _file(spec)
        if file is None:
            continue
        found[name] = file
        if file.suffix == ".py":
            waiting.extend(_imports(file, spec))
        if not name.startswith("avbench."):
            waiting.extend(_beside(file, spec))
    return found, foreign


def regular_root(name: str, path: Path) -> Path | None:
    """The folder of the topmost regular package that holds a module; None for a module in none."""
    root = None
    for folder in path.parents[: name.count(".") + path.name.startswith("__init__.")]:
        if (folder / "__init__.py").is_file():
            root = folder
    return root


def name_of(root: Path, name: str, path: Path) -> str:
    """The package that a folder above a module is."""
    depth = name.count(".") + path.name.startswith("__init__.")
    return ".".join(name.split(".")[: depth - path.parents.index(root)])


def module_of(path: Path) -> tuple[str, ...]:
    """The names that lead to a module, from the path of its file below where they begin."""
    names = path.with_suffix("").parts
    return names[:-1] if names[-1] == "__init__" else names


def files_below(root: Path) -> list[Path]:
    """All files in a folder, in order, also those that a link leads to; of folders that hold each other none twice."""
    found, entered = [], set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        found += [Path(folder, file) for file in files]
    return sorted(found)


def _parents(name: str) -> Iterator[str]:
    while name := name.rpartition(".")[0]:
        yield name


def file_of(name: str) -> Path:
    """The file of a module, which is not run. Raises :class:`MethodError` where it has none."""
    spec = _spec(name)
    if spec is None or (file := _file(spec)) is None:
        raise MethodError(f"module {name!r} has no file")
    return file


def _spec(name: str) -> ModuleSpec | None:
    """None for a name that is imported from a module but is no module."""
    above = name.rpartition(".")[0]
    parent = None
    if above and above not in sys.modules:  # found out without running any of it
        parent = _spec(above)
        if parent is None or _is_plain(parent):
            return None
    try:
        if parent is not None:
            if parent.submodule_search_locations is None:
                raise MethodError(f"module {above!r} makes itself a package: its code cannot be identified")
            places = list(parent.submodule_search_locations)
            found = (finder.find_spec(name, places) for finder in sys.meta_path)
            try:
                return next((spec for spec in found if spec is not None), None)
            except KeyError:  # a namespace package asks the one above it, which is not imported
                return _namespace(name, places)
        return importlib.util.find_spec(name)
    except MethodError:
        raise
    except ModuleNotFoundError:
        return None
    except ValueError:
        raise MethodError(f"module {name!r} was made in memory: its code cannot be identified") from None
    except Exception as error:
        raise MethodError(f"module {name!r} cannot be found: {type(error).__name__}: {error}") from None


def _namespace(name: str, places: Iterable[str]) -> ModuleSpec:
    """A package without ``__init__.py`` in folders of that name."""
    spec = ModuleSpec(name, None, is_package=True)
    folders = (Path(place, name.rpartition(".")[2]) for place in places)
    spec.submodule_search_locations = [str(folder) for folder in folders if folder.is_dir()]
    return spec


def _is_plain(spec: ModuleSpec) -> bool:
    """Whether a module is no package, and does not make itself one."""
    file = Path(spec.origin or "")
    if spec.submodule_search_locations is not None:
        return False
    extension = file.name.endswith(tuple(EXTENSION_SUFFIXES))
    return extension or (file.suffix == ".py" and not _PACKAGE_MAKER.search(file.read_bytes()))


def _file(spec: ModuleSpec) -> Path | None:
    """The file of a module; None for a namespace package, which has none."""
    if spec.origin is None and spec.submodule_search_locations is not None:
        return None
    file = Path(spec.origin or "")
    if not spec.has_location or not file.is_file() or not spec.origin.endswith((".py", *EXTENSION_SUFFIXES)):  # type: ignore[union-attr]
        raise MethodError(
            f"module {spec.name!r} has no source to identify it by ({spec.origin or 'no file'}); install it as source"
        )
    return file


def _imports(file: Path, spec: ModuleSpec) -> set[str]:
    """The names that a module imports, modules or not; none of what is not Python: nobody can import that."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return set()
    is_package = spec.submodule_search_locations is not None
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = spec.name.split(".")[: len(spec.name.split(".")) - node.level + is_package]
                base = ".".join([*parents, base] if base else parents)
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return names


def _beside(file: Path, spec: ModuleSpec) -> Iterator[str]:
    """All modules of the topmost regular package that holds a module, or of its part of a namespace package."""
    depth = spec.name.count(".") + (spec.submodule_search_locations is not None)
    root = regular_root(spec.name, file) or (file.parents[depth - 1] if depth else None)
    if root is None:
        return
    package = name_of(root, spec.name, file)
    for path in files_below(root):
        if path.suffix == ".py":
            yield ".".join([package, *module_of(path.relative_to(root))])
