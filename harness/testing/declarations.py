"""Checks of what a method says about itself. They fit nothing."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache

from avbench.harness.contract.method import Method, MethodInfo
from avbench.harness.contract.options import Options
from avbench.harness.errors import UsageError, unknown
from avbench.harness.evaluation.protocol import PROTOCOLS
from avbench.harness.testing.check import CheckFailedError, NotApplicableError
from avbench.harness.testing.subject import Subject
from avbench.harness.tracks import DEMO, Track
from avbench.splits import DATASETS

TORCH_FOUND = 3
"""Exit status of a process that found torch imported."""


def metadata_complete(subject: Subject) -> None:
    info = subject.kind.info
    _refuse([*_text_faults(info), *_bibtex_faults(info), *_difference_faults(subject.kind)])


def options_documented(subject: Subject) -> None:
    kind = subject.kind.Options
    if not (isinstance(kind, type) and issubclass(kind, Options)):
        raise CheckFailedError(
            f"{subject.kind.__name__}.Options is not a subclass of avbench.harness.contract.options.Options"
        )
    if kind.model_config.get("frozen") is not True or kind.model_config.get("extra") != "forbid":
        raise CheckFailedError("model_config of the options must keep frozen=True and extra='forbid'")
    _refuse([f"option {name}: {fault}" for name in kind.model_fields for fault in _option_faults(kind, name)])


def presets_valid(subject: Subject) -> None:
    kind = subject.kind.Options
    presets = [preset for base in kind.__mro__ for preset in base.__dict__.get("presets", ())]
    for preset in presets:
        if preset.dataset not in (None, *DATASETS):
            raise unknown("data set of a preset,", str(preset.dataset), DATASETS)
        if preset.protocol not in (None, *PROTOCOLS):
            raise unknown("protocol of a preset,", str(preset.protocol), PROTOCOLS)
        for name in preset.values:
            if name not in kind.model_fields:
                raise unknown("option in a preset,", name, kind.model_fields)
    features = {"main", "cls", DEMO} | {preset.features for preset in presets if preset.features}
    for track in (Track(dataset, name) for dataset in DATASETS for name in sorted(features)):
        for protocol in PROTOCOLS:
            try:
                kind.effective(track, protocol)
            except UsageError as error:
                raise CheckFailedError(f"the preset values for {track}, {protocol}, are refused: {error}") from None


def torch_free_import(subject: Subject) -> None:
    module = subject.kind.__module__
    if module == "__main__" or importlib.util.find_spec(module) is None:
        raise NotApplicableError(f"the module {module!r} cannot be imported by its name")
    _import_alone(module)


@cache
def _import_alone(module: str) -> None:
    """Import a module in a process of its own."""
    code = (
        "import importlib, json, sys; sys.path[:] = json.loads(sys.argv[2]); "
        f"importlib.import_module(sys.argv[1]); sys.exit({TORCH_FOUND} * ('torch' in sys.modules))"
    )
    arguments = [sys.executable, "-c", code, module, json.dumps(sys.path)]
    done = subprocess.run(arguments, check=False, capture_output=True, text=True)
    if done.returncode == TORCH_FOUND:
        raise CheckFailedError(f"importing {module} imports torch")
    if done.returncode:
        raise CheckFailedError(f"importing {module} fails: {done.stderr.strip().splitlines()[-1]}")


def _option_faults(kind: type[Options], name: str) -> Iterator[str]:
    schema = kind.model_json_schema()["properties"][name]
    if not schema.get("description", "").endswith("."):
        yield "its description is missing or does not end with a full stop"
    for part in schema.get("anyOf", [schema]):
        if part.get("type") in ("integer", "number") and "enum" not in part:
            found = part.keys() | schema.keys()
            if not found & {"minimum", "exclusiveMinimum"}:
                yield "it has no lower bound"
            if not found & {"maximum", "exclusiveMaximum"}:
                yield "it has no upper bound"
    if "effect_with" in schema and not schema.get("no_effect"):
        yield "effect_with goes with a reason, no_effect"
    for other in schema.get("effect_with", {}):
        if other not in kind.model_fields:
            yield f"effect_with names {other!r}, which is no option"


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
