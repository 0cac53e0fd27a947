"""``avbench doctor``: what is installed, what is broken, and what to do next."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from tabulate import tabulate

from avbench.harness.errors import AvbenchError, DataError
from avbench.harness.printable import printable

if TYPE_CHECKING:
    from avbench.harness.features.store import Store
    from avbench.harness.tracks import Track

LOW_DISK = 5 * 2**30
MOST = 10
"""Broken files of one kind that are named."""
_READABLE = "give this user access to it, or set AVBENCH_HOME (features) or --results to another folder"


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
    parts = {
        "versions": _versions,
        "device": _device,
        "sandbox": _sandbox,
        "plugins": _plugins,
        "store": _store,
        "results": _results,
    }
    findings = [finding for subject, part in parts.items() for finding in _examined(subject, part)]
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


def _examined(subject: str, part: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What a part finds; where it cannot go on, that is a finding too."""
    try:
        yield from part()
    except AvbenchError as error:
        yield Finding(subject, "problem", str(error))
    except Exception as error:  # whatever is broken is to be diagnosed
        text = f"cannot be examined: {type(error).__name__}: {error}"
        yield Finding(subject, "problem", text, _READABLE if isinstance(error, OSError) else "")


def _versions() -> Iterator[Finding]:
    yield Finding("python", "ok", platform.python_version())
    for name in ("avbench", "torch", "numpy", "pydantic", "h5py", "safetensors"):
        try:
            yield Finding(name, "ok", version(name))
        except PackageNotFoundError:
            yield Finding(name, "problem", "is not installed", f"pip install {name}")


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


def _sandbox() -> Iterator[Finding]:
    from avbench.harness.isolation.sandbox import unavailable

    if reason := unavailable():
        yield Finding("sandbox", "note", "--isolation sandbox is not possible here", reason)
    else:
        yield Finding("sandbox", "ok", "bubblewrap works: --isolation sandbox shuts methods in")


def _plugins() -> Iterator[Finding]:
    from avbench.harness.plugins.commands import plugin_commands
    from avbench.harness.plugins.door import ONLY
    from avbench.harness.plugins.registry import plugins

    found = plugins()
    for distribution in sorted({r.distribution for r in found.methods.values()}):
        members = [r for r in found.methods.values() if r.distribution == distribution]
        names = ", ".join(r.info.slug for r in members)
        yield Finding("plugin", "ok", f"{distribution} {members[0].version}: {names}")
    for broken in (*found.broken, *plugin_commands().broken):
        text = f"{broken.distribution} ({broken.entry_point}) does not load: {broken.reason}"
        advice = "correct the variable" if broken.distribution == ONLY else f"reinstall or remove {broken.distribution}"
        yield Finding("plugin", "problem", text, advice)


def _store() -> Iterator[Finding]:
    from avbench.harness.features.store import HomelessError, Store, home

    try:
        folder = home()
    except HomelessError as error:
        yield Finding("store", "note", f"{error}; the embedded demo works")
        return
    yield Finding("store", "ok", f"{folder} (AVBENCH_HOME names another folder)")
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    if not (existing.is_dir() and os.access(existing, os.R_OK | os.W_OK | os.X_OK)):
        yield Finding("store", "problem", f"{existing} is no folder that can be read and written", _READABLE)
    free = shutil.disk_usage(existing).free
    low = free < LOW_DISK
    advice = "VGGSound needs about 2 GB for 'main' features and 4 GB for 'cls' while importing" if low else ""
    yield Finding("disk", "note" if low else "ok", f"{free / 2**30:.1f} GiB free at the store", advice)
    store = Store()
    for track in store.tracks():
        yield from _examined("features", partial(_features, store, track))
    if not store.tracks():
        yield Finding(
            "features",
            "note",
            "no real features installed; the embedded demo works",
            "'avbench data import PATH' takes the public feature archive (folder or zip)",
        )


def _features(store: Store, track: Track) -> Iterator[Finding]:
    try:
        m = store.manifest(track)
        store.load(track)
    except DataError as error:
        yield Finding("features", "problem", str(error), f"'avbench data remove {track}', then import it again")
        return
    text = f"{track}: {sum(m.counts.values()):,} clips" + (f"; {len(m.warnings)} warnings" if m.warnings else "")
    yield Finding("features", "note" if m.warnings else "ok", text)


def _results() -> Iterator[Finding]:
    from avbench.harness.records.results import ResultsFolder, Unreadable

    folder = Path("results")
    if not folder.exists():
        yield Finding("results", "note", "none here yet", "avbench run --method avca --all-datasets")
        return
    if not (folder.is_dir() and os.access(folder, os.R_OK | os.W_OK | os.X_OK)):
        yield Finding("results", "problem", f"{folder.resolve()} is no folder that can be read and written", _READABLE)
        return
    found = list(ResultsFolder(folder).records())
    broken = [item for item in found if isinstance(item, Unreadable)]
    yield Finding("results", "ok", f"{len(found) - len(broken)} runs in {folder.resolve()}")
    for item in broken[:MOST]:
        yield Finding(
            "results", "problem", printable(item.reason, 300), "delete the file, or bring it back from a copy"
        )
    if len(broken) > MOST:
        yield Finding("results", "problem", f"{len(broken) - MOST} more files are no valid records")
