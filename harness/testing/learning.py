"""Checks of learning: what decides it, whether it happens, and what an interruption leaves. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from avbench.harness.testing.check import CheckFailedError, NotApplicableError
from avbench.harness.testing.comparison import refuse_gap, refuse_other_state, same_state, situation
from avbench.harness.testing.simulated import chosen
from avbench.harness.testing.subject import Fit, Subject, called

EASY: Mapping[str, int] = {"trained": 20, "unseen": 8, "clips": 240, "rank": 12}
"""Many classes in few dimensions, so that unseen ones lie between trained ones."""
BUDGETS = (
    {"epochs": 1, "batches_per_epoch": 25, "batch_size": 48},
    {"epochs": 3, "batches_per_epoch": 40, "batch_size": 48},
)
"""Tried in turn, with another seed each, until one is enough."""
PERMUTATIONS = 500


def deterministic(subject: Subject) -> None:
    fit, again = subject.fit(), subject.new_fit()
    refuse_other_state(fit.state, again.state, "two fits with the same seed end in different states")
    refuse_gap(fit.own_answers, again.own_answers, "two fits with the same seed give different scores")


def seeds_differ(subject: Subject) -> None:
    fit, other = subject.fit(), subject.fit(seed=1)
    if not same_state(fit.state, other.state):
        return
    if fit.progress.seed_was_read or fit.watches[0].drew or called("parameters", fit.method.parameters):
        raise CheckFailedError("fits with seeds 0 and 1 end in the same state, although the method draws or trains")
    raise NotApplicableError("the method draws nothing at random")


def beats_chance(subject: Subject) -> None:
    easy = subject.task(**EASY)
    parts = {"trained": torch.arange(easy.trained), "unseen": torch.arange(easy.trained, easy.trained + easy.unseen)}
    if subject.kind.info.generative:  # a generator needs more steps than a check has to reach unseen classes
        del parts["unseen"]
    found = ""
    for seed, budget in enumerate(BUDGETS):
        fit = subject.fit(easy, seed=seed, options=subject.affordable(budget, subject.small))
        missed = [name for name, rows in parts.items() if not _beats_chance(fit, rows)]
        if not missed:
            return
        found = f"{' and '.join(missed)} classes are told apart no better than by chance"
    raise CheckFailedError(f"on an easy task, where features are a linear map of the label vector plus noise, {found}")


def _beats_chance(fit: Fit, rows: torch.Tensor) -> bool:
    """Whether 8 clips of each class are recognised more often than under any of many random labellings."""
    truth = torch.arange(len(rows)).repeat_interleave(8)
    best = fit.scores(fit.task.evaluated(rows[truth]), chosen(fit.task.candidates, rows)).argmax(1)
    generator = torch.Generator().manual_seed(0)
    by_chance = [(best == truth[torch.randperm(len(truth), generator=generator)]).sum() for _ in range(PERMUTATIONS)]
    return bool((best == truth).sum() > torch.stack(by_chance).max())


def interrupt_recovered(subject: Subject) -> None:
    fit, watch = subject.fit(), subject.interrupted_fit()
    if changed := watch.settings.keys() - fit.watches[0].settings.keys():
        raise CheckFailedError(f"an interrupted fit leaves settings changed: {', '.join(sorted(changed))}")
    with situation("a fit after an interrupted one is not as if that had not been"):
        again = subject.new_fit()
        refuse_other_state(fit.state, again.state, "its state differs")
        refuse_gap(fit.own_answers, again.own_answers, "its scores differ")
