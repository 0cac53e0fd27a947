"""Small score tables drawn by hypothesis, and what they mean, worked out in plain loops over exact fractions."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from hypothesis import strategies as st

from avbench.harness.evaluation.evidence import Evidence, reduce_scores

ZERO = Fraction(0)


@dataclass(frozen=True)
class ScoreTable:
    """Scores of every clip for every class (ascending ids), the side of each class, the true class of each clip."""

    scores: list[list[float]]
    class_ids: list[int]
    seen: list[bool]
    labels: list[int]

    def evidence(self) -> Evidence:
        return reduce_scores(torch.tensor(self.scores, dtype=torch.float64), self.class_ids, self.seen, self.labels)

    def side(self, seen: bool) -> list[int]:
        return [c for c, s in zip(self.class_ids, self.seen, strict=True) if s == seen]

    def predict(self, offset: Fraction | float, candidates: list[int] | None = None) -> list[int]:
        """The first largest score of each clip after the offset is subtracted from every seen class."""
        predictions = []
        for row in self.scores:
            best: tuple[Fraction, int] | None = None
            for score, class_id, seen in zip(row, self.class_ids, self.seen, strict=True):
                value = Fraction(score) - (Fraction(offset) if seen else 0)
                if (candidates is None or class_id in candidates) and (best is None or value > best[0]):
                    best = (value, class_id)
            assert best is not None
            predictions.append(best[1])
        return predictions

    def class_mean(self, predictions: list[int], classes: list[int]) -> Fraction:
        """Mean over the classes that have clips of the share of their clips that is right."""
        recalls = []
        for class_id in classes:
            hits = [p == y for p, y in zip(predictions, self.labels, strict=True) if y == class_id]
            if hits:
                recalls.append(Fraction(sum(hits), len(hits)))
        return sum(recalls, ZERO) / len(recalls)

    def accuracies(self, offset: Fraction | float) -> tuple[Fraction, Fraction]:
        predictions = self.predict(offset)
        return self.class_mean(predictions, self.side(True)), self.class_mean(predictions, self.side(False))

    def one_side_accuracy(self, seen: bool) -> Fraction:
        """Accuracy of one side's clips when only that side's classes may be predicted."""
        return self.class_mean(self.predict(0, self.side(seen)), self.side(seen))

    def margins(self) -> list[Fraction]:
        """The distinct margins of all clips, ascending."""
        found = set()
        for row in self.scores:
            best = {
                side: max(Fraction(x) for x, s in zip(row, self.seen, strict=True) if s == side)
                for side in (True, False)
            }
            found.add(best[True] - best[False])
        return sorted(found)

    def between_margins(self) -> list[Fraction]:
        """One offset below all margins, one between each two, one above all."""
        margins = self.margins()
        return [margins[0] - 1, *((a + b) / 2 for a, b in itertools.pairwise(margins)), margins[-1] + 1]


def harmonic_mean(seen: Fraction, unseen: Fraction) -> Fraction:
    return 2 * seen * unseen / (seen + unseen) if seen + unseen else ZERO


@st.composite
def score_tables(draw: st.DrawFn, *, empty_classes: bool = False) -> ScoreTable:
    """Few classes with odd ids, few clips; scores coarse (many ties) or fine, always exact in float32.

    Every class has a clip, unless ``empty_classes``: then only each side has one.
    """
    class_ids = sorted(draw(st.sets(st.integers(0, 40), min_size=2, max_size=6)))
    seen = draw(
        st.permutations(
            [True, False, *draw(st.lists(st.booleans(), min_size=len(class_ids) - 2, max_size=len(class_ids) - 2))]
        )
    )
    required = [class_ids[seen.index(True)], class_ids[seen.index(False)]] if empty_classes else class_ids
    extra = draw(st.lists(st.sampled_from(class_ids), max_size=8))
    labels = draw(st.permutations(required + extra))
    coarse = st.integers(-4, 4).map(lambda i: i / 2)
    fine = st.integers(-(2**18), 2**18).map(lambda i: i / 2**16)
    width = len(labels) * len(class_ids)
    flat = draw(st.lists(draw(st.sampled_from([coarse, fine])), min_size=width, max_size=width))
    scores = np.array(flat).reshape(len(labels), len(class_ids))
    if draw(st.booleans()):  # help the true class, or most accuracies are 0
        scores[np.arange(len(labels)), np.searchsorted(class_ids, labels)] += 2
    return ScoreTable(scores.tolist(), class_ids, list(seen), list(labels))
