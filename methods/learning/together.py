"""Seeds as a batch dimension: runs that differ in nothing but the seed take their steps together. Imports torch.

Parameters and buffers of all seeds are stacked, and the loss of one seed is mapped over them (``torch.func.vmap``), so
a step launches about as many kernels for ten seeds as for one. What belongs to a seed stays its own: initial weights,
batches and dropout masks come from its own generators, in the order in which it draws alone; its learning rate, its
optimiser's state and its epochs are its own too. Alone and together differ in how sums are rounded, in nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from avbench.harness.contract.data import TrainingSet
from avbench.harness.contract.method import Companion, Method
from avbench.harness.contract.options import EpochOptions
from avbench.harness.evaluation.random_state import seed_generators
from avbench.methods.learning.adam import Adam
from avbench.methods.learning.batch import Batch
from avbench.methods.learning.batches import EpochBatches
from avbench.methods.learning.mapped import Masks, Wanted, drawn, mapped_form
from avbench.methods.learning.sampling import BalancedSampler
from avbench.methods.learning.schedule import Plateau
from avbench.methods.learning.steps import RepeatedStep, keep_freed_memory


class Learner(Protocol):
    """What a method says of its training: :class:`avbench.methods.learning.training.BatchMethod`."""

    options: EpochOptions
    pairs: bool
    plateau: bool

    def begun(self, train: TrainingSet, progress: Companion) -> nn.ModuleDict: ...

    def loss(self, net: nn.ModuleDict, batch: Batch) -> Tensor: ...

    def after_step(self, net: nn.ModuleDict, batch: Batch) -> None: ...


def fit_together(methods: Sequence[Learner], train: TrainingSet, companions: Sequence[Companion]) -> None:
    """Fit methods of equal options, each for the seed of its companion, until every companion has ended.

    Those that have ended stay in the stack, where nobody reads what becomes of them, until half of it is empty: with
    each stack the step is captured anew. Compiled, a stack stays to the end: compiling it for fewer takes longer than
    most of what would be saved.
    """
    seeds = [Seed(method, train, companion) for method, companion in zip(methods, companions, strict=True)]
    keep_freed_memory()
    stack = None
    while seeds:
        if stack is None or (2 * len(seeds) <= len(stack.seeds) and companions[0].compiler is None):
            stack = Stack(seeds, train)
        stack.epoch()
        seeds = [seed for seed in seeds if seed.goes_on()]


class Seed:
    """One seed and what is its own, as a fit alone would have it after as many epochs."""

    def __init__(self, method: Learner, train: TrainingSet, companion: Companion) -> None:
        self.method, self.companion, self.ended = method, companion, False
        device = companion.device
        seed_generators(companion.seed)
        self.net = method.begun(train, companion)
        self.generator = _global_generator(device).clone_state()
        self.sampler = BalancedSampler(train.labels, method.pairs, companion.seed)
        self.schedule = Plateau(method.options.learning_rate)
        self.rate = torch.tensor(self.schedule.rate, device=device)
        trained = [p for p in self.net.parameters() if p.requires_grad]
        self.optimiser = Adam(trained, self.rate, method.options.weight_decay)

    def goes_on(self) -> bool:
        """Validate the epoch that ended. False: it was the last, and the network has its tensors for itself again."""
        assert isinstance(self.method, Method)
        hm = self.companion.epoch_done(self.method)
        if hm is None:
            self.ended = True
            place_tensors(self.net, {name: t.detach().clone() for name, t in tensors_of(self.net).items()})
            return False
        if self.method.plateau:
            self.rate.fill_(self.schedule.update(hm))
        return True


class Stack:
    """Some seeds, whose networks from here on are slices of stacked tensors."""

    def __init__(self, seeds: Sequence[Seed], train: TrainingSet) -> None:
        self.seeds = list(seeds)
        first = self.seeds[0]
        method, device = first.method, first.companion.device
        self.batches = StackedBatches(train, method, [seed.sampler for seed in seeds])
        members = [tensors_of(seed.net) for seed in seeds]
        self.tensors = {
            name: torch.stack([m[name].detach() for m in members]).requires_grad_(t.requires_grad)
            for name, t in members[0].items()
        }
        for row, seed in enumerate(seeds):
            place_tensors(seed.net, {name: tensor.detach()[row] for name, tensor in self.tensors.items()})
        template = self.batches.template()
        compiler = first.companion.compiler or _as_it_is
        self.loss = Mapped(first.net, method.loss, template, compiler)
        with torch.no_grad():
            self.after = Mapped(first.net, _nothing_returned(method.after_step), template, compiler)
        generators = [seed.generator for seed in seeds]
        self.step = RepeatedStep(self._step, device, generators=generators)

    def epoch(self) -> None:
        self.batches.draw()
        for _ in range(len(self.batches.rows)):
            self.step()

    def _step(self) -> None:
        batch = self.batches.next()
        generators = [seed.generator for seed in self.seeds]
        self.loss(self.tensors, batch, generators).sum().backward()  # type: ignore[no-untyped-call]
        for row, seed in enumerate(self.seeds):
            if seed.ended:
                continue
            for name, parameter in seed.net.named_parameters():
                if (gradient := self.tensors[name].grad) is not None:
                    parameter.grad = gradient[row]
            seed.optimiser.step()
            seed.optimiser.zero_grad()
        for tensor in self.tensors.values():
            tensor.grad = None
        with torch.no_grad():
            self.after(self.tensors, batch, generators)


class StackedBatches(EpochBatches):
    """The next batch of each seed, in tensors with a first dimension over seeds."""

    def __init__(self, train: TrainingSet, method: Learner, samplers: Sequence[BalancedSampler]) -> None:
        self.train, self.samplers = train, samplers
        size = method.options.batch_size
        self.size = size
        shape = (method.options.batches_per_epoch, len(samplers), size, *([2] if method.pairs else []))
        self.rows = torch.zeros(shape, dtype=torch.int64, device=train.labels.device)
        self.position = torch.zeros(1, dtype=torch.int64, device=train.labels.device)

    def draw(self) -> None:
        for row, sampler in enumerate(self.samplers):
            self.rows[:, row].copy_(sampler.draw(len(self.rows), self.size))
        self.position.zero_()

    def template(self) -> Batch:
        """A batch of one seed, of the first training clip only: for its shapes."""
        batch = self.next()
        self.position.zero_()
        return _of_one(batch, batch.audio[0], batch.visual[0], batch.labels[0], batch.vectors[0])


class Mapped:
    """A function of a network and a batch, mapped over seeds with the masks that each draws for it."""

    def __init__(
        self,
        net: nn.ModuleDict,
        function: Callable[[nn.ModuleDict, Batch], Tensor],
        template: Batch,
        compiler: Callable[[Callable[..., Tensor]], Callable[..., Tensor]],
    ) -> None:
        self.wanted = _wanted(net, function, template)
        masks = Masks()
        call = _Call(mapped_form(net, masks).to("meta"), function)

        def one(tensors: dict[str, Tensor], given: list[Tensor], *batch: Tensor) -> Tensor:
            masks.give(given)
            named = {f"net.{name}": tensor for name, tensor in tensors.items()}
            result: Tensor = torch.func.functional_call(call, named, (_of_one(template, *batch),))
            return result

        self.function = compiler(torch.func.vmap(one, randomness="error"))

    def __call__(self, tensors: dict[str, Tensor], batch: Batch, generators: Sequence[torch.Generator]) -> Tensor:
        given = drawn(self.wanted, generators, batch.labels.device)
        return self.function(tensors, given, batch.audio, batch.visual, batch.labels, batch.vectors)


class _Call(nn.Module):
    """A function of a network as a module, which is what ``functional_call`` calls."""

    def __init__(self, net: nn.ModuleDict, function: Callable[[nn.ModuleDict, Batch], Tensor]) -> None:
        super().__init__()
        self.net, self.function = net, function

    def forward(self, batch: Batch) -> Tensor:
        return self.function(self.net, batch)


def _as_it_is(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return function


def _wanted(net: nn.ModuleDict, function: Callable[[nn.ModuleDict, Batch], Tensor], template: Batch) -> list[Wanted]:
    """The masks that a function asks for: found by calling it once on a copy of the network."""
    masks = Masks()
    function(mapped_form(net, masks), template)
    return masks.wanted


def _nothing_returned(function: Callable[[nn.ModuleDict, Batch], None]) -> Callable[[nn.ModuleDict, Batch], Tensor]:
    """The same function; a mapped one must return a tensor."""

    def call(net: nn.ModuleDict, batch: Batch) -> Tensor:
        function(net, batch)
        return batch.labels

    return call


def _of_one(batch: Batch, audio: Tensor, visual: Tensor, labels: Tensor, vectors: Tensor) -> Batch:
    """A batch with these clips, and what all batches share."""
    return Batch(audio, visual, labels, vectors, classes=batch.classes, texts=batch.texts)


def tensors_of(net: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name."""
    return dict(net.named_parameters()) | dict(net.named_buffers())


def place_tensors(net: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Let parameters and buffers have the memory of these tensors. Parameters stay the objects that they are."""
    for name, parameter in net.named_parameters():
        parameter.data = tensors[name]
    for name, _ in list(net.named_buffers()):
        module, _, leaf = name.rpartition(".")
        setattr(net.get_submodule(module), leaf, tensors[name])


def _global_generator(device: torch.device) -> torch.Generator:
    if device.type != "cuda":
        return torch.default_generator
    index = torch.cuda.current_device() if device.index is None else device.index
    found: torch.Generator = torch.cuda.default_generators[index]
    return found
