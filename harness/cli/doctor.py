"""``avbench doctor``: what is installed, what is broken, and what to do next."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import click
from tabulate import tabulate

LOW_DISK = 5 * 2**30


@dataclass(frozen=True)
class Finding:
    """One line of the report. ``advice`` says what to do, where there is something to do."""

    subject: str
    state: Literal["ok", "note", "problem"]
    text: str
    advice: str = ""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Check the installation and say what to do next. Exit code 1 when there is a problem."""
    findings = [*_versions(), *_device(), *_plugins(), *_store()]
    if as_json:
        click.echo(json.dumps([asdict(f) for f in findings], indent=1))
    else:
        click.echo(
            tabulate([[f.subject, f.state, f.text] for f in findings], tablefmt="plain", maxcolwidths=[None, None, 90])
        )
        for finding in findings:
            if finding.advice:
                click.echo(f"\n{finding.subject}: {finding.advice}")
    if any(f.state == "problem" for f in findings):
        raise SystemExit(1)


def _versions() -> Iterator[Finding]:
    yield Finding("avbench", "ok", version("avbench"))
    yield Finding("python", "ok", platform.python_version())
    for name in ("torch", "numpy", "pydantic", "h5py", "safetensors"):
        yield Finding(name, "ok", version(name))


def _device() -> Iterator[Finding]:
    try:
        import torch
    except Exception as error:
        yield Finding("device", "problem", f"torch does not import: {error}", "reinstall torch")
        return
    from avbench.harness.running.environment import device_name

    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            yield Finding("device", "ok", device_name(torch.device("cuda", index)))
    else:
        yield Finding("device", "ok", f"{device_name(torch.device('cpu'))}, {torch.get_num_threads()} threads; no CUDA")


def _plugins() -> Iterator[Finding]:
    from avbench.harness.plugins.registry import plugins

    found = plugins()
    for distribution in sorted({r.distribution for r in found.methods.values()}):
        members = [r for r in found.methods.values() if r.distribution == distribution]
        names = ", ".join(r.info.slug for r in members)
        yield Finding("plugin", "ok", f"{distribution} {members[0].version}: {names}")
    for broken in found.broken:
        text = f"{broken.distribution} ({broken.entry_point}) does not load: {broken.reason}"
        yield Finding("plugin", "problem", text, f"reinstall or remove {broken.distribution}")


def _store() -> Iterator[Finding]:
    from avbench.harness.errors import DataError
    from avbench.harness.features.store import Store, home

    folder = home()
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(existing).free
    low = free < LOW_DISK
    advice = "VGGSound needs about 2 GB for 'main' features and 4 GB for 'cls' while importing" if low else ""
    yield Finding("disk", "note" if low else "ok", f"{free / 2**30:.1f} GiB free at the store", advice)
    store = Store()
    for track in store.tracks():
        try:
            m = store.manifest(track)
        except DataError as error:
            yield Finding("features", "problem", str(error), f"'avbench data remove {track}', then import it again")
            continue
        text = f"{track}: {sum(m.counts.values()):,} clips" + (f"; {len(m.warnings)} warnings" if m.warnings else "")
        yield Finding("features", "note" if m.warnings else "ok", text)
    if not store.tracks():
        yield Finding(
            "features",
            "note",
            "no real features installed; the embedded demo works",
            "'avbench data import PATH' takes the public feature archive (folder or zip)",
        )
    results = Path("results")
    if not results.is_dir():
        yield Finding("results", "note", "none here yet", "avbench run --method avca --all-datasets")
