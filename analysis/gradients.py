"""How large the gradients of a loss's terms are at the end of training."""

from __future__ import annotations

from collections.abc import Mapping

from avbench.analysis.subject import Subject


def gradient_norms(subject: Subject, seed: int) -> Mapping[str, float]:
    """What the method of a run tells; nothing for a track. Global generators stay as they were."""
    from avbench.harness.evaluation.random_state import random_state_kept, seed_generators

    method = subject.method
    if method is None:
        return {}
    with random_state_kept(subject.stage.device):
        seed_generators(seed)
        return method.gradient_norms(subject.stage.training_set(unseen_names=method.info.uses_unseen_names), seed)
