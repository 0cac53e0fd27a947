"""Base class of methods that learn from class-balanced batches by gradient descent. Open to third parties.

A subclass says what its network is (:meth:`BatchMethod.build`), what its loss is (:meth:`BatchMethod.loss`) and how it
scores (:meth:`BatchMethod.scores`). Everything else is here: drawing, the loop, Adam, the learning-rate rule, CUDA
graphs, evaluation mode, saving. This module does not import torch when it is loaded.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Self

from avbench.harness.contract.data import Classes, Clips, TrainingSet
from avbench.harness.contract.embeddings import Embeddings
from avbench.harness.contract.method import Companion, Method, Progress
from avbench.harness.contract.options import EpochOptions
from avbench.harness.contract.options import Options as BaseOptions
from avbench.harness.errors import MethodError
from avbench.methods.learning.batch import Batch, Dims

if TYPE_CHECKING:
    from torch import Tensor, nn

    from avbench.harness.contract.packed import PackedClips, Window
    from avbench.methods.learning.batches import EpochBatches

TOTAL = "total"
"""Name of the gradient of the whole loss."""
GRADIENT_BATCHES = 10
"""Over which lengths of gradients are averaged."""
DIMS = "dims"
"""Name under which a saved state holds the sizes that rebuild the network."""


class BatchMethod(Method):
    """A method that learns from class-balanced batches.

    Write :meth:`build`, :meth:`loss` and :meth:`scores`. On CUDA the whole step is one captured graph, so ``loss`` and
    ``after_step`` must not read values back from the device (no ``.item()``, no branch on a tensor's value) and must
    create no tensor from Python numbers on the device; what they need of that kind belongs in ``build`` as a buffer.
    """

    Options = EpochOptions
    options: EpochOptions

    takes_few_bits = True
    """Batches are gathered as float32. A subclass that reads ``train.clips`` itself casts them or sets this False."""
    pairs = True
    """Whether every positive clip comes with a negative clip of another class."""
    plateau = True
    """Whether the learning rate falls when the validation HM stalls (guide: How a number is made, "Learning rate")."""

    padding_counts = False
    """On features over time: results depend on how far a batch is padded, so it is padded to its longest clip on a GPU
    too. Without it all batches have one length there, and the step is captured as a CUDA graph."""

    mappable: ClassVar[bool] = False
    """Whether the step can be mapped over seeds, so that those of ``--seeds N`` train in one step on CUDA. True says of
    ``loss`` and ``after_step`` that all they draw are masks of this package's layers, that they take no gradients of
    their own, look at no tensor's value and keep nothing but the network's buffers; and that ``updates`` and
    ``after_epoch`` are those of this class. It holds until a subclass writes one of these functions anew."""

    _fitted: tuple[Dims, nn.ModuleDict] | None = None
    _seed = 0
    """Of the run, from the start of the fit on."""

    @abstractmethod
    def build(self, dims: Dims) -> dict[str, nn.Module]:
        """The network's named parts, freshly initialised on CPU from torch's global generator.

        Fixed values that scoring needs are buffers of some part; then they are saved with the rest.
        """

    def prepare(self, net: nn.ModuleDict, train: TrainingSet) -> None:
        """Called once before training, with the network on the device: fill buffers that depend on the training set."""

    @abstractmethod
    def loss(self, net: nn.ModuleDict, batch: Batch) -> Tensor:
        """The training loss, a scalar. ``net`` is in training mode."""

    def after_step(self, net: nn.ModuleDict, batch: Batch) -> None:
        """Called after each optimiser step, in training mode and without gradients."""

    def after_epoch(self, net: nn.ModuleDict, train: TrainingSet) -> None:
        """Called after each epoch, before its evaluation: what is no step on a batch, such as fitting a classifier."""

    @abstractmethod
    def scores(self, net: nn.ModuleDict, clips: Clips, classes: Classes) -> Tensor:
        """Scores (N, C) of clips, higher is better. ``net`` is in evaluation mode, there are no gradients."""

    def branch_scores(self, net: nn.ModuleDict, clips: Clips, classes: Classes) -> Mapping[str, Tensor]:
        """What :meth:`Method.predict_branches` returns, under the conditions of :meth:`scores`."""
        return {}

    def embedded(self, net: nn.ModuleDict, clips: Clips, classes: Classes) -> Embeddings:
        """What :meth:`Method.embeddings` returns, under the conditions of :meth:`scores`."""
        return Embeddings()

    def terms(self, net: nn.ModuleDict, batch: Batch) -> Mapping[str, Tensor]:
        """The weighted terms whose sum is :meth:`loss`, for a method that tells them apart."""
        return {}

    def window(self, clips: PackedClips) -> Window | None:
        """Of features over time: the most steps of a clip in a training batch, from a random place; None: all."""
        return None

    @property
    def batches_per_step(self) -> int:
        """Batches that one step takes, where optimisers take turns. An epoch is rounded up to whole steps."""
        return 1

    def updates(self, net: nn.ModuleDict, rate: Tensor) -> Callable[..., None]:
        """The function that takes one step on ``batches_per_step`` batches. Override it for several optimisers.

        ``rate`` is the learning rate, a scalar float32 tensor on the device that the loop changes in place.
        """
        import torch

        from avbench.methods.learning.adam import Adam

        trained = [p for p in net.parameters() if p.requires_grad]
        optimiser = Adam(trained, rate, self.options.weight_decay)

        def update(batch: Batch) -> None:
            self.loss(net, batch).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            optimiser.zero_grad()  # last: no gradient outlives a captured step
            with torch.no_grad():
                self.after_step(net, batch)

        return update

    def fit(self, train: TrainingSet, progress: Progress) -> None:
        import torch

        from avbench.methods.learning.schedule import Plateau
        from avbench.methods.learning.steps import RepeatedStep, keep_freed_memory

        options, net = self.options, self.begun(train, progress)
        steps = math.ceil(options.batches_per_epoch / self.batches_per_step)
        batches = self._batches(train, steps * self.batches_per_step, progress.seed)
        schedule = Plateau(options.learning_rate)
        rate = torch.tensor(schedule.rate, device=progress.device)
        update = self.updates(net, rate)
        keep_freed_memory()
        step = RepeatedStep(
            lambda: update(*(batches.next() for _ in range(self.batches_per_step))),
            progress.device,
            captured=batches.capturable,
        )
        for _ in range(progress.epochs):
            batches.draw()
            net.train()
            for _ in range(steps):
                batches.stage(self.batches_per_step)
                step()
            self.after_epoch(net, train)
            hm = progress.epoch_done(self)
            if self.plateau:
                rate.fill_(schedule.update(hm))

    def begun(self, train: TrainingSet, progress: Progress | Companion) -> nn.ModuleDict:
        """The network as it is before the first step, from torch's global generator, which is seeded already."""
        import torch

        dims = Dims.of(train)
        net = torch.nn.ModuleDict(self.build(dims)).to(progress.device)
        self._seed = progress.seed
        self._fitted = dims, net
        self.prepare(net, train)
        return net

    @classmethod
    def alone_because(cls, options: BaseOptions, inputs: str) -> str:
        if inputs == "temporal":
            return "batches of clips over time have lengths of their own"
        for kind in cls.__mro__:
            own = vars(kind)
            if own.get("mappable"):
                return ""
            if any(hasattr(part, "__get__") for part in own.values() if not isinstance(part, type)):
                return f"{kind.__name__} does not say that its step can be mapped over seeds"
        raise AssertionError("this class has functions")

    @classmethod
    def fit_together(cls, methods: Sequence[Self], train: TrainingSet, companions: Sequence[Companion]) -> None:
        from avbench.methods.learning.together import fit_together

        fit_together(methods, train, companions)

    def _batches(self, train: TrainingSet, count: int, seed: int) -> EpochBatches:
        from avbench.harness.contract.packed import PackedClips
        from avbench.methods.learning.batches import EpochBatches
        from avbench.methods.learning.sequences import EpochSequences

        size = self.options.batch_size
        if not isinstance(train.clips, PackedClips):
            return EpochBatches(train, count, size, self.pairs, seed)
        return EpochSequences(
            train,
            count,
            size,
            self.pairs,
            seed,
            window=self.window(train.clips),
            as_batch=self.padding_counts,
        )

    def predict(self, clips: Clips, classes: Classes) -> Tensor:
        with self._evaluating() as net:
            return self.scores(net, clips, classes)

    def predict_branches(self, clips: Clips, classes: Classes) -> Mapping[str, Tensor]:
        with self._evaluating() as net:
            return self.branch_scores(net, clips, classes)

    def embeddings(self, clips: Clips, classes: Classes) -> Embeddings:
        with self._evaluating() as net:
            return self.embedded(net, clips, classes)

    def gradient_norms(self, train: TrainingSet, seed: int) -> Mapping[str, float]:
        """Mean over ten batches. In training mode, so with dropout and the statistics of the batch."""
        import torch

        _, net = self._model()
        trained = [p for p in net.parameters() if p.requires_grad]
        state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        training = net.training
        batches = self._batches(train, GRADIENT_BATCHES, seed)
        batches.draw()
        net.train()
        lengths: dict[str, float] = {}
        try:
            for _ in range(GRADIENT_BATCHES):
                batches.stage()
                terms = self.terms(net, batches.next())
                if not terms:
                    return {}
                for name, term in {**terms, TOTAL: torch.stack(list(terms.values())).sum()}.items():
                    found = torch.autograd.grad(term, trained, retain_graph=True, allow_unused=True)
                    norms = torch.stack([gradient.norm() for gradient in found if gradient is not None])
                    lengths[name] = lengths.get(name, 0.0) + norms.norm().item() / GRADIENT_BATCHES
        finally:
            net.load_state_dict(state)  # batch norm has met the batches
            net.train(training)
        return lengths

    @contextmanager
    def _evaluating(self) -> Iterator[nn.ModuleDict]:
        """The network in evaluation mode and without gradients; afterwards in the mode it was in."""
        import torch

        _, net = self._model()
        training = net.training
        net.eval()
        try:
            with torch.no_grad():
                yield net
        finally:
            net.train(training)

    def state(self) -> dict[str, Tensor]:
        dims, net = self._model()
        return {**_saved(dims), **{name: tensor.detach().clone() for name, tensor in net.state_dict().items()}}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        import torch

        try:
            dims = _restored(state)
            with torch.random.fork_rng(devices=[]):
                net = torch.nn.ModuleDict(self.build(dims))
            tensors = {name: tensor for name, tensor in state.items() if name.partition(".")[0] != DIMS}
            net.load_state_dict(tensors)
        except (KeyError, TypeError, RuntimeError) as error:
            raise MethodError(
                f"saved state does not fit method {self.info.slug!r} with these options: {error}. "
                "Load it with the options of the run that saved it."
            ) from None
        device = next(iter(tensors.values()), state[DIMS]).device
        self._fitted = dims, net.to(device)

    def parameters(self) -> int:
        _, net = self._model()
        return sum(p.numel() for p in net.parameters() if p.requires_grad)

    def _model(self) -> tuple[Dims, nn.ModuleDict]:
        if self._fitted is None:
            raise MethodError(f"method {self.info.slug!r} is not fitted: call fit or load_state first.")
        return self._fitted


def _saved(dims: Dims) -> dict[str, Tensor]:
    """The sizes as tensors. Those that averaged features with one text per class have not are left out for them."""
    import torch

    found = {DIMS: torch.tensor([dims.audio, dims.visual, dims.text, dims.classes, dims.unseen])}
    if dims.temporal:
        found[f"{DIMS}.temporal"] = torch.tensor(1)
    return found | {f"{DIMS}.text.{name}": torch.tensor(width) for name, width in dims.texts.items()}


def _restored(state: Mapping[str, Tensor]) -> Dims:
    begin = f"{DIMS}.text."
    texts = {name.removeprefix(begin): int(width) for name, width in state.items() if name.startswith(begin)}
    audio, visual, text, classes, unseen = state[DIMS].tolist()
    return Dims(audio, visual, text, classes, unseen, f"{DIMS}.temporal" in state, texts)
