"""One step repeated: plainly on CPU, as a captured graph on CUDA."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch

from avbench.harness.testing.simulated import SimulatedProgress, fitted, moved, simulated_training
from avbench.methods.avca import AVCA, AVCAOptions
from avbench.methods.learning import steps


def test_on_cpu_every_call_is_one_plain_step() -> None:
    calls: list[int] = []
    step = steps.RepeatedStep(lambda: calls.append(len(calls)), torch.device("cpu"))
    for _ in range(7):
        step()
    assert calls == list(range(7))


def test_a_method_is_listed_without_torch() -> None:
    code = "import sys, avbench.methods.avca, avbench.methods.learning.training; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def trained_on_cuda(**options: Any) -> dict[str, torch.Tensor]:
    """The state after two epochs of eight steps, five of them replayed in the first."""
    given = {"batches_per_epoch": 8, "batch_size": 32, "reference_batch_norm": True, **options}
    progress = SimulatedProgress(epochs=2, device=torch.device("cuda"))
    return fitted(
        AVCA(AVCAOptions.model_validate(given)), moved(simulated_training(), torch.device("cuda")), progress
    ).state()


@pytest.mark.cuda
def test_the_captured_graph_trains_like_plain_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    no_dropout = {"dropout_encoder": 0.0, "dropout_projection": 0.0, "dropout_decoder": 0.0}
    graphed = trained_on_cuda(**no_dropout)
    monkeypatch.setattr(steps, "WARM_UP", 1000)
    plain = trained_on_cuda(**no_dropout)
    for name, tensor in plain.items():
        if "running" in name or "weight" in name:
            assert torch.allclose(graphed[name], tensor, rtol=1e-2, atol=1e-3), name


class RecordedCuda:
    """Stands in for torch's CUDA calls on a machine without such a device, and writes down their order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: self)
        monkeypatch.setattr(torch.cuda, "graph", lambda _, **__: self._during("capture"))
        monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
        monkeypatch.setattr(steps.RepeatedStep, "_run_on_side_stream", lambda step: step.step())
        forget = lambda: self.calls.append("workspaces forgotten")  # noqa: E731
        monkeypatch.setattr(torch._C, "_cuda_clearCublasWorkspaces", forget, raising=False)

    @contextmanager
    def _during(self, what: str) -> Iterator[None]:
        self.calls.append(f"{what} begins")
        try:
            yield
        finally:
            self.calls.append(f"{what} ends")

    def replay(self) -> None:
        self.calls.append("replay")


def test_a_capture_shares_no_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one that was there before (another graph may hold it), nor does it leave its own for others to take."""
    cuda = RecordedCuda(monkeypatch)
    step = steps.RepeatedStep(lambda: cuda.calls.append("step"), torch.device("cuda"))
    for _ in range(steps.WARM_UP + 2):
        step()
    assert cuda.calls == [
        *["step"] * steps.WARM_UP,
        "workspaces forgotten",
        "capture begins",
        "step",
        "capture ends",
        "workspaces forgotten",
        "replay",
        "replay",
    ]


def test_a_capture_that_fails_leaves_no_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = RecordedCuda(monkeypatch)
    monkeypatch.setattr(steps, "WARM_UP", 0)

    def fails() -> None:
        raise RuntimeError("no luck")

    with pytest.raises(RuntimeError, match="no luck"):
        steps.RepeatedStep(fails, torch.device("cuda"))()
    assert cuda.calls[-1] == "workspaces forgotten"


@pytest.mark.cuda
def test_same_seed_same_bits_on_cuda() -> None:
    first, second = trained_on_cuda(), trained_on_cuda()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.cuda
def test_random_numbers_differ_from_replay_to_replay() -> None:
    from avbench.methods.learning.blocks import dropout_mask

    device = torch.device("cuda")
    mask = torch.zeros(1000, device=device)
    step = steps.RepeatedStep(lambda: mask.copy_(dropout_mask((1000,), 0.5, device)), device)
    masks = []
    for _ in range(steps.WARM_UP + 4):
        step()
        masks.append(mask.clone())
    assert len({tuple(m.tolist()) for m in masks}) == len(masks)
