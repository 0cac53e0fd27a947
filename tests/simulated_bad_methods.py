"""A small method that keeps the contract, and for each check one that differs from it by a single fault."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from avbench.harness.contract.data import Classes, Clips, TrainingSet
from avbench.harness.contract.method import Method, MethodInfo, Progress
from avbench.harness.contract.options import Options, Preset

if TYPE_CHECKING:
    from torch import Tensor


class GoodOptions(Options):
    epochs: int = Field(5, ge=1, le=1000, description="How many regressions to average.")
    batch_size: int = Field(64, ge=1, le=10_000, description="Clips drawn for each regression.")
    ridge: float = Field(0.1, gt=0, le=100, description="Weight of the penalty.")
    score: Literal["cosine", "product"] = Field(
        "cosine",
        description="How a mapped clip and a label vector are compared.",
        json_schema_extra={"no_effect": "it acts on the scores"},
    )


class Good(Method):
    """The mean of ridge regressions from features to label vectors, each on clips drawn at random."""

    info = MethodInfo(
        slug="good",
        title="Good",
        year=2026,
        summary="Averaged ridge regressions.",
        citation="Good: A Method. 2026.",
        bibtex="@misc{good,\n  title  = {A Method},\n  author = {Good, A.},\n  year   = {2026}\n}",
    )
    Options = GoodOptions
    options: GoodOptions
    weights: Tensor

    def fit(self, train: TrainingSet, progress: Progress) -> None:
        import torch

        x, y = self.features(train.clips), train.classes.vectors[train.labels]
        self.weights = torch.zeros(x.shape[1], y.shape[1], device=progress.device)
        for epoch in range(progress.epochs):
            rows = self.draw(len(x), progress)
            self.weights = torch.lerp(self.weights, self.regression(x[rows], y[rows]), 1 / (epoch + 1))
            progress.epoch_done(self)

    def draw(self, count: int, progress: Progress) -> Tensor:
        """Rows of clips (batch_size,)."""
        import torch

        return torch.randint(count, (self.options.batch_size,), device=progress.device)

    def regression(self, x: Tensor, y: Tensor) -> Tensor:
        """Weights (D, Dt), in the dual form."""
        import torch

        kernel = x @ x.T + self.options.ridge * torch.eye(len(x), device=x.device)
        return x.T @ torch.linalg.solve(kernel, y)

    def features(self, clips: Clips) -> Tensor:
        """Features of unit norm (N, D)."""
        import torch

        return torch.nn.functional.normalize(torch.cat([clips.audio, clips.visual], dim=1), dim=1)

    def predict(self, clips: Clips, classes: Classes) -> Tensor:
        import torch

        mapped = self.features(clips) @ self.weights
        if self.options.score == "cosine":
            mapped = torch.nn.functional.normalize(mapped, dim=1)
        return mapped @ classes.vectors.T

    def state(self) -> dict[str, Tensor]:
        return {"weights": self.weights}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.weights = state["weights"]


class Uncited(Good):
    info = replace(Good.info, bibtex="")


class UnboundedOptions(GoodOptions):
    ridge: float = Field(0.1, gt=0, description="Weight of the penalty.")


class Unbounded(Good):
    Options = UnboundedOptions


class MisspeltOptions(GoodOptions):
    presets: ClassVar[tuple[Preset, ...]] = (Preset({"ridge": 0.5}, dataset="vggsond"),)


class MisspeltPreset(Good):
    Options = MisspeltOptions


class Undefined(Good):
    def predict(self, clips: Clips, classes: Classes) -> Tensor:
        return (super().predict(clips, classes) - 2).log()


class DropoutInPredict(Good):
    def features(self, clips: Clips) -> Tensor:
        import torch

        return torch.nn.functional.dropout(super().features(clips), 0.1)


class InPlace(Good):
    def features(self, clips: Clips) -> Tensor:
        for view in (clips.audio, clips.visual):
            view /= view.norm(dim=1, keepdim=True)
        return super().features(clips)


class Faster(Good):
    def fit(self, train: TrainingSet, progress: Progress) -> None:
        import torch

        torch.set_float32_matmul_precision("high")
        super().fit(train, progress)


class Downloader(Good):
    def fit(self, train: TrainingSet, progress: Progress) -> None:
        import contextlib
        import socket

        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", 9), timeout=0.1).close()
        super().fit(train, progress)


class Writer(Good):
    def fit(self, train: TrainingSet, progress: Progress) -> None:
        super().fit(train, progress)
        with open("weights.txt", "w") as file:
            file.write(str(self.weights.sum()))


class Saver(Good):
    """As above, but by C++ code, which raises no audit event."""

    def fit(self, train: TrainingSet, progress: Progress) -> None:
        import torch

        super().fit(train, progress)
        torch.save(self.weights, "weights.pt")


class Counting(Good):
    fits = 0

    def draw(self, count: int, progress: Progress) -> Tensor:
        import torch

        Counting.fits += 1
        return torch.randint(count, (self.options.batch_size,), generator=torch.Generator().manual_seed(self.fits))


class ConstantSeed(Good):
    def fit(self, train: TrainingSet, progress: Progress) -> None:
        import torch

        torch.manual_seed(42)
        super().fit(train, progress)


class SeveralClasses(Good):
    def predict(self, clips: Clips, classes: Classes) -> Tensor:
        return super().predict(clips, classes).squeeze(1)


class FullBatches(Good):
    def draw(self, count: int, progress: Progress) -> Tensor:
        import torch

        return torch.randperm(count, device=progress.device).view(-1, self.options.batch_size)[0]


class Word2vec(Good):
    def regression(self, x: Tensor, y: Tensor) -> Tensor:
        return super().regression(x, y.view(-1, 300))


class Selavi(Good):
    def features(self, clips: Clips) -> Tensor:
        return super().features(Clips(clips.audio.view(-1, 512), clips.visual.view(-1, 512)))


class SeveralClips(Good):
    def predict(self, clips: Clips, classes: Classes) -> Tensor:
        return super().predict(clips, classes).squeeze(0)


class Centred(Good):
    def predict(self, clips: Clips, classes: Classes) -> Tensor:
        scores = super().predict(clips, classes)
        return scores - scores.mean(0)


class Placed(Good):
    def predict(self, clips: Clips, classes: Classes) -> Tensor:
        import torch

        scores = super().predict(clips, classes)
        return scores * (1 + torch.arange(len(scores), device=scores.device)[:, None] % 5)


class Softmaxed(Good):
    def predict(self, clips: Clips, classes: Classes) -> Tensor:
        return (10 * super().predict(clips, classes)).softmax(1)


class Peeking(Good):
    def regression(self, x: Tensor, y: Tensor) -> Tensor:
        return super().regression(x, y if self.unseen is None else y - self.unseen.vectors.mean(0))

    def fit(self, train: TrainingSet, progress: Progress) -> None:
        self.unseen = train.unseen
        super().fit(train, progress)


class Forgetful(Good):
    mean: Tensor | float = 0.0

    def fit(self, train: TrainingSet, progress: Progress) -> None:
        self.mean = super().features(train.clips).mean(0)
        super().fit(train, progress)

    def features(self, clips: Clips) -> Tensor:
        return super().features(clips) - self.mean


class Distances(Good):
    """Lower is better, which is the wrong way round."""

    def predict(self, clips: Clips, classes: Classes) -> Tensor:
        return 1 - super().predict(clips, classes)


class DeadOptions(GoodOptions):
    margin: float = Field(0.5, ge=0, le=1, description="Margin of a loss that is not there.")


class DeadOption(Good):
    Options = DeadOptions


class Hoarder(Good):
    kept: ClassVar[list[Any]] = []

    def regression(self, x: Tensor, y: Tensor) -> Tensor:
        self.kept.append(x)
        return super().regression(x, y)


class ArrayHoarder(Good):
    """As above, but of arrays, which are no tensors."""

    kept: ClassVar[list[Any]] = []

    def regression(self, x: Tensor, y: Tensor) -> Tensor:
        self.kept.append(x.numpy().copy())
        return super().regression(x, y)


class Resuming(Good):
    """Takes up a fit that was interrupted, whoever began it."""

    begun: ClassVar[list[Tensor]] = []

    def regression(self, x: Tensor, y: Tensor) -> Tensor:
        weights = super().regression(x, y)
        for earlier in self.begun:
            weights = (weights + earlier) / 2
        self.begun.append(weights)
        return weights

    def fit(self, train: TrainingSet, progress: Progress) -> None:
        super().fit(train, progress)
        self.begun.clear()


class ResumingWithoutEpochs(Resuming):
    """As above, but the harness does not hear of its epochs."""

    def fit(self, train: TrainingSet, progress: Progress) -> None:
        told: Any = SimpleNamespace(epochs=progress.epochs, device=progress.device, epoch_done=lambda method: 0.0)
        super().fit(train, told)


class OnTheHost(Good):
    def draw(self, count: int, progress: Progress) -> Tensor:
        return super().draw(count, progress).cpu()

    def predict(self, clips: Clips, classes: Classes) -> Tensor:
        return super().predict(clips, classes).cpu()


class OverTime(Good):
    """The good method on the mean over the steps of a clip."""

    info = replace(Good.info, inputs="temporal", also_averaged=True)

    def features(self, clips: Clips) -> Tensor:
        import torch

        from avbench.harness.contract.packed import PackedClips

        if isinstance(clips, PackedClips):
            clips = clips.take(torch.arange(len(clips)))
        if clips.time is None:
            return super().features(clips)
        audio = clips.audio.sum(1) / clips.time.audio_lengths[:, None]
        return super().features(Clips(audio, clips.visual.sum(1) / clips.time.visual_lengths[:, None]))


class PaddingCounted(OverTime):
    def predict(self, clips: Clips, classes: Classes) -> Tensor:
        return super().predict(clips, classes) + 0.1 * (clips.audio.dim() == 3 and clips.audio.shape[1] > 9)


class TwoSteps(OverTime):
    def predict(self, clips: Clips, classes: Classes) -> Tensor:
        if len(clips) > 1 and clips.time and max(clips.audio.shape[1], clips.visual.shape[1]) < 2:
            raise ValueError("no difference between steps")
        return super().predict(clips, classes)


class Aligned(OverTime):
    def predict(self, clips: Clips, classes: Classes) -> Tensor:
        if (
            len(clips) > 1
            and clips.time
            and min(clips.audio.shape[1], clips.visual.shape[1]) < 2 <= clips.audio.shape[1]
        ):
            raise ValueError("a step of vision for several of audio")
        return super().predict(clips, classes)


class NeverAveraged(OverTime):
    def predict(self, clips: Clips, classes: Classes) -> Tensor:
        assert clips.time is not None, "clips without time"
        return super().predict(clips, classes)


BAD: dict[type[Method], tuple[str, str]] = {
    Uncited: ("metadata-complete", "bibtex must hold one entry"),
    PaddingCounted: ("padding-ignored", "the padding behind its steps"),
    TwoSteps: ("one-step", "no difference between steps"),
    Aligned: ("uneven-lengths", "a step of vision for several of audio"),
    NeverAveraged: ("averaged-too", "clips without time"),
    Unbounded: ("options-documented", "option ridge: it has no upper bound"),
    MisspeltPreset: ("presets-valid", "Did you mean 'vggsound'"),
    Undefined: ("scores-sound", "NaN"),
    DropoutInPredict: ("scores-repeatable", "asked twice, predict gives different scores"),
    InPlace: ("inputs-untouched", "fit changes the audio that it is given"),
    Faster: ("settings-untouched", "torch.get_float32_matmul_precision() from highest to high"),
    Downloader: ("no-network", "127.0.0.1:9"),
    Writer: ("no-writes", "it writes weights.txt"),
    Saver: ("no-writes", "it writes weights.pt"),
    Counting: ("deterministic", "two fits with the same seed end in different states (1 tensors: weights)"),
    ConstantSeed: ("seeds-differ", "seeds 0 and 1 end in the same state"),
    SeveralClasses: ("class-counts", "asked for the scores of one class: good.predict returned shape (27,)"),
    FullBatches: ("batch-sizes", "trained on 49 clips"),
    Word2vec: ("text-widths", "with label vectors of width 64: fit raised RuntimeError"),
    Selavi: ("feature-widths", "with audio features of width 96"),
    SeveralClips: ("one-clip", "asked for the scores of one clip: good.predict returned shape (9,)"),
    Centred: ("clips-independent", "change when other clips are asked for beside it"),
    Placed: ("order-independent", "depend on its place among the clips"),
    Softmaxed: ("candidates-independent", "changes with the other candidates"),
    Peeking: ("unseen-names", "when fit is shown the unseen classes"),
    Forgetful: ("state-restored", "restored from its saved state gives other scores"),
    Distances: ("beats-chance", "trained and unseen classes are told apart no better than by chance"),
    DeadOption: ("options-effective", "option margin: 1.0, 0.25, 0.6, 0.005 gives the same fitted state as 0.5"),
    Hoarder: ("memory-stable", "more tensors are alive"),
    ArrayHoarder: ("memory-stable", "KiB are not freed"),
    Resuming: ("interrupt-recovered", "a fit after an interrupted one is not as if that had not been"),
    ResumingWithoutEpochs: ("interrupt-recovered", "its state differs (1 tensors: weights)"),
}
"""Method with a fault -> the check that names it, and what the check says."""
