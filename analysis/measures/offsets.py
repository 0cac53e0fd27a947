"""S, U and HM over every calibrated stacking offset (Chao et al., ECCV 2016), from evidence alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from avbench.analysis.analysis import Analysis
from avbench.harness.evaluation.calibration import curve
from avbench.harness.evaluation.evidence import TEST, VALIDATION, Evidence

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Calibrated:
    """The evidence tables of a run, and the offset that validation chose."""

    tables: Mapping[str, Evidence]
    offset: float
    allow_empty: bool = False


def steps(evidence: Evidence, *, allow_empty: bool = False) -> pd.DataFrame:
    """The staircase: S, U and HM in percent hold from one ``offset`` to the next; the first row holds below all."""
    import pandas as pd

    found = curve(evidence, allow_empty=allow_empty)
    begins = np.concatenate([[np.nan], found.thresholds])
    return pd.DataFrame({"offset": begins, "S": found.seen, "U": found.unseen, "HM": found.hm})


def analyse(runs: Mapping[str, Calibrated], simulated: bool) -> Analysis:
    """Runs by name."""
    import pandas as pd

    frames, told = [], []
    for name, run in runs.items():
        for table in (VALIDATION, TEST):
            found = steps(run.tables[table], allow_empty=run.allow_empty)
            frames.append(found.assign(run=name, table=table)[["run", "table", "offset", "S", "U", "HM"]])
        entry = int(np.searchsorted(found["offset"].to_numpy()[1:], run.offset))
        told.append(
            f"{name}: test HM {found['HM'][entry]:.2f} at the offset {run.offset:.4g} of validation, "
            f"{found['HM'].max():.2f} at the best one for the test itself, {found['HM'][_at_zero(found)]:.2f} without"
        )

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        lows, highs = [], []
        for number, (name, run) in enumerate(runs.items()):
            for table, line in ((VALIDATION, ":"), (TEST, "-")):
                found = curve(run.tables[table], allow_empty=run.allow_empty)
                if not found.thresholds.size:
                    continue
                colour, label = f"C{number}", f"{name}, {table}"
                axes.step(found.thresholds, found.hm[1:], where="post", linestyle=line, color=colour, label=label)
                lows.append(found.thresholds[0])
                highs.append(found.thresholds[-1])
            axes.axvline(run.offset, color=f"C{number}", linewidth=0.8, alpha=0.7)
        axes.set(xlabel="offset subtracted from seen scores (upright: chosen on validation)", ylabel="HM (%)")
        if lows:
            axes.set_xlim(min(lows), max(highs))
        axes.set_ylim(bottom=0)
        axes.grid(visible=True)
        axes.legend()

    return Analysis(pd.concat(frames, ignore_index=True), "; ".join(told), draw, simulated=simulated)


def _at_zero(found: pd.DataFrame) -> int:
    return int(np.searchsorted(found["offset"].to_numpy()[1:], 0.0))
