"""Running methods from Python: the same plan, the same execution and the same records as on the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avbench.given import one, one_of, several
from avbench.harness.contract.method import Method
from avbench.harness.errors import UsageError
from avbench.harness.isolation.choice import Isolation
from avbench.harness.isolation.strangers import describe_strangers
from avbench.harness.plugins.registry import plugins
from avbench.harness.plugins.sources import require_known
from avbench.harness.records.record import Compile, IsolationKind
from avbench.harness.running.spin import SHORT_SPIN
from avbench.harness.tracks import Track, parse_track

if TYPE_CHECKING:
    from avbench.harness.records.record import RunRecord
    from avbench.harness.tuning.outcome import Tuning

Runnable = str | type[Method] | Method
"""A method by its name, by its class, or an instance that holds options."""
A_METHOD = "methods; a method is a name, a class or an instance of avbench.Method"
A_TRACK = "tracks; a track is DATASET/FEATURES, such as 'ucf/demo'"


def run(
    methods: Runnable | list[Runnable] | tuple[Runnable, ...] | list[str],
    tracks: Track | str | Sequence[Track | str],
    *,
    protocols: str | Sequence[str] = "aligned",
    seeds: int | Sequence[int] = 1,
    options: Mapping[str, Any] | Tuning | None = None,
    variants: str | Sequence[str] = (),
    device: str = "auto",
    jobs: int = 1,
    results: Path | str = "results",
    fresh: bool = False,
    save_states: bool = False,
    isolation: IsolationKind | Isolation = "none",
    compile: Compile = "auto",
) -> list[RunRecord]:
    """Train and evaluate every method on every track, and give the records, those of failed runs included.

    ``methods``: names as in ``avbench methods list``, classes, or instances, whose options then count in full beside
    ``options``; what :func:`avbench.tune` found may stand for these, and the records say so. ``tracks``: such as
    ``"ucf/demo"``. ``seeds``: a number of seeds, or the seeds. A finished run is not repeated unless ``fresh``. A class
    that no installed package brings is always run anew: what it depends on cannot be known in full. ``save_states``
    keeps the fitted state of each run beside its record, for ``avbench analyse``; a finished run without it is
    repeated. ``isolation``: where methods are meanwhile, as ``avbench run --isolation`` has it; not with
    ``save_states``. ``compile``: ``"auto"``, ``"on"`` or ``"off"``, whether training steps are compiled; ``auto``: on
    CUDA, in long trainings.

    Raises :class:`UsageError` for unknown names, options or values and for arguments of another type,
    :class:`DataError` for features that are not installed.
    """
    os.environ.setdefault(*SHORT_SPIN)
    from avbench.harness.cli.progress import carry_out
    from avbench.harness.records.results import ResultsFolder
    from avbench.harness.running.jobs import choose_devices
    from avbench.harness.running.runs import plan
    from avbench.harness.tuning.outcome import Tuning

    numbers = several("seeds", seeds, Integral, "a number of seeds, or a list of seeds, whole numbers")
    if isinstance(seeds, Integral):
        if seeds < 1:
            raise UsageError(f"seeds={seeds!r}: give a number of seeds, at least 1, or a list of seeds")
        numbers = list(range(int(seeds)))
    named = several("protocols", protocols, str, "names of protocols, such as 'aligned'")
    changed = several("variants", variants, str, "names of variants, as 'avbench methods show' lists them")
    tuned = options.tuned if isinstance(options, Tuning) else None
    given = options.options if isinstance(options, Tuning) else {} if options is None else options
    one("options", given, Mapping, "a dict from names of options to values, or what avbench.tune found")
    several("options", list(given), str, "names of options, texts, as keys")
    one("device", device, str, "a name, such as 'cpu' or 'cuda:0'")
    one("results", results, (str, os.PathLike), "a folder")
    one("fresh", fresh, bool, "True or False")
    one("save_states", save_states, bool, "True or False")
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise UsageError(f"jobs={jobs!r}: give a whole number of at least 1")
    if not isinstance(isolation, Isolation):
        isolation = Isolation(one_of("isolation", isolation, IsolationKind))
    if save_states and isolation:
        raise UsageError("save_states=True keeps the model of a run in this process: leave out isolation")
    one_of("compile", compile, Compile)
    describe_strangers(isolation, Path(results))
    chosen = [method_of(each) for each in several("methods", methods, (str, type, Method), A_METHOD)]
    loose = [slug for slug, _ in chosen if plugins().method(slug).loose]
    if loose and jobs > 1:
        raise UsageError(f"method {loose[0]!r} comes from no installed package: other processes lack it; use jobs=1")
    places = [parse_track(each) for each in several("tracks", tracks, (Track, str), A_TRACK)]
    require_known([place.features for place in places])
    planned = [
        replace(run.from_study(tuned), keeps_state=save_states, compile=compile)
        for slug, own in chosen
        for run in plan(
            [slug],
            places,
            named,
            [int(seed) for seed in numbers],
            {**own, **given},
            changed,
        )
    ]
    again = [fresh or run.configuration.method in loose for run in planned]
    folder = ResultsFolder(Path(results).absolute())
    names = [str(run) for run in planned]
    return carry_out(planned, names, folder, choose_devices(device), jobs, again=again, isolation=isolation)


def method_of(method: Runnable) -> tuple[str, Mapping[str, Any]]:
    """The name of a method, known in this process from now on, and the options of an instance."""
    if isinstance(method, str):
        return plugins().method(method).info.slug, {}
    if isinstance(method, type) and issubclass(method, Method):
        return plugins().admit(method).info.slug, {}
    if isinstance(method, Method):
        return plugins().admit(type(method)).info.slug, method.options.model_dump()
    raise UsageError(f"{method!r}: give {A_METHOD}")
