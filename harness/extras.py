"""Packages that come with an extra of avbench, and that not every installation has."""

from __future__ import annotations

from importlib import import_module

from avbench.harness.errors import UsageError


def require(package: str, extra: str, use: str) -> None:
    """Import a package. Raises :class:`UsageError` where it is not there, or cannot be imported.

    ``use``: what needs it, in words.
    """
    try:
        import_module(package)
    except ImportError as error:
        raise UsageError(f"{use}: pip install 'avbench[{extra}]' ({error})") from None
