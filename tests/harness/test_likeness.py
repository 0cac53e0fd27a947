"""Which changes of answers leave two runs one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from avbench.harness.records.likeness import alike, answers_of


def test_a_few_chosen_clips_of_many_make_no_other_run() -> None:
    """Case: eleven of VGGSound's 12,482 test clips, those that a sample would have held."""
    clips, random = 12_482, np.random.default_rng(0)
    seen, unseen = random.integers(0, 276, (2, clips), np.int32)
    table: Any = SimpleNamespace(seen_class=seen, unseen_class=unseen)
    changed = unseen.copy()
    changed[np.linspace(0, clips - 1, 1_000).astype(int)[:11]] += 1
    other: Any = SimpleNamespace(seen_class=seen, unseen_class=changed)
    assert alike(answers_of(table), answers_of(other))
    changed[: clips // 50] += 1
    assert not alike(answers_of(table), answers_of(other))
