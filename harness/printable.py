"""Text from strangers' records on a terminal: one line, no control characters, of bounded length."""

from __future__ import annotations


def printable(text: str, limit: int = 200) -> str:
    """``text`` with everything unprintable escaped as in a Python literal, cut to ``limit`` characters."""
    if len(text) <= limit and text.isprintable():
        return text
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."
