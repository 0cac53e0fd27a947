"""Running methods from Python: the same plan, the same execution and the same records as on the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avbench.harness.contract.method import Method
from avbench.harness.errors import UsageError
from avbench.harness.plugins.registry import plugins
from avbench.harness.plugins.sources import require_known
from avbench.harness.running.spin import SHORT_SPIN
from avbench.harness.tracks import Track, parse_track

if TYPE_CHECKING:
    from avbench.harness.records.record import RunRecord

Runnable = str | type[Method] | Method
"""A method by its name, by its class, or an instance that holds options."""


def run(
    methods: Runnable | list[Runnable] | tuple[Runnable, ...] | list[str],
    tracks: Track | str | Sequence[Track | str],
    *,
    protocols: str | Sequence[str] = "aligned",
    seeds: int | Sequence[int] = 1,
    options: Mapping[str, Any] | None = None,
    variants: str | Sequence[str] = (),
    device: str = "auto",
    jobs: int = 1,
    results: Path | str = "results",
    fresh: bool = False,
) -> list[RunRecord]:
    """Train and evaluate every method on every track, and give the records, those of failed runs included.

    ``methods``: names as in ``avbench methods list``, classes, or instances, whose options then count in full beside
    ``options``. ``tracks``: such as ``"ucf/demo"``. ``seeds``: a number of seeds, or the seeds. A finished run is not
    repeated unless ``fresh``. A class that no installed package brings is always run anew: what it depends on cannot
    be known in full.

    Raises :class:`UsageError` for unknown names, options or values, :class:`DataError` for features that are not
    installed.
    """
    os.environ.setdefault(*SHORT_SPIN)
    from avbench.harness.cli.progress import carry_out
    from avbench.harness.records.results import ResultsFolder
    from avbench.harness.running.jobs import choose_device
    from avbench.harness.running.runs import plan

    if isinstance(seeds, bool) or (isinstance(seeds, int) and seeds < 1):
        raise UsageError(f"seeds={seeds!r}: give a number of seeds, at least 1, or a list of seeds")
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise UsageError(f"jobs={jobs!r}: give a whole number of at least 1")
    chosen = [_named(method) for method in (methods if isinstance(methods, list | tuple) else [methods])]
    loose = [slug for slug, _ in chosen if plugins().method(slug).loose]
    if loose and jobs > 1:
        raise UsageError(f"method {loose[0]!r} comes from no installed package: other processes lack it; use jobs=1")
    places = [parse_track(track) for track in ([tracks] if isinstance(tracks, Track | str) else tracks)]
    require_known([place.features for place in places])
    planned = [
        run
        for slug, own in chosen
        for run in plan(
            [slug],
            places,
            [protocols] if isinstance(protocols, str) else protocols,
            range(seeds) if isinstance(seeds, int) else seeds,
            {**own, **(options or {})},
            [variants] if isinstance(variants, str) else variants,
        )
    ]
    again = [fresh or run.configuration.method in loose for run in planned]
    folder = ResultsFolder(Path(results).absolute())
    return carry_out(planned, [str(run) for run in planned], folder, choose_device(device), jobs, again=again)


def _named(method: Runnable) -> tuple[str, Mapping[str, Any]]:
    """The name of a method, known in this process from now on, and the options of an instance."""
    if isinstance(method, str):
        return plugins().method(method).info.slug, {}
    if isinstance(method, type) and issubclass(method, Method):
        return plugins().admit(method).info.slug, {}
    if isinstance(method, Method):
        return plugins().admit(type(method)).info.slug, method.options.model_dump()
    raise UsageError(f"{method!r}: a method is a name, a class or an instance of avbench.Method")
