"""Running one training step many times: plainly, or on CUDA as one captured graph. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

WARM_UP = 3
"""Steps run before the capture: allocators, libraries and the optimiser's state must have settled."""


class RepeatedStep:
    """Calls ``step`` once per call. ``step`` takes nothing and reads its batch through tensors that stay in place.

    On CUDA the first calls run on a side stream as ordinary steps; then one step is captured, and every later
    call replays it without touching Python. So ``step`` must not wait for the device, and what changes from one call to
    the next (batch, learning rate) must live in device tensors that are updated in place. Without ``captured`` every
    call is an ordinary step, for steps whose shapes change. ``generators``: what the step draws from beside torch's
    global generator.
    """

    def __init__(
        self,
        step: Callable[[], None],
        device: torch.device,
        *,
        captured: bool = True,
        generators: Sequence[torch.Generator] = (),
    ) -> None:
        self.step = step
        self.captured = captured
        self.generators = generators
        self.device = device
        self.graph: torch.cuda.CUDAGraph | None = None
        self.calls = 0

    def __call__(self) -> None:
        if self.device.type != "cuda" or not self.captured:
            self.step()
            return
        with torch.cuda.device(self.device):
            if self.calls < WARM_UP:
                self._run_on_side_stream()
            elif self.graph is None:
                self.graph = self._capture()
            if self.graph is not None:
                self.graph.replay()
        self.calls += 1

    def _run_on_side_stream(self) -> None:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self.step()
        torch.cuda.current_stream().wait_stream(stream)

    def _capture(self) -> torch.cuda.CUDAGraph:
        """Record one step, with workspaces of its own. The recording computes nothing.

        cuBLAS keeps a workspace for each handle and stream, and all captures of a process share both; so two graphs,
        such as those of two fits in two threads, would overwrite each other's partial sums where they replay at once.
        Forgotten before, the workspaces are allocated anew inside the graph's memory; forgotten after, nobody else
        takes those.
        """
        graph = torch.cuda.CUDAGraph()
        for generator in self.generators:
            graph.register_generator_state(generator)
        _forget_workspaces()
        try:
            # thread_local: a thread that gathers the next batch may copy meanwhile
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self.step()
        finally:
            _forget_workspaces()
        return graph


def _forget_workspaces() -> None:
    """Let go of the workspaces of cuBLAS; each is allocated again where it is next needed. (In torch since 2.0, where
    its own trees of graphs call it for the same reason; it has no public name.)"""
    torch._C._cuda_clearCublasWorkspaces()


def keep_freed_memory() -> None:
    """Let the C library keep the memory that a step frees, for the next step.

    glibc hands the top of the heap back to the system once more is free there than twice the largest block that was
    ever mapped and freed; each step would then have its memory mapped and zeroed anew (a tenth of its time). Freeing
    one block of just under 32 MiB, never touched, raises that limit to its maximum. Elsewhere this does nothing.
    """
    torch.empty(31 * 2**20, dtype=torch.uint8)
