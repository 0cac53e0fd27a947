"""Judging a score matrix of one's own against a track: what to score, the offset, the metrics."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

from avbench.given import one, series
from avbench.harness.evaluation.calibration import Offset
from avbench.harness.evaluation.metrics import Metrics
from avbench.harness.evaluation.metrics import evaluate as metrics_of
from avbench.harness.evaluation.protocol import Protocol, find_protocol
from avbench.harness.plugins.sources import load_features as load
from avbench.harness.plugins.sources import require_known
from avbench.harness.tracks import Track, parse_track

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from avbench.harness.contract.data import Classes, Clips
    from avbench.harness.evaluation.matrices import Part
    from avbench.harness.features.featureset import FeatureSet


def load_features(track: Track | str) -> FeatureSet:
    """The features of a track such as ``"ucf/demo"``, on the CPU.

    Raises :class:`UsageError` for a misspelt track, :class:`DataError` for features that are not installed.
    """
    place = parse_track(one("track", track, (Track, str), "a track, such as 'ucf/demo'"))
    require_known([place.features])
    return load(place)


def to_score(track: Track | str, part: Part = "test", *, protocol: str = "aligned") -> tuple[Clips, Classes]:
    """The clips that a score matrix has rows for, and the classes that it has columns for, in that order.

    ``part``: ``validation`` (choose the offset there) or ``test``. Raises as :func:`load_features`.
    """
    from avbench.harness.evaluation.matrices import scored

    return scored(load_features(track), _protocol(protocol), part)


def calibrate(
    scores: torch.Tensor | NDArray[Any],
    track: Track | str,
    *,
    protocol: str = "aligned",
    classes: Sequence[str] | None = None,
    labels: Sequence[int | str] | None = None,
) -> Offset:
    """The calibrated stacking offset with the best harmonic mean on validation (Chao et al., ECCV 2016).

    ``scores``: (N, C) of the validation clips over all candidate classes, higher is better; NumPy or torch.
    ``classes``, ``labels`` and errors: see :func:`evaluate`.
    """
    from avbench.harness.evaluation.matrices import evidence_of

    features = load_features(track)
    _refuse_no_series(classes, labels)
    chosen = _protocol(protocol).on(features.track)
    evidence = evidence_of(scores, features, "validation", classes=classes, labels=labels)
    return chosen.find_offset(evidence, allow_empty=features.incomplete or labels is not None)


def evaluate(
    scores: torch.Tensor | NDArray[Any],
    track: Track | str,
    *,
    offset: Offset | float = 0.0,
    part: Part = "test",
    classes: Sequence[str] | None = None,
    labels: Sequence[int | str] | None = None,
) -> Metrics:
    """S, U, HM, ZSL and AUSUC in percent of a score matrix, with an offset that was chosen on validation.

    ``scores``: (N, C), higher is better; NumPy or torch. Rows and columns are those of :func:`to_score`, unless
    ``classes`` gives names for the columns, or ``labels`` true classes (ids or names) for rows of other clips; means
    are then over the classes that have clips.

    Raises :class:`UsageError` for unknown names, a wrong shape, or labels outside the search space;
    :class:`MethodError` for scores that are no floating-point numbers, NaN or infinite.
    """
    from avbench.harness.evaluation.matrices import evidence_of

    features = load_features(track)
    _refuse_no_series(classes, labels)
    number = one("offset", offset, (Real, Offset), "a number, or what avbench.calibrate gave")
    evidence = evidence_of(scores, features, part, classes=classes, labels=labels)
    value = number.value if isinstance(number, Offset) else float(number)
    return metrics_of(evidence, value, allow_empty=features.incomplete or labels is not None)


def _protocol(name: object) -> Protocol:
    return find_protocol(one("protocol", name, str, "the name of a protocol, such as 'aligned'"))


def _refuse_no_series(classes: object, labels: object) -> None:
    for name, given in (("classes", classes), ("labels", labels)):
        if given is not None:
            series(name, given, "a list")
