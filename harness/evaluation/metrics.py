"""The numbers of a record, recomputed from evidence and an offset alone. Accuracies in percent."""

from __future__ import annotations

from dataclasses import dataclass

from avbench.harness.evaluation.accuracy import class_recall, harmonic_mean, mean_class_accuracy, predict
from avbench.harness.evaluation.calibration import ausuc
from avbench.harness.evaluation.evidence import Evidence

__all__ = ["Metrics", "evaluate", "harmonic_mean", "mean_class_accuracy", "per_class_recall", "predict"]


@dataclass(frozen=True)
class Metrics:
    """What a board shows, in percent (guide: How a number is made, "Metrics")."""

    S: float
    """Mean class accuracy of seen clips over the joint search space, with the offset."""
    U: float
    """The same of unseen clips."""
    HM: float
    """Harmonic mean of S and U."""
    ZSL: float
    """Mean class accuracy of unseen clips over the unseen classes only; no offset."""
    AUSUC: float
    """Area under the seen-unseen curve, over all offsets."""


def evaluate(evidence: Evidence, offset: float, *, allow_empty: bool = False) -> Metrics:
    """All metrics at an offset that was chosen elsewhere, on validation.

    Raises :class:`RecordError` where a class of the search space has no clip, naming it; with ``allow_empty`` the means
    are over the classes that have clips, and ``evidence.empty_classes`` tells the rest.
    """
    seen, unseen = mean_class_accuracy(evidence, predict(evidence, offset), allow_empty=allow_empty)
    _, zero_shot = mean_class_accuracy(evidence, evidence.unseen_class, allow_empty=allow_empty)
    return Metrics(
        S=seen,
        U=unseen,
        HM=harmonic_mean(seen, unseen),
        ZSL=zero_shot,
        AUSUC=ausuc(evidence, allow_empty=allow_empty).ausuc,
    )


def per_class_recall(evidence: Evidence, offset: float) -> dict[int, tuple[float, int]]:
    """Recall in percent and number of clips by class id, ascending. A class without clips has no entry."""
    recall = 100 * class_recall(evidence, predict(evidence, offset))
    rows = zip(evidence.classes.tolist(), recall.tolist(), evidence.class_clips.tolist(), strict=True)
    return {class_id: (share, clips) for class_id, share, clips in rows if clips}
