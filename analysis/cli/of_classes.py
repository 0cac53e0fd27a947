"""``avbench analyse neighbours | distances``: how label vectors lie to each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, get_args

import click

from avbench.analysis.analysis import Analysis
from avbench.analysis.cli.options import analysis_command, protocol_option, subjects, track_option
from avbench.analysis.subject import TEXT, Which
from avbench.harness.cli.selection import results_option
from avbench.harness.contract.embeddings import OPTIMISED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from avbench.harness.records.results import ResultsFolder

run_argument = click.argument("run", required=False)
classes_option = click.option(
    "--classes",
    "which",
    default="all",
    show_default=True,
    type=click.Choice(get_args(Which)),
    help="Training classes of stage 1, seen or unseen ones of the test, or all of the test.",
)


@analysis_command
@run_argument
@track_option
@protocol_option
@classes_option
@results_option
def neighbours(run: str | None, track: str | None, protocol: str, which: Which, folder: ResultsFolder) -> Analysis:
    """The nearest other class of each by cosine distance of label vectors: of a run whose method optimises them also
    afterwards, with the share of nearest classes and of orders that stayed."""
    from avbench.analysis.measures import neighbours as measure

    return _of_classes(measure.analyse, run, track, protocol, which, folder)


@analysis_command
@run_argument
@track_option
@protocol_option
@classes_option
@results_option
def distances(run: str | None, track: str | None, protocol: str, which: Which, folder: ResultsFolder) -> Analysis:
    """Cosine distances of the label vectors of all pairs of classes; of a run whose method optimises them also
    afterwards."""
    from avbench.analysis.measures import distances as measure

    return _of_classes(measure.analyse, run, track, protocol, which, folder)


def _of_classes(
    analyse: Callable[[str, list[str], NDArray[np.float32], NDArray[np.float32] | None, bool], Analysis],
    run: str | None,
    track: str | None,
    protocol: str,
    which: Which,
    folder: ResultsFolder,
) -> Analysis:
    (subject,) = subjects(folder, [run] if run else [], track, protocol)
    members = subject.members(which)
    names = [subject.candidates[row].name for row in members]
    after = subject.classes[OPTIMISED][members] if OPTIMISED in subject.classes else None
    return analyse(subject.name, names, subject.of_classes(TEXT)[members], after, subject.simulated)
