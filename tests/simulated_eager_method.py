"""A method whose only fault is that it imports torch when it is listed."""

from __future__ import annotations

import torch
from simulated_bad_methods import Good

from avbench.harness.contract.data import Clips


class Eager(Good):
    def features(self, clips: Clips) -> torch.Tensor:
        return super().features(clips)
