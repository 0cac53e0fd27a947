"""Evidence: the four numbers and the true class per clip from which every number of a record can be recomputed.

Best seen class and score, best unseen class and score. Numpy only, but for the reduction itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from avbench.harness.errors import MethodError, RecordError

if TYPE_CHECKING:
    from torch import Tensor

TEST = "test"
"""Name of the table of evidence on the test clips."""
VALIDATION = "validation"
"""Name of the table on the validation clips of the chosen epoch; ``validation.<branch>`` for single branches."""

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]

_DTYPES = {
    "label": "int32",
    "seen_class": "int32",
    "seen_score": "float32",
    "unseen_class": "int32",
    "unseen_score": "float32",
    "seen_classes": "int32",
    "unseen_classes": "int32",
}
_SPACES = ("seen_classes", "unseen_classes")
_BLOCK = 2**19
"""Scores that a thread searches at once on a CPU: a copy of them stays in its cache."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What an evaluation saw of N clips, over a search space of S seen and U unseen classes.

    Scores are float32, higher is better, before any offset. Raises :class:`RecordError` where an array has a wrong
    shape or type, a score is NaN or infinite, or a class lies outside its search space.
    """

    label: Ints
    """(N,) true class ids."""
    seen_class: Ints
    """(N,) id of the best seen class; the lowest id among equals."""
    seen_score: Floats
    """(N,) its score."""
    unseen_class: Ints
    """(N,) id of the best unseen class; the lowest id among equals."""
    unseen_score: Floats
    """(N,) its score."""
    seen_classes: Ints
    """(S,) ids of the seen search space, ascending."""
    unseen_classes: Ints
    """(U,) ids of the unseen search space, ascending."""

    def __post_init__(self) -> None:
        for name, array in self.to_arrays().items():
            _check_vector(name, array)
            if name not in _SPACES and array.size != self.label.size:
                raise RecordError(f"evidence: {name} has {array.size} entries, label has {self.label.size}.")
        for name in _SPACES:
            ids = getattr(self, name)
            if ids[0] < 0 or not _ascending(ids):
                raise RecordError(f"evidence: {name} must be class ids, ascending and without repetition.")
        if self.classes.size < self.seen_classes.size + self.unseen_classes.size:
            both = np.intersect1d(self.seen_classes, self.unseen_classes)
            raise RecordError(f"evidence: classes {_listed(both)} are both seen and unseen.")
        for name in ("seen_score", "unseen_score"):
            bad = np.flatnonzero(~np.isfinite(getattr(self, name)))
            if bad.size:
                raise RecordError(f"evidence: {name} is NaN or infinite for {bad.size} clips, first at clip {bad[0]}.")
        for name, known in (
            ("label", self.classes.take(self.class_row, mode="clip") == self.label),
            ("seen_class", np.isin(self.seen_class, self.seen_classes)),
            ("unseen_class", np.isin(self.unseen_class, self.unseen_classes)),
        ):
            if not known.all():
                ids = getattr(self, name)
                strangers = _listed(np.unique(ids[~known]))
                raise RecordError(f"evidence: {name} holds class ids outside its search space: {strangers}.")

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The seven arrays by name, ready to be stored."""
        return {name: getattr(self, name) for name in _DTYPES}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Evidence:
        """The evidence that :meth:`to_arrays` gave. Raises :class:`RecordError` for anything else."""
        if set(arrays) != set(_DTYPES):
            got = ", ".join(sorted(arrays)) or "none"
            raise RecordError(f"evidence: expected the arrays {', '.join(_DTYPES)}; got {got}.")
        return cls(**arrays)

    def rearranged(self, order: NDArray[np.intp]) -> Evidence:
        """The same evidence with the clips in another order: in place k the clip ``order[k]``."""
        arrays = self.to_arrays()
        return Evidence(**{name: array if name in _SPACES else array[order] for name, array in arrays.items()})

    @cached_property
    def classes(self) -> Ints:
        """(S + U,) ids of the joint search space, ascending."""
        return np.union1d(self.seen_classes, self.unseen_classes)

    @cached_property
    def class_row(self) -> NDArray[np.intp]:
        """(N,) rows of the true classes in :attr:`classes`."""
        rows: NDArray[np.intp] = np.searchsorted(self.classes, self.label)
        return rows

    @cached_property
    def class_clips(self) -> NDArray[np.intp]:
        """(S + U,) clips of each class of :attr:`classes`."""
        return np.bincount(self.class_row, minlength=self.classes.size)

    @cached_property
    def class_is_seen(self) -> NDArray[np.bool_]:
        """(S + U,) whether each class of :attr:`classes` is seen."""
        return np.isin(self.classes, self.seen_classes)

    @property
    def filled_sides(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """(S + U,) each: whether a class of :attr:`classes` is a seen one with clips, and an unseen one with clips."""
        filled = self.class_clips > 0
        return filled & self.class_is_seen, filled & ~self.class_is_seen

    @property
    def empty_classes(self) -> Ints:
        """Ids of the classes of the search space without any clip, ascending."""
        empty: Ints = self.classes[self.class_clips == 0]
        return empty

    @property
    def is_seen(self) -> NDArray[np.bool_]:
        """(N,) whether the true class is a seen one."""
        return self.class_is_seen[self.class_row]

    @cached_property
    def margin(self) -> NDArray[np.float64]:
        """(N,) best seen score minus best unseen score, in float64."""
        return self.seen_score.astype(np.float64) - self.unseen_score


def kind_of(scores: object) -> str:
    """What was given in place of scores, and what makes it a tensor where that is easy."""
    if isinstance(scores, np.ndarray):
        return f"a NumPy array of {scores.dtype}: return torch.from_numpy(scores)"
    kind = type(scores).__name__
    return str(getattr(scores, "dtype", kind)) if kind == "Tensor" else kind


def reduce_scores(
    scores: Tensor,
    class_ids: Tensor | Sequence[int] | NDArray[Any],
    seen: Tensor | Sequence[bool] | NDArray[Any],
    labels: Tensor | Sequence[int] | NDArray[Any],
) -> Evidence:
    """The evidence in a score matrix, reduced on its device and read back once.

    ``scores``: (N, C), any floating type, taken as float32. ``class_ids``: (C,) ascending ids of the columns. ``seen``:
    (C,) which columns are seen classes. ``labels``: (N,) true class ids. Keep the last three on the host: each of them
    that lives on another device costs one more copy. Equal scores go to the lowest class id.

    Raises :class:`MethodError` for scores of a wrong shape or type, NaN or infinite; :class:`RecordError` for labels or
    classes that do not fit together.
    """
    import torch

    ids, truth = (np.asarray(_on_host(x), dtype=np.int32) for x in (class_ids, labels))
    mask = np.asarray(_on_host(seen), dtype=np.bool_)
    if mask.shape != ids.shape or mask.all() or not mask.any() or not _ascending(ids):
        raise RecordError("the search space needs ascending class ids, at least one of them seen and one unseen.")
    if not isinstance(scores, torch.Tensor) or not scores.is_floating_point():
        raise MethodError(f"scores must be a tensor of floating type, not {kind_of(scores)}")
    if tuple(scores.shape) != (truth.size, ids.size):
        raise MethodError(
            f"scores have shape {tuple(scores.shape)}, expected {(truth.size, ids.size)}: "
            "a row for each clip, a column for each class."
        )
    scores = scores.detach().float()
    best = _best_on_host if scores.device.type == "cpu" else _best_on_device
    (seen_score, unseen_score, total), (seen_column, unseen_column) = best(scores, [~mask, mask])
    # NaN and infinity show in sums, which are cheap. So may the sum of large scores: then a closer look decides.
    if not np.isfinite(total).all() and not bool(torch.isfinite(scores).all()):
        raise _not_finite(scores, ids)
    return Evidence(
        label=truth,
        seen_class=ids[seen_column],
        seen_score=seen_score,
        unseen_class=ids[unseen_column],
        unseen_score=unseen_score,
        seen_classes=ids[mask],
        unseen_classes=ids[~mask],
    )


def _best_on_host(scores: Tensor, hidden: Sequence[NDArray[np.bool_]]) -> tuple[Sequence[Floats], Sequence[Any]]:
    """Each clip's best scores while one side is hidden and the other, the sum of all, and the columns of the best.

    Of equals the first. ``hidden``: (C,) columns to leave out, for each of the two searches. NumPy searches, because on
    a CPU torch's maximum with indices takes several times as long; each of torch's threads searches clips of its own,
    as one that reads what another has just written waits for it. To add minus infinity to a block that stays in the
    cache takes less than to mask or to gather its columns.
    """
    from concurrent.futures import ThreadPoolExecutor

    import torch

    table, masks = scores.numpy(), np.where(hidden, np.float32(-np.inf), np.float32(0))
    clips, classes = table.shape
    rows = max(1, _BLOCK // classes)
    values, columns = np.empty((2, clips), np.float32), np.empty((2, clips), np.intp)

    def search(start: int, end: int) -> None:
        shown = np.empty((min(rows, end - start), classes), np.float32)
        with np.errstate(invalid="ignore"):  # infinite scores are refused later, with the place of the first
            for first in range(start, end, rows):
                block = table[first : min(first + rows, end)]
                for mask, best, column in zip(masks, values, columns, strict=True):
                    part = slice(first, first + len(block))
                    np.add(block, mask, out=shown[: len(block)]).argmax(axis=1, out=column[part])
                    best[part] = block[np.arange(len(block)), column[part]]

    shares = max(1, min(torch.get_num_threads(), -(-clips // rows)))
    edges = [clips * share // shares for share in range(shares + 1)]
    if shares == 1:
        search(0, clips)
    else:
        with ThreadPoolExecutor(shares) as pool:
            list(pool.map(search, edges[:-1], edges[1:]))
    return [*values, scores.sum().numpy()], [*columns]


def _best_on_device(scores: Tensor, hidden: Sequence[NDArray[np.bool_]]) -> tuple[Sequence[Floats], Sequence[Any]]:
    """The same, with a sum for each clip, worked out on the device of the scores and read back in one copy."""
    import torch

    masks = torch.from_numpy(np.stack(hidden)).to(scores.device)
    best = [scores.masked_fill(mask, -torch.inf).max(dim=1) for mask in masks]
    floats = [*(side.values for side in best), scores.sum(dim=1)]
    bits = [*(part.view(torch.int32) for part in floats), *(side.indices.int() for side in best)]
    packed = torch.cat(bits).cpu().numpy().reshape(len(bits), -1)
    return [*packed[: len(floats)].view(np.float32)], [*packed[len(floats) :]]


def _on_host(values: Tensor | Sequence[Any] | NDArray[Any]) -> Any:
    return values.cpu().numpy() if hasattr(values, "cpu") else values


def _not_finite(scores: Tensor, ids: Ints) -> MethodError:
    import torch

    clips, columns = torch.nonzero(~torch.isfinite(scores), as_tuple=True)
    clip, column = int(clips[0]), int(columns[0])
    return MethodError(
        f"{clips.numel()} of {scores.numel()} scores are NaN or infinite as float32; "
        f"the first is {scores[clip, column].item()} at clip {clip}, class id {ids[column]}."
    )


def _check_vector(name: str, array: object) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != np.dtype(_DTYPES[name]) or array.ndim != 1 or not array.size:
        got = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise RecordError(f"evidence: {name} must be a non-empty vector of {_DTYPES[name]}, got {got}.")


def _ascending(ids: Ints) -> bool:
    return bool((ids[1:] > ids[:-1]).all())


def _listed(ids: Ints) -> str:
    """The first few class ids, for a message."""
    shown = ", ".join(map(str, ids[:10]))
    return f"{shown}, ... ({ids.size} in all)" if ids.size > 10 else shown
