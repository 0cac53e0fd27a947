"""What the commands of ``avbench data`` share: options, progress, storing, and the table of what is stored."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tabulate import tabulate

from avbench.harness.errors import UsageError, unknown
from avbench.harness.features.draft import Draft, Report, silent
from avbench.harness.features.store import Store
from avbench.harness.features.temporal_draft import TemporalDraft
from avbench.harness.tracks import Track

if TYPE_CHECKING:
    from avbench.harness.features.arrays import TextFile
    from avbench.harness.features.manifest import Manifest

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
ALLOW_MISSING = click.option(
    "--allow-missing",
    is_flag=True,
    help="Store features that differ from the split; every record then says so.",
)
FORCE = click.option("--force", is_flag=True, help="Replace features that are installed already.")
DTYPE = click.option(
    "--dtype",
    type=click.Choice(("float32", "float16")),
    default="float32",
    show_default=True,
    help="How features over time are stored.",
)
FILE = click.Path(path_type=Path, dir_okay=False)


def text_files(given: Sequence[str], as_given: Sequence[str]) -> Path | list[TextFile]:
    """One file of label vectors, or several named ones."""
    from avbench.harness.features.arrays import TextFile

    pairs = [text.partition("=") for text in given]
    if len(pairs) == 1 and not pairs[0][1]:
        if as_given:
            raise UsageError("--text-as-given names text vectors; give --text NAME=FILE")
        return Path(given[0])
    if not all(equals and name and path for name, equals, path in pairs):
        raise UsageError("several --text need a name each, such as --text clip=CLIP.npy --text clap=CLAP.npy")
    names = [name for name, _, _ in pairs]
    for name in as_given:
        if name not in names:
            raise unknown("text vectors", name, names)
    return [TextFile(name, Path(path), unit=name not in as_given) for name, _, path in pairs]


def stored(store: Store, draft: Draft | TemporalDraft, force: bool, report: Report) -> list[Manifest]:
    """Store a feature set. Returns its manifest, and that of the averaged view of one over time."""
    manifests = [store.save(draft, replace=force, report=report)]
    if isinstance(draft, TemporalDraft):
        manifests.append(store.manifest(draft.view))
    for kind, lines in (("note", draft.notes), ("warning", draft.warnings)):
        for line in lines:
            click.echo(f"{kind}: {draft.track}: {line}", err=True)
    return manifests


def row_of(store: Store, manifest: Manifest) -> dict[str, Any]:
    return {
        **manifest.model_dump(exclude={"version": True, "extraction": {"videos"}}),  # there may be thousands of them
        "clips": sum(manifest.counts.values()),
        "bytes": store.size(Track(manifest.dataset, manifest.features)),
    }


def table_of(rows: Sequence[dict[str, Any]]) -> str:
    cells = [
        [
            f"{r['dataset']}/{r['features']}" + (" (simulated)" if r["simulated"] else ""),
            f"{r['clips']:,}",
            f"{r['audio_dim']} / {r['visual_dim']} / {r['text_dim']}",
            _steps(r),
            f"{r['bytes'] / 1e6:,.0f} MB",
            r["content_hash"][:12],
            len(r["warnings"]) or "",
        ]
        for r in rows
    ]
    return tabulate(cells, headers=["track", "clips", "audio / visual / text", "steps", "size", "content", "warnings"])


def _steps(row: dict[str, Any]) -> str:
    """Steps of the clips of a set over time, from the shortest to the longest."""
    if row["time"] is None:
        return ""
    parts = [row["time"][name] for name in ("audio", "visual")]
    return " / ".join(f"{p['shortest']}-{p['longest']}" for p in parts) + f" {row['time']['dtype']}"


class _Bars:
    """A report (what, done, total) as rich progress bars, one per thing that is done."""

    def __enter__(self) -> Report:
        from rich.console import Console
        from rich.progress import Progress

        self._bars = Progress(console=Console(file=sys.stderr))
        self._bars.start()
        tasks: dict[str, Any] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = self._bars.add_task(what, total=total)
            self._bars.update(tasks[what], completed=done, total=total)

        return report

    def __exit__(self, *_: object) -> None:
        self._bars.stop()


def progress() -> Any:
    """Progress on a terminal; silence elsewhere."""
    return _Bars() if sys.stderr.isatty() else nullcontext(silent)
