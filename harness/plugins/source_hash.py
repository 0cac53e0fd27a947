"""The source hash of a method: what decides whether a finished run still stands for the code at hand."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
from functools import cache
from pathlib import Path

from avbench.harness.errors import MethodError


@cache
def source_hash(module: str) -> str:
    """SHA-256 over the source of a module and of the modules of its own package that it imports, directly or not.

    The harness is not included: a change there that can change a number is a new protocol version.
    """
    package = module.rpartition(".")[0] or module
    digest = hashlib.sha256()
    for name, path in sorted(_reachable(module, package).items()):
        content = path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def loose_hash(method: type) -> str:
    """SHA-256 over the source of a class that no package brings. What else it uses is not known.

    Raises :class:`MethodError` where Python does not know the source, as of a class typed into the plain prompt.
    """
    try:
        return hashlib.sha256(inspect.getsource(method).encode()).hexdigest()
    except (OSError, TypeError):
        raise MethodError(f"the source of {method.__name__} is unknown: define it in a file or in a notebook") from None


def _reachable(module: str, package: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            continue
        found[name] = Path(spec.origin)
        imports = _imports(ast.parse(found[name].read_bytes()), name, is_package=bool(spec.submodule_search_locations))
        waiting.extend(i for i in imports if _inside(i, package))
    return found


def _inside(name: str, package: str) -> bool:
    if not name.startswith(f"{package}."):
        return False
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # a name imported from a module, not a module
        return False


def _imports(tree: ast.AST, module: str, *, is_package: bool) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")[: len(module.split(".")) - node.level + is_package]
                base = ".".join([*parents, base] if base else parents)
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return names
