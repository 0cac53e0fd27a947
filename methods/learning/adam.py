"""Adam in one fused pass, by torch's function and without torch's optimiser class. Imports torch.

The class loads torch's compiler when the first one is made: a second and 75 MB in every process, for nothing here.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.adam import adam


class Adam:
    """Adam (Kingma and Ba, ICLR 2015) with a coupled L2 penalty; the bits of ``torch.optim.Adam(fused=True)``.

    ``rate``: learning rate, a scalar float32 tensor on the device of the parameters, which its owner may change in
    place. A parameter without a gradient is passed over. With ``fused`` off, whose ``rate`` is a number, the bits are
    those of ``torch.optim.Adam`` as it comes.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        rate: Tensor | float,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        *,
        fused: bool = True,
    ) -> None:
        self.parameters = list(parameters)
        self.rate, self.weight_decay, self.betas, self.fused = rate, weight_decay, betas, fused
        self._means = [torch.zeros_like(p) for p in self.parameters]
        self._squares = [torch.zeros_like(p) for p in self.parameters]
        self._steps = [torch.zeros((), device=p.device if fused else "cpu") for p in self.parameters]

    @torch.no_grad()
    def step(self) -> None:
        """One step along the gradients of the parameters."""
        rows = zip(self.parameters, self._means, self._squares, self._steps, strict=True)
        known = [(p, p.grad, *state) for p, *state in rows if p.grad is not None]
        if not known:
            return
        parameters, gradients, means, squares, steps = map(list, zip(*known, strict=True))
        adam(
            parameters,
            gradients,
            means,
            squares,
            [],
            steps,
            fused=self.fused or None,
            capturable=isinstance(self.rate, Tensor) and self.rate.is_cuda,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=self.rate,
            weight_decay=self.weight_decay,
            eps=1e-8,
            maximize=False,
        )

    def zero_grad(self) -> None:
        """Forget the gradients; no tensor of theirs is kept."""
        for parameter in self.parameters:
            parameter.grad = None
