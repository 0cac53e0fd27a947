"""What an exception came of."""

from __future__ import annotations

from collections.abc import Iterator


def causes(outcome: object) -> Iterator[BaseException]:
    """An exception, and those that it came of, one after the other; nothing for what is none."""
    seen: set[int] = set()
    while isinstance(outcome, BaseException) and id(outcome) not in seen:
        yield outcome
        seen.add(id(outcome))
        outcome = outcome.__cause__ or outcome.__context__
