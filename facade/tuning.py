"""Searching options from Python: the same studies and the same files as on the command line."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avbench.given import one, one_of, series, several
from avbench.harness.errors import UsageError, unknown
from avbench.harness.plugins.registry import plugins
from avbench.harness.plugins.sources import require_known
from avbench.harness.records.record import Compile
from avbench.harness.running.spin import SHORT_SPIN
from avbench.harness.tracks import Track, parse_track
from avbench.running import A_TRACK, Runnable, method_of

if TYPE_CHECKING:
    from avbench.harness.tuning.outcome import Tuning
    from avbench.harness.tuning.search import Sampler


def tune(
    method: Runnable,
    tracks: Track | str | Sequence[Track | str],
    spaces: Mapping[str, str | Sequence[Any] | None] | None = None,
    *,
    trials: int | None = None,
    seeds: int = 1,
    sampler: Sampler = "tpe",
    sampler_seed: int = 0,
    prune: bool = False,
    protocol: str = "aligned",
    options: Mapping[str, Any] | None = None,
    variant: str | None = None,
    confirm: int | None = None,
    study: str | None = None,
    device: str = "auto",
    jobs: int = 1,
    results: Path | str = "results",
    compile: Compile = "auto",
) -> Tuning:
    """Search the options of a method by validation HM, and give what was found: ``run(..., options=found)`` tests it.

    No test clip is looked at. ``spaces``: by option, text such as ``"log:1e-5..1e-2"``, or a list of values, or None
    for the option's own space; without any, all fractional numbers. Everything else is as for ``avbench tune``.

    Raises :class:`UsageError` for unknown names, options, values and spaces, :class:`DataError` for features that are
    not installed.
    """
    os.environ.setdefault(*SHORT_SPIN)
    from avbench.harness.cli.tune_progress import TuneProgress
    from avbench.harness.running.jobs import choose_devices
    from avbench.harness.tuning.search import SAMPLERS, prepare
    from avbench.harness.tuning.study import Course, Study
    from avbench.harness.tuning.tune import conclude, search_through

    slug, own = method_of(method)
    for name, number in {"trials": trials, "seeds": seeds, "confirm": confirm, "jobs": jobs}.items():
        if number is not None and one(name, number, int, "a whole number") < 1:
            raise UsageError(f"{name}={number}: give a whole number of at least 1")
    one("spaces", {} if spaces is None else spaces, Mapping, "a dict from names of options to spaces")
    if sampler not in SAMPLERS:
        raise unknown("sampler", str(sampler), SAMPLERS)
    one_of("compile", compile, Compile)
    devices = choose_devices(device)
    if plugins().method(slug).loose and jobs * len(devices) > 1:
        raise UsageError(
            f"method {slug!r} comes from no installed package: other processes lack it; use jobs=1 and one device"
        )
    places = [parse_track(each) for each in several("tracks", tracks, (Track, str), A_TRACK)]
    require_known([place.features for place in places])
    texts = [_as_text(name, space) for name, space in (spaces or {}).items()]
    fixed = {name: value for name, value in own.items() if name not in (spaces or {})} | dict(options or {})
    search = prepare(slug, places, protocol, seeds, texts, fixed, variant=variant, sampler=sampler, compile=compile)
    opened = Study(Path(results).absolute(), study, search, Course(trials, sampler_seed, prune))
    with TuneProgress(opened.total, len(opened.trials())) as progress:
        search_through(opened, devices, jobs, progress.news)
    return conclude(opened, devices[0], confirm)[0]


def _as_text(name: str, space: str | Sequence[Any] | None) -> str:
    if space is None or isinstance(space, str):
        return name if space is None else f"{name}={space}"
    series(f"spaces[{name!r}]", space, "text, a list of values, or None")
    try:
        return f"{name}={','.join(json.dumps(value) for value in space)}"
    except (TypeError, ValueError):
        raise UsageError(f"spaces[{name!r}]={space!r}: numbers, texts, True, False and None can be searched") from None
