"""What a record says of its method, so that whoever has not installed it can read pages and labels in full."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Any

from pydantic import JsonValue
from pydantic_core import PydanticUndefined, to_jsonable_python

from avbench.harness.contract.options import Options, Preset
from avbench.harness.plugins.registry import Registered
from avbench.harness.printable import storable
from avbench.harness.records.record import About, Configuration, ToldDifference, ToldOption, ToldPreset

BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
PLACES = ("repository", "source", "source code", "homepage")
"""Names of addresses in the metadata of a package, the best first."""


def about_of(registered: Registered, variant: Mapping[str, Any] | None = None) -> About:
    """``variant``: what the variant of a run sets. Texts that are too long for a record are cut."""
    info, kind = registered.info, registered.method.Options
    return About(
        title=_text(info.title),
        summary=_text(info.summary),
        citation=_text(info.citation),
        year=info.year,
        bibtex=storable(info.bibtex)[:20_000],
        where=_text(where_to_get(registered.distribution)),
        texts=[_text(name) for name in info.texts[:100]],
        differences=[
            ToldDifference(
                topic=_text(d.topic), paper=_text(d.paper), code=_text(d.code), option=d.option and _text(d.option)
            )
            for d in info.differences[:200]
        ],
        notes=[_text(note) for note in info.notes[:200]],
        options=list(told_options(kind))[:500],
        presets=[_told(preset) for preset in presets_of(kind)][:500],
        variant=_json(variant or {}),
    )


def told_options(kind: type[Options]) -> Iterator[ToldOption]:
    """The options of a method in their order."""
    schemas = kind.model_json_schema()["properties"]
    for name, field in kind.model_fields.items():
        schema = schemas[name]
        default = field.get_default(call_default_factory=True)
        parts = schema.get("anyOf", [schema])
        kinds = [kind for part in parts for kind in part.get("enum") or [part.get("type", part.get("const"))]]
        yield ToldOption(
            name=_text(name),
            type=_text(" | ".join(map(str, kinds))),
            default=None if default is PydanticUndefined else _value(default),
            bounds=" ".join(f"{sign}{schema[key]}" for key, sign in BOUNDS.items() if key in schema),
            description=_text(field.description or ""),
        )


def presets_of(kind: type[Options]) -> list[Preset]:
    """The presets of a method and of what its options are made from; later ones win."""
    return [preset for base in reversed(kind.__mro__) for preset in base.__dict__.get("presets", ())]


def options_told(about: About, c: Configuration, *, with_variant: bool) -> dict[str, JsonValue]:
    """The options that a method has on the track of a run, by what its record says; empty where it says nothing."""
    values: dict[str, JsonValue] = {option.name: option.default for option in about.options}
    for preset in about.presets:
        if Preset({}, preset.dataset, preset.features, preset.protocol).applies(c.track, c.protocol.name):
            values |= preset.values
    return values | (about.variant if with_variant else {})


def where_to_get(name: str) -> str:
    """The address of a package: where it was installed from, if that is public, else what its metadata say."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return ""
    return _origin(found) or _home(found)


def _origin(found: Distribution) -> str:
    try:
        origin = json.loads(found.read_text("direct_url.json") or "{}")
        url, vcs = str(origin.get("url", "")), origin.get("vcs_info", {})
        if not url.startswith("https://") or "@" in url:  # a folder of the author, or an address with a password
            return ""
        return f"{vcs['vcs']}+{url}@{vcs['commit_id']}" if vcs else url
    except (ValueError, KeyError, AttributeError, TypeError):
        return ""


def _home(found: Distribution) -> str:
    pairs = (text.partition(",") for text in found.metadata.get_all("Project-URL") or ())
    named = {label.strip().lower(): url.strip() for label, _, url in pairs}
    return next((named[place] for place in PLACES if place in named), "")


def _told(preset: Preset) -> ToldPreset:
    return ToldPreset(
        values=_json(preset.values), dataset=preset.dataset, features=preset.features, protocol=preset.protocol
    )


def _json(values: Mapping[str, Any]) -> dict[str, JsonValue]:
    return {_text(name): _value(value) for name, value in values.items()}


def _value(value: Any) -> JsonValue:
    """As JSON that a record can hold: what it cannot hold as text, half characters as escapes. No text costs a run."""
    try:
        return _whole(to_jsonable_python(value, fallback=str))
    except ValueError:  # half a character in a name
        return _text(str(value))


def _whole(value: JsonValue) -> JsonValue:
    match value:
        case str():
            return storable(value)
        case list():
            return [_whole(each) for each in value]
        case dict():
            return {name: _whole(each) for name, each in value.items()}
        case float() if not math.isfinite(value):
            return str(value)
    return value


def _text(text: str) -> str:
    return storable(text)[:2_000]
