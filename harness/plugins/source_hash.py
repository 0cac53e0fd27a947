"""The code of a method: what decides whether a finished run still stands for the code at hand.

Counted are all modules of the method's own distribution and of those that its base classes and its options come from,
with the helpers of no distribution that they import, all other files in those packages, and the files that
:attr:`MethodInfo.files` names. Of avbench's own methods and what they share, the modules that are reached through
imports count. Other distributions count by their version, but for those that avbench itself needs (the record's
environment names torch). The harness does not count: a change there that can change a number is a new protocol version.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions, requires, version
from pathlib import Path
from types import MappingProxyType

from avbench.harness.contract.method import Method
from avbench.harness.errors import MethodError
from avbench.harness.plugins.reach import file_of, files_below, module_of, name_of, reachable, regular_root
from avbench.harness.plugins.registry import Registered
from avbench.harness.records.record import hash_of_code

METHODS = "avbench.methods"
"""avbench's own methods and what they share: the one part of avbench that counts as code of a method."""


def source_hash(registered: Registered) -> str:
    """SHA-256 over :func:`code_of`."""
    return hash_of_code(code_of(registered))


@cache
def code_of(registered: Registered) -> Mapping[str, str]:
    """The parts of a method's code by name, each with the SHA-256 of its content, or the version of a distribution.

    Raises :class:`MethodError` for code that cannot be identified.
    """
    method = registered.method
    if registered.loose:
        return MappingProxyType({method.__name__: _loose(method)})
    modules, foreign = modules_of(registered)
    parts = {name: _content(path) for name, path in modules.items()}
    for top in foreign - _counted_elsewhere():
        parts |= {name: version(name) for name in owners_of(top)}
    for root, files in _data(registered, modules).items():
        parts[f"{root} ({len(files)} other files)"] = hash_of_code(files)
    parts |= {f"file {file}": _named(method, file) for file in method.info.files}
    return MappingProxyType(dict(sorted(parts.items())))


@cache
def modules_of(registered: Registered) -> tuple[Mapping[str, Path], frozenset[str]]:
    """The files of the modules that count as code of an installed method, by name, and the top-level names of all
    others that those import.

    Raises :class:`MethodError` for code that cannot be identified.
    """
    method = registered.method
    start = set(registered.modules or start_of(method))
    if registered.module and registered.distribution != "avbench":
        start.add(registered.module)
    tops = {name.partition(".")[0] for name in start} - _counted_elsewhere()
    owners = {registered.distribution, *(d for name in start for d in _bringing(name))} - {"avbench"}

    def own(name: str) -> bool:
        top = name.partition(".")[0]
        if top == "avbench":
            return name == METHODS or name.startswith(f"{METHODS}.")
        if top in _counted_elsewhere():
            return False
        others = set(owners_of(top)) - owners
        if others and not owners.isdisjoint(owners_of(top)):  # a namespace package of several
            return not any(name in _listed_modules(other) for other in others)
        return top in tops or not others

    for owner in owners:
        start |= {top for top, its in _all_owners().items() if owner in its and not top.startswith("__editable__")}
        start |= _listed_modules(owner)
    modules, foreign = reachable(start, own)
    return MappingProxyType(modules), frozenset(foreign)


def named_files(registered: Registered) -> tuple[Path, ...]:
    """The files and folders that a method names as deciding its results."""
    return tuple(_placed(registered.method, file) for file in registered.info.files)


def _loose(method: type) -> str:
    """SHA-256 over the source of a class that no package brings. What else it uses is not known.

    Raises :class:`MethodError` where Python does not know the source, as of a class typed into the plain prompt.
    """
    try:
        source = inspect.getsource(method)
    except (OSError, TypeError):  # of a notebook's class only the functions are known
        source = "\n".join(_sources_of_functions(method))
    if not source:
        raise MethodError(f"the source of {method.__name__} is unknown: define it in a file or in a notebook")
    return hashlib.sha256(source.encode()).hexdigest()


def _sources_of_functions(kind: type) -> Iterator[str]:
    for value in vars(kind).values():
        if inspect.isfunction(value):
            try:
                yield inspect.getsource(value)
            except (OSError, TypeError):
                continue


def start_of(method: type[Method]) -> set[str]:
    """The modules that a method's code starts from. Raises :class:`MethodError` for code that is in no file."""
    return {name for kind in (method, method.Options) for name in _modules(kind)}


def _modules(kind: type) -> Iterator[str]:
    """The modules of a class and its bases: by the name that each class gives, and by where its functions really are.

    Raises :class:`MethodError` for a function of the contract whose source is in no file.
    """
    for base in kind.__mro__:
        if base is object:
            continue
        yield base.__module__
        for name, value in vars(base).items():
            function = inspect.unwrap(getattr(value, "__func__", getattr(value, "fget", value)))
            if not inspect.isfunction(function):
                continue
            yield str(function.__globals__["__name__"])
            if hasattr(Method, name) and name in Method.__dict__ and not Path(function.__code__.co_filename).is_file():
                raise MethodError(f"{base.__name__}.{name} has no source in a file: its code cannot be identified")


@cache
def _counted_elsewhere() -> frozenset[str]:
    """Top-level names of Python, of avbench, and of what avbench requires (each called as its distribution is)."""
    required = (re.match(r"[\w-]+", text) for text in requires("avbench") or () if "extra ==" not in text)
    names = {match[0].replace("-", "_") for match in required if match}
    return frozenset(sys.stdlib_module_names | names | {"avbench"})


@cache
def _all_owners() -> Mapping[str, list[str]]:
    return packages_distributions()


def owners_of(top: str) -> list[str]:
    """The distributions that a top-level name belongs to."""
    return sorted(set(_all_owners().get(top, ())))


def _bringing(name: str) -> list[str]:
    """The distributions that bring a module: of several that share a namespace package, those that list it."""
    top = name.partition(".")[0]
    owners = [] if top in _counted_elsewhere() else owners_of(top)
    listing = [owner for owner in owners if name in _listed_modules(owner)] if len(owners) > 1 else []
    return listing or owners


def _data(registered: Registered, modules: Mapping[str, Path]) -> dict[str, dict[str, str]]:
    """All other files of the packages that hold modules, and of a distribution of single modules: root -> file -> hash.

    Of avbench's own methods only those that they name: they share one package.
    """
    found: dict[str, dict[str, str]] = {}
    counted = {path.resolve() for path in modules.values()}
    roots: dict[Path, str] = {}
    for name, path in modules.items():
        root = regular_root(name, path)
        if root is not None and not name.startswith(METHODS):
            roots.setdefault(root, name_of(root, name, path))
    for root, package in roots.items():
        others = (f for f in files_below(root) if _is_data(f) and f.resolve() not in counted)
        found[package] = {str(f.relative_to(root)): _content(f) for f in others}
    listed = {
        name: _content(path)
        for name, path in _listed(registered.distribution).items()
        if path.resolve() not in counted and _is_data(path) and roots.keys().isdisjoint(path.parents)
    }
    found[registered.distribution] = {**found.get(registered.distribution, {}), **listed}
    return {root: files for root, files in found.items() if files}


@cache
def _listed(name: str) -> Mapping[str, Path]:
    """The files that a distribution lists as installed, but for those about itself; none of avbench.

    What leads from an editable install to its code holds paths of this machine, and does not count.
    """
    if name == "avbench":
        return {}
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return {}
    editable = re.search(r'"editable"\s*:\s*true', found.read_text("direct_url.json") or "") is not None
    return {
        str(file): Path(str(file.locate())).absolute()
        for file in (found.files if found.read_text("RECORD") else None) or []
        if file.parts
        and ".." not in file.parts
        and not file.is_absolute()
        and not file.parts[0].endswith((".dist-info", ".egg-info"))
        and not (editable and len(file.parts) == 1 and (file.suffix == ".pth" or file.name.startswith("__editable__")))
    }


def _listed_modules(name: str) -> set[str]:
    """The modules among them, by name."""
    return {".".join(module_of(Path(file))) for file in _listed(name) if file.endswith(".py")}


def _is_data(path: Path) -> bool:
    """Stubs and what Python makes of sources decide nothing."""
    return path.is_file() and path.suffix != ".pyi" and path.name != "py.typed" and "__pycache__" not in path.parts


def _named(method: type[Method], file: str) -> str:
    """The hash of a file, or of all in a folder, that a method names."""
    path = _placed(method, file)
    if path.is_dir():
        return hash_of_code({str(f.relative_to(path)): _content(f) for f in files_below(path) if f.is_file()})
    return _content(path)


def _placed(method: type[Method], file: str) -> Path:
    """Where it lies: the name is relative to the file of the method's module, or absolute."""
    return file_of(method.__module__).parent / file


def _content(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise MethodError(f"{path}: cannot be read, but decides results ({error.strerror or error})") from None
