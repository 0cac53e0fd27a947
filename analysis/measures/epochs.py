"""Validation over the epochs of stage 1, from records alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from avbench.analysis.analysis import Analysis

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from avbench.harness.records.record import Outcome


def analyse(outcomes: Mapping[str, Outcome], simulated: bool) -> Analysis:
    """Outcomes of finished runs by name."""
    import pandas as pd

    rows = [
        {"run": name, "epoch": number, **epoch.model_dump(), "chosen": number == outcome.epochs}
        for name, outcome in outcomes.items()
        for number, epoch in enumerate(outcome.validation, start=1)
    ]
    told = [
        f"{name}: validation HM {outcome.validation[outcome.epochs - 1].HM:.2f} at epoch {outcome.epochs} of "
        f"{len(outcome.validation)}, {outcome.validation[-1].HM:.2f} at the last"
        for name, outcome in outcomes.items()
    ]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for name, outcome in outcomes.items():
            values = [epoch.HM for epoch in outcome.validation]
            (line,) = axes.plot(range(1, len(values) + 1), values, label=name)
            axes.plot(outcome.epochs, values[outcome.epochs - 1], "o", color=line.get_color())
        axes.set(xlabel="epoch of stage 1 (dot: chosen)", ylabel="validation HM (%)")
        axes.set_ylim(bottom=0)
        axes.grid(visible=True)
        axes.legend()

    return Analysis(pd.DataFrame(rows), "; ".join(told), draw, simulated=simulated)
