"""``avbench methods``: what can be run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import click
from tabulate import tabulate

from avbench.harness.cli.lazy import LazyGroup
from avbench.harness.contract.options import Options, Preset
from avbench.harness.contract.variants import Variant
from avbench.harness.errors import MethodError
from avbench.harness.plugins.about import presets_of, told_options, where_to_get
from avbench.harness.plugins.commands import Command
from avbench.harness.plugins.registry import Registered, plugins
from avbench.harness.printable import printable
from avbench.harness.records.record import ToldOption

LATER = (
    Command("new", "avbench.harness.cli.methods_new:new", "Write a package with a method of your own."),
    Command("check", "avbench.harness.cli.methods_check:check", "Check that a method keeps the contract."),
)


@click.group(cls=LazyGroup, place="methods", built_in=LATER)
def methods() -> None:
    """List, show, make and check methods."""


@methods.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_methods(as_json: bool) -> None:
    """One row per installed method."""
    found = plugins()
    rows = [_summary(r) for r in found.methods.values()]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    table = [[r["slug"], r["year"], r["title"], _marks(r), r["distribution"]] for r in rows]
    click.echo(tabulate(table, headers=["method", "year", "title", "marks", "from"]))


@methods.command()
@click.argument("name")
@click.option("--bibtex", is_flag=True, help="Print only the BibTeX entry.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(name: str, bibtex: bool, as_json: bool) -> None:
    """Summary, citation, capabilities, options with presets, variants, and known differences of a method."""
    registered, variants = plugins().method(name), plugins().variants_of(name)
    info = registered.info
    if bibtex:
        if not info.bibtex:
            raise MethodError(f"method {name!r} gives no BibTeX entry; its citation is: {info.citation}")
        click.echo(info.bibtex.strip())
        return
    options = [_option(registered.method.Options, told) for told in told_options(registered.method.Options)]
    if as_json:
        differences = [vars(d) for d in info.differences]
        detail = {**_summary(registered), "citation": info.citation, "notes": info.notes, "options": options}
        named = [asdict(v) for v in variants]
        click.echo(json.dumps({**detail, "differences": differences, "variants": named}, indent=1))
        return
    click.echo(f"{info.slug}: {info.title} ({info.year})\n\n{info.summary}\n\n{info.citation}")
    summary = _summary(registered)
    place = f"package {summary['distribution']} {summary['version']}" + (summary["where"] and f", {summary['where']}")
    click.echo(f"\nCode: {'built in' if registered.built_in else printable(place, 300)}")
    if marks := _marks(summary):
        click.echo(f"\nCapabilities: {marks}")
    why = summary["alone_because"]
    click.echo(f"\nSeeds on a GPU: {f'one after the other, because {why}' if why else 'all in one step'}")
    for note in info.notes:
        click.echo(f"\nNote: {note}")
    rows = [[o["name"], o["type"], o["default"], o["bounds"], _meaning(o)] for o in options]
    headers = ["option", "type", "default", "bounds", "meaning"]
    click.echo("\n" + tabulate(rows, headers=headers, maxcolwidths=[None, 24, None, None, 60], disable_numparse=True))
    presets = [[_where(p), _assignments(p.values)] for p in presets_of(registered.method.Options)]
    if presets:
        click.echo("\n" + tabulate(presets, headers=["preset for", "values"], maxcolwidths=[None, 90]))
    if variants:
        printed: dict[str, list[str]] = {}
        for v in variants:
            printed.setdefault(v.name, []).append(f"{v.paper} {v.table}")
        options_of = {v.name: _variant_options(v) for v in variants}
        rows = [[name, options_of[name], ", ".join(places)] for name, places in printed.items()]
        click.echo("\n" + tabulate(rows, headers=["variant", "options", "printed in"], maxcolwidths=[None, 60, None]))
    if info.differences:
        rows = [[d.topic, d.paper, d.code, d.option or "-"] for d in info.differences]
        headers = ["topic", "paper", "reference code", "option"]
        click.echo("\n" + tabulate(rows, headers=headers, maxcolwidths=[18, 32, 40, None]))


def _summary(registered: Registered) -> dict[str, Any]:
    info = registered.info
    return {
        "slug": info.slug,
        "title": info.title,
        "year": info.year,
        "summary": info.summary,
        "inputs": info.inputs,
        "uses_unseen_names": info.uses_unseen_names,
        "generative": info.generative,
        "calibrated_stacking": info.calibrated_stacking,
        "scores_depend_on_candidates": info.scores_depend_on_candidates,
        "texts": list(info.texts),
        "alone_because": registered.method.alone_because(
            registered.method.Options(), "averaged" if info.reads("averaged") else "temporal"
        ),
        "distribution": registered.distribution,
        "version": registered.version,
        "where": where_to_get(registered.distribution),
    }


def _marks(summary: dict[str, Any]) -> str:
    marks = {
        "temporal": summary["inputs"] == "temporal",
        "uses unseen names": summary["uses_unseen_names"],
        "generative": summary["generative"],
        "no calibrated stacking": not summary["calibrated_stacking"],
        "scores depend on the candidates": summary["scores_depend_on_candidates"],
        f"texts {' and '.join(summary['texts'])}": bool(summary["texts"]),
    }
    return ", ".join(name for name, holds in marks.items() if holds)


def _option(options: type[Options], told: ToldOption) -> dict[str, Any]:
    schema = options.model_json_schema()["properties"][told.name]
    return {
        **told.model_dump(),
        "default": options.model_fields[told.name].default,
        "no_effect": schema.get("no_effect"),
        "effect_with": schema.get("effect_with"),
    }


def _meaning(option: dict[str, Any]) -> str:
    """The description of an option and, where it does not change what is learned, why."""
    reason = option["no_effect"]
    return f"{option['description']} No effect on training: {reason}." if reason else str(option["description"])


def _assignments(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _variant_options(variant: Variant) -> str:
    """What a variant sets everywhere, and below it what only on some tracks or under one protocol."""
    special = (f"{_where(preset)}: {_assignments(preset.values)}" for preset in variant.presets)
    return "\n".join([_assignments(variant.options), *special])


def _where(preset: Preset) -> str:
    track = f"{preset.dataset or '*'}/{preset.features or '*'}"
    return f"{track} {preset.protocol}" if preset.protocol else track
