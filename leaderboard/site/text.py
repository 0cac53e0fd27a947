"""How values become text in templates. Whatever a template prints is one printable line of bounded length."""

from __future__ import annotations

import shlex
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from avbench.harness.plugins.presets import options_beyond_variant
from avbench.harness.plugins.registry import plugins
from avbench.harness.printable import printable
from avbench.harness.records.record import RunRecord, canonical_json

LIMIT = 1_500
"""Characters of any one text from a record."""
SHORT = 60
"""Characters of a name or label in a table."""


@cache
def environment() -> Environment:
    """Templates with escaping always on; everything undefined is an error."""
    found = Environment(
        loader=PackageLoader("avbench.leaderboard.site", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_one_line,
    )
    found.filters |= {
        "count": lambda value: f"{value:,}",
        "duration": duration,
        "json": lambda value: printable(canonical_json(value), SHORT * 4),
        "lines": lines,
        "on": lambda anomalies, metric: [a for a in anomalies if metric in a.metrics],
        "p": p_value,
        "percent": percent,
        "short": short,
        "signed": lambda value, digits=2: f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}"),
    }
    return found


def percent(value: float | None, digits: int = 2) -> str:
    """A percentage without its sign; a dash for none."""
    return "\N{EN DASH}" if value is None else f"{value:.{digits}f}"


def p_value(value: float) -> str:
    """Such as ``p = 0.012``."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def duration(seconds: float) -> str:
    """Such as ``0.2 s``, ``45 s``, ``12 min`` or ``3.4 h``."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def short(text: str, limit: int = SHORT) -> str:
    return printable(text, limit)


def lines(text: str, limit: int = 200) -> Markup:
    """Text of several lines, each printable; the first ``limit`` of them."""
    shown = text.splitlines()
    cut = [f"... ({len(shown) - limit} more lines)"] if len(shown) > limit else []
    return Markup("\n").join(escape(printable(line, LIMIT)) for line in [*shown[:limit], *cut])


def repeat_command(record: RunRecord) -> str:
    """The command line that repeats a run under its variant, with its numerics, on its kind of device, with as many
    threads. Without known presets every option is given."""
    c = record.configuration
    changes = options_beyond_variant(record)
    variant = record.variant
    if c.method in plugins().methods and variant not in {v.name for v in plugins().variants_of(c.method)}:
        variant = None  # no longer there: its options are given
    words = ["avbench", "run", "--method", c.method, "--dataset", c.dataset, "--features", c.features]
    words += ["--protocol", c.protocol.name, "--seed", str(c.seed)]
    words += ["--variant", variant] if variant else []
    for name, value in sorted((c.options if changes is None else changes).items()):
        words += ["-p", f"{name}={canonical_json(value)}"]
    for name, value in c.numerics.changed.items():
        words += [f"--{name.replace('_', '-')}", value]
    device = "cuda" if record.environment.device.startswith("cuda") else "cpu"
    if record.measured.compiled or device == "cuda":  # elsewhere nothing is compiled unasked
        words += ["--compile", "on" if record.measured.compiled else "off"]
    words += ["--device", device, "--fresh"]
    return f"OMP_NUM_THREADS={record.environment.threads} {shlex.join(words)}"


def _one_line(value: Any) -> Any:
    return value if isinstance(value, Markup) or not isinstance(value, str) else printable(value, LIMIT)
