"""What a method gets to see in each stage, and how its answers become evidence. Fairness is enforced here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Parameter

from avbench.harness.contract.data import Classes, Clips, TrainingSet
from avbench.harness.contract.method import Companion, Method, Progress
from avbench.harness.errors import DataError, MethodError
from avbench.harness.evaluation.chunks import Chunks
from avbench.harness.evaluation.elsewhere import Elsewhere
from avbench.harness.evaluation.evidence import Evidence, kind_of, reduce_scores
from avbench.harness.evaluation.protocol import Protocol
from avbench.harness.evaluation.random_state import random_state_kept, seed_generators
from avbench.harness.evaluation.shown_order import ShownOrder
from avbench.harness.features.featureset import FeatureSet
from avbench.splits import SplitClass

# parts that are trained on, and the evaluated seen and unseen part, per stage
TRAINED = {1: ("train",), 2: ("train", "val_seen", "val_unseen")}
EVALUATED = {1: ("val_seen", "val_unseen"), 2: ("test_seen", "test_unseen")}


@dataclass(frozen=True)
class StageData:
    """One stage of a feature set under a protocol."""

    number: Literal[1, 2]
    features: FeatureSet
    vectors: Tensor
    """Label vectors by class id, as the protocol pairs them."""
    seen: tuple[SplitClass, ...]
    unseen: tuple[SplitClass, ...]
    rows: Tensor
    """Rows of the evaluated clips in the canonical order of evidence: seen before unseen, then by class id, then as
    stored. So what evidence holds in which place is known to whoever has the split."""
    labels: NDArray[np.int32]
    """True class ids of the evaluated clips, in that order."""
    texts: Mapping[str, Tensor] = field(default_factory=dict)
    """Named text vectors by class id, paired as the label vectors are."""

    @property
    def device(self) -> torch.device:
        return self.features.device

    @property
    def evaluated_rows(self) -> list[int]:
        """Rows of the evaluated clips in the order of the store: the seen part, then the unseen part."""
        return [row for part in EVALUATED[self.number] for row in range(*self.features.rows[part].indices(2**62))]

    @property
    def candidates(self) -> tuple[SplitClass, ...]:
        """Seen and unseen classes in ascending class id: the search space."""
        return tuple(sorted(self.seen + self.unseen, key=lambda c: c.id))

    def classes(self, members: tuple[SplitClass, ...], trained: tuple[SplitClass, ...]) -> Classes:
        ids = torch.tensor([c.id for c in members], device=self.device)
        known = {c.id for c in trained}
        return Classes(
            names=tuple(c.name for c in members),
            prompts=tuple(c.prompt for c in members),
            vectors=self.vectors[ids],
            trained=torch.tensor([c.id in known for c in members], device=self.device),
            texts={name: vectors[ids] for name, vectors in self.texts.items()},
        )

    def training_set(self, *, unseen_names: bool, few_bits: bool = False, views: bool = False) -> TrainingSet:
        """The clips of the training parts; the unseen classes' names and vectors only where they are declared.

        The tensors are copies: behind a view, the clips of the test would be within reach. ``few_bits``: features held
        in fewer bits than float32 are given as they are held. ``views``: of clips as they are held, for whoever copies
        them.
        """
        rows = slice(0, self.features.rows[TRAINED[self.number][-1]].stop)
        ids = torch.tensor([c.id for c in self.seen], device=self.device)
        return TrainingSet(
            clips=self._views(rows) if views else self._training_clips(rows, few_bits=few_bits),
            labels=torch.searchsorted(ids, self.features.class_id[rows]),
            classes=self.classes(self.seen, trained=self.seen),
            unseen=self.classes(self.unseen, trained=()) if unseen_names else None,
        )

    def _training_clips(self, rows: slice, *, few_bits: bool) -> Clips:
        if self.features.offsets is not None:  # batches of them are float32 in any case
            return self.features.first_steps(rows.stop)
        audio, visual = (
            held[rows].to(held.dtype if few_bits else torch.float32, copy=True)
            for held in (self.features.audio, self.features.visual)
        )
        return Clips(audio, visual)

    def _views(self, rows: slice) -> Clips:
        if self.features.offsets is not None:
            return self.features.packed().first(rows.stop)
        return Clips(self.features.audio[rows], self.features.visual[rows])

    def fit(self, method: Method, progress: Progress) -> None:
        """Seed every generator, fit, and check that the method left its inputs alone."""
        declared = type(method).info.uses_unseen_names  # of the class, as the record says it: not of this instance
        away = isinstance(method, Elsewhere)
        train = self.training_set(unseen_names=declared, few_bits=method.takes_few_bits, views=away)
        seed_generators(progress.seed)
        with guarded(method, "fit", train.clips.audio, train.clips.visual, train.labels, train.classes.vectors):
            method.fit(train, progress)

    def fit_together(self, methods: Sequence[Method], companions: Sequence[Companion]) -> None:
        """Fit methods of one kind at once, and check that they left their one training set alone."""
        kind = type(methods[0])
        train = self.training_set(unseen_names=kind.info.uses_unseen_names, few_bits=kind.takes_few_bits)
        held = train.clips.audio, train.clips.visual, train.labels, train.classes.vectors
        with guarded(methods[0], "fit_together", *held):
            kind.fit_together(methods, train, companions)

    def evidence(self, method: Method, trained: StageData | None = None) -> Evidence:
        """Score the evaluated clips and reduce the scores. ``trained``: the stage that the method was fitted on."""
        return self._score(method, lambda clips, classes: {"": method.predict(clips, classes)}, trained)[""]

    def branch_evidence(self, method: Method, trained: StageData | None = None) -> dict[str, Evidence]:
        """The same for the single branches of a method that has them. Raises :class:`MethodError` for others."""
        found = self._score(method, method.predict_branches, trained)
        if strangers := sorted(found.keys() - set(method.info.branches)):
            raise MethodError(
                f"{method.info.slug}.predict_branches gives the branches {', '.join(strangers)}, "
                "which its MethodInfo.branches does not name"
            )
        return found

    def _score(
        self, method: Method, call: Callable[[Clips, Classes], Mapping[str, Tensor]], trained: StageData | None
    ) -> dict[str, Evidence]:
        """Ask for scores chunk by chunk: unlabelled clips in an uninformative order. Random state is left as it was."""
        classes = self.classes(self.candidates, trained=(trained or self).seen)
        scores: dict[str, list[Tensor]] = {}
        order = self.shown.order()
        chunks = Chunks(self.features, self.rows[torch.from_numpy(order).to(self.device)])
        with random_state_kept(self.device):
            for clips in chunks.clips():
                with guarded(method, "predict", clips.audio, clips.visual, classes.vectors, classes.trained):
                    answer = call(clips, classes)
                for name, part in answer.items():
                    scores.setdefault(name, []).append(checked_scores(method, part, clips, classes))
        return {name: self._reduce(chunks.restored(parts), order) for name, parts in sorted(scores.items())}

    @cached_property
    def shown(self) -> ShownOrder:
        """The order in which the evaluated clips are shown."""
        if self.features.offsets is not None:
            return ShownOrder.over_time(self.features.packed(), self.rows.tolist())
        return ShownOrder.of(self.features.audio[self.rows], self.features.visual[self.rows])

    def _reduce(self, scores: Tensor, order: NDArray[np.intp]) -> Evidence:
        """Four numbers per clip, read back once and put in canonical order. Only here do labels come in."""
        seen = {c.id for c in self.seen}
        ids = [c.id for c in self.candidates]
        return reduce_scores(scores, ids, [i in seen for i in ids], self.labels[order]).rearranged(np.argsort(order))


def stage_data(features: FeatureSet, protocol: Protocol, *, stage: Literal[1, 2]) -> StageData:
    """The data of one stage. Raises :class:`DataError` when a needed label vector is unknown."""
    split, protocol = features.split, protocol.on(features.track)
    seen_part, unseen_part = EVALUATED[stage]
    vectors, texts = features.vectors, dict(features.texts)
    if protocol.label_vectors == "permuted":
        permuted = torch.tensor(split.permuted_ids, device=vectors.device)
        vectors = vectors[permuted]
        texts = {name: text[permuted] for name, text in texts.items()}
    seen, unseen = split.classes_of(seen_part), split.classes_of(unseen_part)
    known = torch.isfinite(vectors).all(dim=1).tolist()  # read back once
    missing = [c.name for c in seen + unseen if not known[c.id]]
    if missing:
        raise DataError(
            f"{features.track}: protocol {protocol.name!r} needs label vectors that this feature set lacks, for "
            f"{len(missing)} classes ({', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}); "
            "add vectors of all source classes, or use protocol 'aligned'"
        )
    class_id = features.class_id.cpu().numpy()
    rows = np.concatenate([_by_class(features.rows[part], class_id) for part in EVALUATED[stage]])
    labels = class_id[rows].astype(np.int32)
    placed = torch.from_numpy(rows).to(features.device)
    return StageData(stage, features, vectors, seen, unseen, placed, labels, texts)


def _by_class(part: slice, class_id: NDArray[np.int64]) -> NDArray[np.intp]:
    """The rows of a part, by class id and then as they are stored."""
    rows: NDArray[np.intp] = part.start + np.argsort(class_id[part], kind="stable")
    return rows


@contextmanager
def guarded(method: Method, what: str, *inputs: Tensor) -> Iterator[None]:
    """Turn a plugin's exception into a :class:`MethodError` and refuse inputs changed in place."""
    versions = [t._version for t in inputs]
    try:
        yield
    except MethodError:
        raise
    except Exception as error:
        raise MethodError(f"{method.info.slug}.{what} raised {type(error).__name__}: {error}") from error
    if [t._version for t in inputs] != versions:
        raise MethodError(f"{method.info.slug}.{what} changed its input in place; work on a copy")


def checked_scores(method: Method, scores: object, clips: Clips, classes: Classes) -> Tensor:
    """The scores of one call, if they are what the contract asks for (NaN is refused where they are reduced).

    Raises :class:`MethodError` for a wrong type, shape, dtype or device.
    """
    slug, shape = method.info.slug, (len(clips), len(classes))
    if type(scores) not in (Tensor, Parameter):  # another subclass could take part in what is done with it
        raise MethodError(f"{slug}.predict must return a tensor, not {kind_of(scores)}")
    assert isinstance(scores, Tensor)
    if tuple(scores.shape) != shape:
        raise MethodError(f"{slug}.predict returned shape {tuple(scores.shape)}, not (clips, classes) = {shape}")
    if not scores.is_floating_point():
        raise MethodError(f"{slug}.predict returned {scores.dtype}, not a floating-point tensor")
    if scores.device != clips.audio.device:
        raise MethodError(f"{slug}.predict returned a tensor on {scores.device}, not on {clips.audio.device}")
    return scores.detach()
