"""Text from strangers, made fit for a terminal or for a file."""

from __future__ import annotations


def printable(text: str, limit: int = 200) -> str:
    """For a terminal: ``text`` with everything unprintable escaped as in a Python literal, cut to ``limit``."""
    if len(text) <= limit and text.isprintable():
        return text
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


def storable(text: str) -> str:
    """For a file: ``text`` with half characters, which UTF-8 cannot hold, as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
