"""The fenced blocks of a Markdown page."""

from __future__ import annotations

import re
from dataclasses import dataclass

FENCE = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """``language`` and text of one block; with a ``title`` it is the content of that file."""

    language: str
    title: str | None
    text: str


def blocks(page: str, *languages: str) -> list[Block]:
    """The blocks of a page in order, of all languages or of some."""
    found = [Block(language, title or None, text) for language, title, text in FENCE.findall(page)]
    return [block for block in found if not languages or block.language in languages]
