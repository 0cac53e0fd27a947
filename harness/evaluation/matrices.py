"""Score matrices that were made elsewhere: what their rows and columns mean, and their evidence. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avbench.harness.contract.data import Classes, Clips
from avbench.harness.contract.plain_arrays import odd_kind
from avbench.harness.errors import MethodError, UsageError, unknown
from avbench.harness.evaluation.evidence import Evidence, reduce_scores
from avbench.harness.evaluation.protocol import Protocol
from avbench.harness.evaluation.stages import StageData, stage_data
from avbench.harness.features.featureset import FeatureSet

Part = Literal["validation", "test"]


def scored(features: FeatureSet, protocol: Protocol, part: Part) -> tuple[Clips, Classes]:
    """The clips (rows, in the order of the store) and the candidate classes (columns) of a score matrix."""
    stage = _stage(features, protocol, part)
    rows = stage.evaluated_rows
    clips = (
        Clips(features.audio[rows].clone(), features.visual[rows].clone())
        if features.offsets is None
        else features.packed().take(torch.tensor(rows))
    )
    return clips, stage.classes(stage.candidates, trained=stage.seen)


def evidence_of(
    scores: Tensor | NDArray[Any],
    features: FeatureSet,
    part: Part,
    *,
    classes: Sequence[str] | None = None,
    labels: Sequence[int | str] | None = None,
) -> Evidence:
    """The evidence in a score matrix (N, C) over the candidate classes of a part.

    ``classes``: names of the columns, in any order; default: ascending class id. ``labels``: true classes of the rows,
    names or ids; default: those of the part's clips, in the order of the store.

    Raises :class:`UsageError` for unknown names, a wrong shape or a label outside the search space,
    :class:`MethodError` for scores that are not floating-point, NaN or infinite.
    """
    from avbench.harness.evaluation.protocol import ALIGNED

    stage = _stage(features, ALIGNED, part)
    matrix = _matrix(scores)
    ids = {c.name: c.id for c in stage.candidates}
    columns = list(ids) if classes is None else _columns(classes, ids)
    truth = features.class_id[stage.evaluated_rows].tolist() if labels is None else _labels(labels, ids)
    expected = (len(truth), len(ids))
    if tuple(matrix.shape) != expected:
        raise UsageError(
            f"{features.track} {part}: scores have shape {tuple(matrix.shape)}, not (clips, classes) = {expected}; "
            "avbench.to_score gives the clips and classes in order"
        )
    place = {name: column for column, name in enumerate(columns)}
    seen = {c.id for c in stage.seen}
    return reduce_scores(
        matrix[:, [place[name] for name in ids]], list(ids.values()), [i in seen for i in ids.values()], truth
    )


def _stage(features: FeatureSet, protocol: Protocol, part: Part) -> StageData:
    if part not in get_args(Part):
        raise unknown("part", str(part), get_args(Part))
    return stage_data(features, protocol, stage=1 if part == "validation" else 2)


def _matrix(scores: object) -> Tensor:
    if odd := odd_kind(scores):
        raise MethodError(f"scores are {odd}")
    if isinstance(scores, np.ndarray):
        if scores.dtype.kind != "f":
            raise MethodError(f"scores are {scores.dtype}, not floating-point numbers: convert them with astype(float)")
        scores = torch.from_numpy(np.ascontiguousarray(scores))
    assert isinstance(scores, Tensor)
    return scores


def _columns(classes: Sequence[str], ids: dict[str, int]) -> list[str]:
    names = [str(name) for name in classes]
    for name in names:
        if name not in ids:
            raise unknown("class", name, ids)
    if missing := [name for name in ids if name not in names]:
        raise UsageError(f"classes: {len(missing)} of {len(ids)} have no column: {', '.join(missing[:5])}")
    if len(names) != len(ids):
        raise UsageError("classes: a name stands twice")
    return names


def _labels(labels: Sequence[int | str], ids: dict[str, int]) -> list[int]:
    known = set(ids.values())
    found: list[int] = []
    for label in labels:
        if isinstance(label, str):
            if label not in ids:
                raise unknown("class", label, ids)
            found.append(ids[label])
        elif isinstance(label, bool) or not isinstance(label, int | np.integer):
            raise UsageError(f"labels: {label!r} is neither the name nor the id of a class")
        elif int(label) not in known:
            raise UsageError(f"labels: class id {int(label)} is outside the search space of {len(known)} classes")
        else:
            found.append(int(label))
    return found
