"""Optuna's plots of a study."""

from __future__ import annotations

import warnings
from pathlib import Path

from avbench.harness.picture import require_drawable, save, stable
from avbench.harness.tuning.outcome import Tuning
from avbench.harness.tuning.study import Study


def write_plots(study: Study, tuning: Tuning, folder: Path) -> list[Path]:
    """Its history, each option, and their importances where they tell anything, as SVG files.

    Raises :class:`UsageError` where matplotlib is not installed.
    """
    names = ["optimization_history", "slice", *(["param_importances"] if tuning.importances else [])]
    paths = [folder / f"{study.name}-{name.replace('_', '-')}.svg" for name in names]
    require_drawable(paths[0])
    from matplotlib import pyplot
    from optuna.visualization import matplotlib as plots

    pyplot.switch_backend("agg")
    for name, path in zip(names, paths, strict=True):
        # all of Optuna's plots are experimental to it
        with stable({"savefig.bbox": "tight"}), warnings.catch_warnings(action="ignore"):
            getattr(plots, f"plot_{name}")(study.optuna_study())
            save(pyplot.gcf(), path)
            pyplot.close("all")
    return paths
