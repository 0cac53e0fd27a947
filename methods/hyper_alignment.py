"""Hyper-alignment: AVCA with audio and visual similarities aligned under one fixed curvature (paper section 4.2)."""

from __future__ import annotations

from typing import ClassVar

from avbench.harness.contract.method import Difference, Method
from avbench.harness.contract.options import Preset
from avbench.harness.plugins.hookspecs import hookimpl
from avbench.methods.families.hyper import Alignment, AlignmentOptions, by_track, describe


class HyperAlignmentOptions(AlignmentOptions):
    """Curvatures: captions of tables 1 and 2; as published, those of the authors' readme (card section 4)."""

    presets: ClassVar[tuple[Preset, ...]] = (
        *by_track("curvature", (0.2, 0.2, 0.2, 0.2, 0.5, 0.1)),
        *by_track("curvature", (0.15, 0.19, 0.20, 0.22, 0.46, 0.09), "as-published"),
    )


class HyperAlignment(Alignment):
    info = describe(
        "hyper-alignment",
        "Hyper-alignment",
        "AVCA with one more loss: the similarities of a batch's audio encodings should equal those of its visual "
        "encodings, both mapped to a tangent space of fixed negative curvature.",
        Difference("curvature", "captions of tables 1 and 2", "two decimals; the captions round them", "curvature"),
    )
    Options = HyperAlignmentOptions


@hookimpl
def avbench_methods() -> list[type[Method]]:
    return [HyperAlignment]
