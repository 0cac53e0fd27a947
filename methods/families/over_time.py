"""What TCaF and its two baselines share: options, presets, TCaF's heads and losses on one fused vector per clip.

Mercea, Hummel, Koepke, Akata: Temporal and Cross-modal Attention for Audio-Visual Zero-Shot Learning. ECCV 2022.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field
from pydantic.config import JsonDict

from avbench.harness.contract.data import Classes, Clips
from avbench.harness.contract.embeddings import COMMON, Embeddings
from avbench.harness.contract.method import Difference
from avbench.harness.contract.options import EpochOptions, Preset
from avbench.harness.tracks import DEMO
from avbench.methods.learning.batch import Batch, Dims
from avbench.methods.learning.training import BatchMethod

if TYPE_CHECKING:
    from torch import Tensor, nn

    from avbench.harness.contract.data import Time
    from avbench.harness.contract.packed import PackedClips, Window

NAMES = (
    "learning_rate",
    "plateau",
    "layers",
    "heads",
    "head_width",
    "hidden_encoder",
    "dropout_encoder",
    "dropout_token",
    "dropout_transformer",
    "dropout_output",
    "dropout_label",
)
TRACKS: dict[tuple[str, str], tuple[Any, ...]] = {
    ("ucf", "main"): (5e-5, False, 5, 8, 64, 256, 0.4, 0.2, 0.3, 0.2, 0.1),
    ("ucf", "cls"): (7e-5, True, 6, 8, 64, 512, 0.3, 0.2, 0.3, 0.1, 0.1),
    ("activitynet", "main"): (7e-5, True, 8, 3, 128, 128, 0.2, 0.2, 0.3, 0.1, 0.1),
    ("activitynet", "cls"): (7e-5, True, 6, 8, 64, 512, 0.3, 0.2, 0.4, 0.1, 0.1),
    ("vggsound", "main"): (7e-5, False, 8, 6, 128, 128, 0.2, 0.2, 0.5, 0.2, 0.2),
    ("vggsound", "cls"): (6e-5, False, 8, 8, 64, 512, 0.2, 0.1, 0.5, 0.2, 0.1),
}
"""The settings of TCaF's code on each track, in the order of ``NAMES``."""

IN_TEST: JsonDict = {"no_effect": "it acts in the test only"}


class OverTimeOptions(EpochOptions):
    """Options of TCaF and of the baselines that its authors adapted."""

    batches_per_epoch: int = Field(300, ge=1, le=1_000_000, description="Class-balanced batches that make one epoch.")
    batch_size: int = Field(64, ge=2, le=65_536, description="Clips per batch.")
    learning_rate: float = Field(7e-5, gt=0, le=10, description="Initial learning rate of Adam.")
    weight_decay: float = Field(1e-5, ge=0, le=1, description="Coupled L2 penalty of Adam on all parameters.")
    plateau: bool = Field(
        True,
        description="Divide the learning rate by ten when the validation HM stalls.",
        json_schema_extra={"no_effect": "it acts after more than three epochs only", "effect_with": {"epochs": 12}},
    )
    layers: int = Field(6, ge=1, le=64, description="Layers of the transformer.")
    heads: int = Field(8, ge=1, le=64, description="Heads of all attention blocks.")
    head_width: int = Field(64, ge=1, le=1024, description="Width of each head.")
    hidden_encoder: int = Field(512, ge=1, le=65_536, description="Hidden width of the two encoders.")
    dropout_encoder: float = Field(0.3, ge=0, lt=1, description="Dropout of the two encoders.")
    dropout_token: float = Field(0.2, ge=0, lt=1, description="Dropout of the tokens.")
    dropout_transformer: float = Field(0.3, ge=0, lt=1, description="Dropout of the transformer.")
    dropout_output: float = Field(0.1, ge=0, lt=1, description="Dropout of the projection of clips.")
    dropout_label: float = Field(0.1, ge=0, lt=1, description="Dropout of the projection of label vectors.")
    visual_normalisation: Literal["features", "time"] = Field(
        "features",
        description="Over time: divide the visual features of a step by their norm or, as in the reference code, each "
        "feature by its norm over the steps of the clip, which leaves of a clip of one step only what is 0.",
    )
    test_times: Literal["seconds", "index"] = Field(
        "seconds",
        description="Over time: what is coded as the time of a step in the test; the reference code trains with "
        "seconds and tests with the number of the step, so that test positions are unrelated to trained ones.",
        json_schema_extra=IN_TEST,
    )
    count_padding: bool = Field(
        False,
        description="Over time: padding enters the statistics of batch norm, as in the reference code.",
    )
    reference_batch_norm: bool = Field(
        False,
        description="Pass each batch through encoders and projections once more after the step, as the reference code "
        "does; its output is unused, but batch norm sees it.",
    )
    audio_divisor: float = Field(
        1.0,
        ge=1,
        le=1000,
        description="Over time: divides the audio features (255 in the reference code; batch norm undoes nearly all).",
    )
    train_steps: int = Field(
        0,
        ge=0,
        le=100_000,
        description="Over time: visual steps of a clip in training, from a random place; 0: all. Audio goes with them.",
        examples=[2],
    )
    test_steps: int = Field(
        0,
        ge=0,
        le=100_000,
        description="Over time: visual steps of a clip in the test, from the middle; 0: all.",
        examples=[1],
        json_schema_extra=IN_TEST,
    )
    audio_length: Literal["quotient", "product"] = Field(
        "quotient",
        description="Over time, with train_steps or test_steps: audio steps for visual ones, by the quotient of the "
        "step lengths or, as in the reference code, by their product.",
        json_schema_extra={"no_effect": "all steps are taken by default", "effect_with": {"test_steps": 4}},
    )

    presets: ClassVar[tuple[Preset, ...]] = (
        *(Preset(dict(zip(NAMES, values, strict=True)), *track) for track, values in TRACKS.items()),
        *(
            Preset({"train_steps": 60, "test_steps": 300}, "activitynet", f"{name}-temporal")
            for name in ("main", "cls")
        ),
        *(
            Preset(
                {
                    "visual_normalisation": "time",
                    "test_times": "index",
                    "count_padding": True,
                    "reference_batch_norm": True,
                    "audio_divisor": 255.0,
                    "audio_length": "product",
                },
                features=f"{name}-temporal",
                protocol="as-published",
            )
            for name in ("main", "cls")
        ),
        # Small enough to end soon on a laptop: few steps need a larger rate, fewer layers and less dropout.
        Preset(
            {"epochs": 5, "batches_per_epoch": 40, "batch_size": 32, "learning_rate": 1e-3, "layers": 1, "heads": 4}
            | {"head_width": 32, "hidden_encoder": 128}
            | dict.fromkeys(("dropout_encoder", "dropout_token", "dropout_transformer"), 0.1),
            features=DEMO,
        ),
    )


DIFFERENCES = (
    Difference("normalisation of visual features", "not mentioned", "over time, per feature", "visual_normalisation"),
    Difference("times", "real time stamps", "seconds in training, number of the step in the test", "test_times"),
    Difference("padding in batch norm", "not mentioned", "included", "count_padding"),
    Difference("passes through batch norm", "not mentioned", "two per step", "reference_batch_norm"),
    Difference("audio length on ActivityNet", "aligned with video", "visual length x 0.64 x 0.96", "audio_length"),
    Difference("scale of audio", "not mentioned", "divided by 255", "audio_divisor"),
)
NOTES = (
    "On averaged features each modality is one step at time 0, and visual features are normalised over the features: "
    "normalised over a single step all positive ones would become 1. Such rows are no reproduction of the published "
    "ones, which are for features over time.",
    "The published numbers were made with label vectors in permuted order (protocol as-published), and on UCF and "
    "VGGSound with C3D features of frames whose colours had wrapped round, so features extracted anew differ.",
)


class OverTimeMethod(BatchMethod):
    """Fuses a clip to one vector of 64 numbers; TCaF's losses train it, distances to projected classes are scores."""

    options: OverTimeOptions
    pairs = False

    def __init__(self, options: OverTimeOptions) -> None:
        super().__init__(options)
        self.plateau = options.plateau
        self.padding_counts = options.count_padding

    @abstractmethod
    def fusion(self, dims: Dims) -> dict[str, nn.Module]:
        """The parts that fuse; one is the ``tokeniser``."""

    @abstractmethod
    def fused(
        self, net: nn.ModuleDict, audio: Tensor, visual: Tensor, time: Time | None, *, by_index: bool
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The projected clips (B, 64), and projections of single branches that are trained to classify too."""

    def tokeniser(self, dims: Dims) -> dict[str, Any]:
        """Arguments of :class:`avbench.methods.learning.tokens.Tokeniser` beside the widths."""
        o = self.options
        return {
            "hidden_encoder": o.hidden_encoder,
            "dropout_encoder": o.dropout_encoder,
            "dropout_token": o.dropout_token,
            "temporal": dims.temporal,
            "audio_divisor": o.audio_divisor,
            "normalisation": o.visual_normalisation,
            "count_padding": o.count_padding,
        }

    def build(self, dims: Dims) -> dict[str, nn.Module]:
        return self.fusion(dims) | self.heads(dims)

    def heads(self, dims: Dims) -> dict[str, nn.Module]:
        from avbench.methods.learning.fusion import tcaf_heads

        o = self.options
        return tcaf_heads(dims.text, dropout_output=o.dropout_output, dropout_label=o.dropout_label)

    def loss(self, net: nn.ModuleDict, batch: Batch) -> Tensor:
        from avbench.methods.learning.fusion import tcaf_loss

        clip, branches = self.fused(net, batch.audio, batch.visual, batch.time, by_index=False)
        return tcaf_loss(net, clip, batch.classes, batch.labels, branches)

    def after_step(self, net: nn.ModuleDict, batch: Batch) -> None:
        if self.options.reference_batch_norm:
            self.fused(net, batch.audio, batch.visual, batch.time, by_index=True)
            net["project_label"](batch.vectors)

    def scores(self, net: nn.ModuleDict, clips: Clips, classes: Classes) -> Tensor:
        from avbench.methods.learning.fusion import tcaf_scores

        return tcaf_scores(net, self._tested(net, clips), classes.vectors)

    def embedded(self, net: nn.ModuleDict, clips: Clips, classes: Classes) -> Embeddings:
        return Embeddings({"fused": self._tested(net, clips)}, {COMMON: net["project_label"](classes.vectors)})

    def _tested(self, net: nn.ModuleDict, clips: Clips) -> Tensor:
        """The projected clips (N, 64) of the test."""
        from avbench.methods.learning.windows import middle

        o = self.options
        if clips.time is not None and o.test_steps:
            clips = middle(clips, self._window(o.test_steps, clips.time.audio_step, clips.time.visual_step))
        fused, _ = self.fused(net, clips.audio, clips.visual, clips.time, by_index=o.test_times == "index")
        return fused

    def window(self, clips: PackedClips) -> Window | None:
        if not self.options.train_steps:
            return None
        return self._window(self.options.train_steps, clips.audio_step, clips.visual_step)

    def _window(self, visual: int, audio_step: float, visual_step: float) -> Window:
        from avbench.harness.contract.packed import Window

        per_step = visual_step / audio_step if self.options.audio_length == "quotient" else visual_step * audio_step
        return Window(audio=max(1, round(visual * per_step)), visual=visual)
