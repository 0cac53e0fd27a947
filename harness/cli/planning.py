"""What ``avbench run`` is to do: tracks, methods with their variants, grids of options; and the same in words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from avbench.harness.cli.given import Values, combinations
from avbench.harness.errors import UsageError, unknown
from avbench.harness.tracks import DEMO, SIMULATED, Track, parse_track

if TYPE_CHECKING:
    from avbench.harness.records.planned import PlannedRun
    from avbench.harness.records.record import Numerics

FEW = 6
"""Names that are given one by one."""


def choose_tracks(datasets: Sequence[str], features: Sequence[str], *, named: bool) -> tuple[list[Track], list[str]]:
    """The tracks to run, and what must be said about them: the given feature sets, else all real ones installed.

    Where none is installed, all data sets (not ``named`` ones) run on the demo features; where some are, the others
    are left out. Both are said. Raises :class:`UsageError` for named data sets without features.
    """
    if features and set(features) <= set(SIMULATED):
        return [Track(d, f) for f in features for d in datasets], []

    from avbench.harness.plugins.sources import installed_tracks, require_known

    installed = installed_tracks()
    if features:
        require_known(features)
        return [Track(d, f) for f in features for d in datasets], []
    tracks = sorted(t for t in installed if t.dataset in datasets)
    without = ", ".join(d for d in datasets if d not in {t.dataset for t in tracks})
    how = f"'avbench data import' brings real ones, --features {DEMO} takes the embedded simulated ones"
    if without and named:
        raise UsageError(f"no features of {without} are installed: {how}")
    if tracks:
        return tracks, [f"Left out: {without}, of which no features are installed; {how}."] if without else []
    demo = f"No real features of {without} are installed: running on the embedded demo features (simulated). "
    return [Track(d, DEMO) for d in datasets], [demo + "'avbench data import' brings the real ones."]


def named_tracks(texts: Sequence[str], otherwise: object) -> list[Track]:
    """The tracks of ``--track``. Raises :class:`UsageError` where data sets or features are given ``otherwise``."""
    from avbench.harness.plugins.sources import require_known

    if otherwise:
        raise UsageError("use either --track, or --dataset and --features, not both")
    tracks = [parse_track(text) for text in dict.fromkeys(texts)]
    require_known([track.features for track in tracks])
    return tracks


def planned_runs(
    methods: Sequence[str],
    variants: Sequence[str],
    tracks: Sequence[Track],
    protocols: Iterable[str],
    seeds: Sequence[int],
    given: Values,
    numerics: Numerics,
    *,
    lenient: bool = False,
) -> tuple[list[PlannedRun], list[str]]:
    """Every combination of methods, their own of the variants, values of options, protocols and seeds; track by track.

    Methods that have none of the variants are left out, which is to be said. ``lenient``: nobody named both methods
    and features, so a method also goes without the tracks that it cannot read. Raises :class:`UsageError` for a
    variant that no method has, and for unknown names, options and values.
    """
    from avbench.harness.running.runs import plan

    own = {method: _own(method, variants) for method in methods}
    _require_known(methods, variants, own)
    said = [
        f"Variant {name}: not of {_listed(lacking)}, which {'has' if len(lacking) == 1 else 'have'} none of that name."
        for name in variants
        if (lacking := [method for method in methods if name not in own[method]])
    ]
    methods = [method for method in methods if own[method] or not variants]
    runs: dict[str, PlannedRun] = {}
    for track in tracks:
        able, left = _able(methods, track) if lenient else (methods, [])
        said += [f"{track}: left out, {_listed(left)}: no methods for these features."] if left else []
        for method in able:
            for options in combinations(given):
                for run in plan([method], [track], protocols, seeds, options, own[method], numerics):
                    runs.setdefault(run.configuration.identity, run)
    return list(runs.values()), said


def in_words(runs: Sequence[PlannedRun], given: Values, device: str) -> str:
    """Such as ``6 runs: 2 methods (ale, sje), 1 track (ucf/demo), 1 protocol (aligned), 3 seeds (0-2), on cpu``."""
    c = [run.configuration for run in runs]
    variants = [run.variant for run in runs if run.variant]
    counted = [
        _counted("method", [each.method for each in c]),
        *([_counted("variant", variants)] if variants else []),
        *(
            _counted("value", [f"{name}={json.dumps(v)}" for v in values])
            for name, values in given.items()
            if values[1:]
        ),
        _counted("track", [str(each.track) for each in c]),
        _counted("protocol", [each.protocol.name for each in c]),
        _counted("seed", _ranges(sorted({each.seed for each in c})), len({each.seed for each in c})),
    ]
    return f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}: {', '.join(counted)}, on {device}"


def named(runs: Sequence[PlannedRun], given: Values) -> list[str]:
    """A name for each run, with the values that the grid gives it."""
    grid = [name for name, values in given.items() if values[1:]]
    return [
        " ".join([str(run), *(f"{name}={json.dumps(run.configuration.options[name])}" for name in grid)])
        for run in runs
    ]


def _able(methods: Sequence[str], track: Track) -> tuple[Sequence[str], Sequence[str]]:
    """The methods that read the features of a track, averaged or over time, and those that do not."""
    from avbench.harness.plugins.registry import plugins
    from avbench.harness.plugins.sources import feature_manifest

    inputs = feature_manifest(track).inputs
    able = [method for method in methods if plugins().method(method).info.reads(inputs)]
    return able, [method for method in methods if method not in able]


def _own(method: str, variants: Sequence[str]) -> list[str]:
    from avbench.harness.plugins.registry import plugins

    plugins().method(method)  # says which methods there are
    return [name for name in variants if name in {v.name for v in plugins().variants_of(method)}]


def _require_known(methods: Sequence[str], variants: Sequence[str], own: dict[str, list[str]]) -> None:
    from avbench.harness.plugins.registry import plugins

    for name in variants:
        if not any(name in names for names in own.values()):
            raise unknown(
                f"variant of {_listed(methods)}", name, {v.name for m in methods for v in plugins().variants_of(m)}
            )


def _counted(noun: str, names: Sequence[str], count: int | None = None) -> str:
    distinct = list(dict.fromkeys(names))
    count = len(distinct) if count is None else count
    return f"{count} {noun}{'' if count == 1 else 's'} ({_listed(distinct)})"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:FEW]) + (", ..." if len(names) > FEW else "")


def _ranges(numbers: Sequence[int]) -> list[str]:
    """``0-4``, ``7``: what follows one another, as one."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][-1] + 1:
            found[-1].append(number)
        else:
            found.append([number])
    return [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in found]
