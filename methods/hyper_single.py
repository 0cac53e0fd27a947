"""Hyper-single: Hyper-alignment with one curvature per clip, predicted from its encodings (paper section 4.3)."""

from __future__ import annotations

from typing import ClassVar

from avbench.harness.contract.method import Method
from avbench.harness.contract.options import Preset
from avbench.harness.plugins.hookspecs import hookimpl
from avbench.methods.families.hyper import PREDICTION, PredictedAlignment, PredictedOptions, by_track, describe


class HyperSingleOptions(PredictedOptions):
    """As published: curvature limits of the authors' readme (card section 4)."""

    presets: ClassVar[tuple[Preset, ...]] = by_track("curvature", (0.34, 0.13, 0.37, 0.11, 0.03, 0.05), "as-published")


class HyperSingle(PredictedAlignment):
    info = describe(
        "hyper-single",
        "Hyper-single",
        "Hyper-alignment with one curvature per clip, predicted by a linear map of its audio and visual encodings.",
        *PREDICTION,
    )
    Options = HyperSingleOptions


@hookimpl
def avbench_methods() -> list[type[Method]]:
    return [HyperSingle]
