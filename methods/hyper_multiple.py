"""Hyper-multiple: the mean of alignments under several predicted curvatures (paper section 4.4)."""

from __future__ import annotations

from typing import ClassVar

from avbench.harness.contract.method import Method
from avbench.harness.contract.options import Preset
from avbench.harness.plugins.hookspecs import hookimpl
from avbench.methods.families.hyper import (
    PREDICTION,
    Geometry,
    PredictedAlignment,
    PredictedOptions,
    by_track,
    describe,
)


class HyperMultipleOptions(PredictedOptions):
    """Numbers of curvatures: captions of tables 1 and 2. As published: curvature limits of the authors' readme."""

    geometry: Geometry = "h+h"

    presets: ClassVar[tuple[Preset, ...]] = (
        *by_track("geometry", ("h+h+h", "h+h", "h+h", "h+h+h", "h+h", "h+h+h")),
        *by_track("curvature", (0.50, 0.43, 0.37, 0.13, 0.36, 0.04), "as-published"),
    )


class HyperMultiple(PredictedAlignment):
    info = describe(
        "hyper-multiple",
        "Hyper-multiple",
        "Hyper-single with several predicted curvatures per clip, one for each space listed in geometry; "
        "the loss is the mean over the spaces.",
        *PREDICTION,
    )
    Options = HyperMultipleOptions


@hookimpl
def avbench_methods() -> list[type[Method]]:
    return [HyperMultiple]
