"""Checks of saved states. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import load, save

from avbench.harness.testing.check import CheckFailedError
from avbench.harness.testing.comparison import refuse_gap, refuse_other_state
from avbench.harness.testing.subject import Fit, Subject, called


def state_restored(subject: Subject) -> None:
    fit = subject.fit()
    other = restored(subject, fit)
    refuse_gap(fit.own_answers, other.own_answers, "a method restored from its saved state gives other scores")
    refuse_other_state(fit.state, other.state, "a method restored from a saved state has another state")
    one, two = (called("parameters", made.method.parameters) for made in (fit, other))
    if one != two:
        raise CheckFailedError(f"a method restored from its saved state has {two} parameters instead of {one}")


def restored(subject: Subject, fit: Fit, options: Mapping[str, Any] | None = None) -> Fit:
    """A fresh method that loads the state of a fitted one, as from a file."""
    device = fit.progress.device
    saved = called("state", lambda: save({name: tensor.contiguous() for name, tensor in fit.state.items()}))
    state = {name: tensor.to(device) for name, tensor in load(saved).items()}
    method = subject.made(options)
    random_state = torch.get_rng_state()
    called("load_state", lambda: method.load_state(state))
    if not torch.equal(random_state, torch.get_rng_state()):
        raise CheckFailedError("load_state moves the global random generator")
    return Fit(method, fit.task, fit.progress)
