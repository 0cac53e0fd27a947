"""HM over the values of an option, from a grid of runs (such as MDII's figure 2, over its masked share)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from avbench.analysis.analysis import Analysis
from avbench.harness.errors import UsageError, unknown
from avbench.harness.records.record import RunRecord, canonical_json

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def series(
    records: Sequence[RunRecord], option: str, fixed: Mapping[str, object] | None = None
) -> dict[str, list[RunRecord]]:
    """Finished runs that differ in an option and the seed only, by method, track and protocol.

    ``fixed``: values that other options must have. Raises :class:`UsageError` for an option that none of the runs has,
    for fewer than two values, and where runs differ in more: it says in what.
    """
    known = {name for record in records for name in record.configuration.options}
    for name in (option, *(fixed or {})):
        if name not in known:
            raise unknown("option of these runs", name, known)
    groups: dict[str, dict[str, list[RunRecord]]] = {}
    for record in records:
        c = record.configuration
        if option not in c.options or any(c.options.get(name) != value for name, value in (fixed or {}).items()):
            continue
        content = c.model_dump(mode="json", exclude={"seed"})
        del content["options"][option]
        place = f"{c.method} {c.track} {c.protocol.name}"
        groups.setdefault(place, {}).setdefault(canonical_json(content), []).append(record)
    found = {}
    for place, alternatives in groups.items():
        grids = [runs for runs in alternatives.values() if len(_values(runs, option)) > 1]
        if len(grids) > 1:
            raise UsageError(
                f"{place}: the runs form {len(grids)} grids over {option}, "
                f"which differ in {_differences(grids, option)}; "
                "choose one with -p OPTION=VALUE, or remove earlier runs with 'avbench results remove --stale'"
            )
        if grids:
            found[place] = grids[0]
    if not found:
        raise UsageError(
            f"no finished runs differ in {option} alone: make a grid with 'avbench run ... -p {option}=VALUE,VALUE'"
        )
    return found


def _values(runs: Sequence[RunRecord], option: str) -> list[object]:
    """The values of an option, numbers ascending and others as text."""
    found = [r.configuration.options[option] for r in runs]
    by_text = {json.dumps(value, sort_keys=True): value for value in found}
    values: list[object] = list(by_text.values())
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return sorted(values, key=lambda v: float(str(v)))
    return [by_text[text] for text in sorted(by_text)]


def _differences(grids: Sequence[Sequence[RunRecord]], option: str) -> str:
    contents = [runs[0].configuration.model_dump(mode="json", exclude={"seed"}) for runs in grids]
    options = [content.pop("options") for content in contents]
    names = [
        name
        for parts in (options, contents)
        for name in sorted({key for part in parts for key in part})
        if name != option and len({canonical_json(part.get(name)) for part in parts}) > 1
    ]
    return ", ".join("code" if name == "plugin" else name for name in names[:6])


def table(place: str, runs: Sequence[RunRecord], option: str) -> pd.DataFrame:
    """One row per value: mean and deviation over seeds of the test and of the validation of the chosen epoch."""
    import pandas as pd

    rows = []
    for value in _values(runs, option):
        same = [r.outcome for r in runs if r.configuration.options[option] == value and r.outcome]
        test = pd.Series([o.metrics.HM for o in same])
        validation = pd.Series([o.validation[o.epochs - 1].HM for o in same])
        text = value if isinstance(value, int | float | str) and not isinstance(value, bool) else json.dumps(value)
        row = {"runs": place, option: text, "seeds": len(same), "HM": test.mean(), "HM_std": test.std()}
        rows.append(row | {"val_HM": validation.mean(), "val_HM_std": validation.std()})
    return pd.DataFrame(rows)


def analyse(records: Sequence[RunRecord], option: str, fixed: Mapping[str, object] | None = None) -> Analysis:
    """Every series of the runs. Raises as :func:`series` does."""
    import pandas as pd

    found = series(records, option, fixed)
    tables = {place: table(place, runs, option) for place, runs in found.items()}
    told = []
    for place, frame in tables.items():
        best, validated = (frame[option].iloc[int(frame[c].to_numpy().argmax())] for c in ("HM", "val_HM"))
        told.append(
            f"{place}: {len(frame)} values of {option}, HM {frame['HM'].min():.2f} to {frame['HM'].max():.2f}; best on "
            f"the test {best}, on validation {validated}; {frame['seeds'].min()} seeds or more each"
        )

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for number, (place, frame) in enumerate(tables.items()):
            numbers = not any(isinstance(value, str) for value in frame[option])
            x = frame[option] if numbers else frame[option].astype(str)
            for column, line in (("HM", "-"), ("val_HM", ":")):
                deviation = frame[f"{column}_std"].fillna(0)
                label = f"{place}, {'test' if column == 'HM' else 'validation'}"
                axes.errorbar(x, frame[column], deviation, fmt=f"o{line}", color=f"C{number}", capsize=2, label=label)
        axes.set(xlabel=option, ylabel="HM (%), mean and deviation over seeds")
        axes.set_ylim(bottom=0)
        axes.grid(visible=True)
        axes.legend(fontsize="x-small")

    simulated = any(record.simulated for runs in found.values() for record in runs)
    return Analysis(pd.concat(tables.values(), ignore_index=True), "; ".join(told), draw, simulated=simulated)
