"""Checks of what a method says about itself. They fit nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from avbench.harness.method import Method, MethodInfo
from avbench.harness.testing.check import CheckFailedError
from avbench.harness.testing.subject import Subject


def metadata_complete(subject: Subject) -> None:
    info = getattr(subject.kind, "info", None)
    if not isinstance(info, MethodInfo):
        raise CheckFailedError(f"{subject.kind.__name__}.info is not a MethodInfo")
    _refuse([*_text_faults(info), *_bibtex_faults(info), *_difference_faults(subject.kind)])


def _refuse(faults: list[str]) -> None:
    if faults:
        raise CheckFailedError("; ".join(faults))


def _text_faults(info: MethodInfo) -> Iterator[str]:
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", info.slug):
        yield f"slug {info.slug!r} must be lower-case letters and digits, in parts joined by single hyphens"
    if not 1900 < info.year < 2100:
        yield f"year is {info.year}"
    texts = {"title": info.title, "summary": info.summary, "citation": info.citation}
    texts |= {f"note {number}": note for number, note in enumerate(info.notes, 1)}
    for name, text in texts.items():
        if not text.strip():
            yield f"{name} is empty"
        elif text != " ".join(text.split()):
            yield f"{name} has spaces or line breaks too many"
    if not info.summary.endswith("."):
        yield "summary does not end with a full stop"
    if str(info.year) not in info.citation:
        yield f"citation does not name the year {info.year}"


def _bibtex_faults(info: MethodInfo) -> Iterator[str]:
    entry = re.fullmatch(r"@\w+\{[^\s,{}]+,(.*)\}", info.bibtex.strip(), re.DOTALL)
    if entry is None or entry[1].count("{") != entry[1].count("}"):
        yield "bibtex must hold one entry, @kind{key, ...}, with braces that match"
        return
    fields = dict(re.findall(r"^\s*(\w+)\s*=\s*[{\"](.*?)[}\"],?\s*$", entry[1], re.DOTALL | re.MULTILINE))
    missing = sorted({"author", "title", "year"} - fields.keys())
    if missing:
        yield f"bibtex lacks {', '.join(missing)}"
    elif fields["year"] != str(info.year):
        yield f"bibtex has year {fields['year']}, info has {info.year}"
    for author in re.split(r"\s+and\s+", fields.get("author", "")):
        if author and "," not in author and not author.startswith("{"):
            yield f"bibtex author {author!r} must be 'family name, given names', or a {{group}}"


def _difference_faults(kind: type[Method]) -> Iterator[str]:
    for number, difference in enumerate(kind.info.differences, 1):
        if not (difference.topic and difference.paper and difference.code):
            yield f"difference {number} must give topic, paper and code"
        if difference.option is not None and difference.option not in kind.Options.model_fields:
            yield f"difference {number} names option {difference.option!r}, which the method does not have"
