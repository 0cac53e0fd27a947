"""What the three hyperbolic methods share (Hong et al., ICCV 2023): AVCA plus a loss that aligns its two modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic.config import JsonDict

from avbench.harness.contract.data import Classes, Clips
from avbench.harness.contract.embeddings import Embeddings
from avbench.harness.contract.method import Difference, MethodInfo
from avbench.harness.contract.options import Preset
from avbench.methods.avca import AVCA, AVCAOptions, Embedded
from avbench.methods.learning.batch import Batch, Dims

if TYPE_CHECKING:
    from torch import Tensor, nn


SMALLEST_CURVATURE = 1e-6
COSINE = (
    "with similarity=cosine it changes rounding only: the maps to the tangent spaces change lengths, never directions. "
    "It has an effect with norm-product and with distance"
)
DISTANCE: JsonDict = {"similarity": "distance", "alignment_weight": 100.0}
"""Options with which the geometry matters, soon enough for a test."""

DIFFERENCES = (
    Difference(
        "similarity of two clips",
        "cosine",
        "first public code (September 2023): product of norms; July 2024: cosine",
        "similarity",
    ),
    Difference("cosine of an all-zero encoding", "not mentioned", "0/0; here norms are at least 1e-8"),
    Difference("Frobenius norm of the similarity matrices", "divided out", "not used", "frobenius"),
    Difference("weight of the alignment loss", "1", "0.001", "alignment_weight"),
    Difference("negative half of the pairs", "not mentioned", "aligned too", "align_negatives"),
    Difference("radius of the projection", "1/|c|, outside the ball for |c| < 1", "0.999/sqrt(|c|)"),
    Difference(
        "selection of the curvature",
        "ablation",
        "18 values of two decimals in the readme, one for each method and track, to be tuned again on another GPU",
        "curvature",
    ),
)
PREDICTION = (
    Difference("map that predicts curvatures", "trained", "first public code: left out of the optimiser", "train_head"),
    Difference(
        "limit of predicted curvatures", "0.4 everywhere", "another one on each track, from 0.03 to 0.50", "curvature"
    ),
    Difference("scope of a predicted curvature", "not specified", "one for each clip"),
)
NOTES = (
    "With similarity=cosine, the paper's, no curvature can matter: the map to the tangent space multiplies each "
    "encoding by a positive number, so cosines, loss and gradient are those of Euclidean alignment for every geometry "
    "and every curvature, fixed or predicted. Then geometry, curvature and train_head act on rounding only, like "
    "another seed, and a difference between hyper-alignment, hyper-single, hyper-multiple and Euclidean alignment "
    "(hyper-alignment with geometry=e) can only be noise.",
    "With similarity=norm-product, that of the code public when the paper appeared, the loss and its gradient vanish "
    "for clips whose two encodings are longer than 0.999/sqrt(k): it is a barrier that keeps encodings that long, "
    "not an alignment of similarities. Where no encoding gets shorter, a run is AVCA's of the same seed, bit for bit.",
    "similarity=distance is ours, not the paper's. There the geometry matters. Predicted curvatures are averaged over "
    "the batch, because a distance needs both of its points in one space.",
    "The paper's own loss (eqs. 4 and 5) is frobenius=true, alignment_weight=1, align_negatives=false. "
    "The spherical map is ours: the paper gives none.",
)

Geometry = Annotated[
    str,
    Field(
        pattern=r"^[ehs](\+[ehs]){0,7}$",
        examples=["h", "e", "s", "h+h", "h+s"],
        description="Spaces of the alignment, joined by +: h hyperbolic, e Euclidean, s spherical. "
        "The loss is the mean over them (Hong et al., tables 4 and 5).",
        json_schema_extra={"no_effect": COSINE, "effect_with": DISTANCE},
    ),
]
Curvature = Annotated[
    float,
    Field(
        ge=SMALLEST_CURVATURE,
        le=100,
        description="Magnitude k of the curvature: -k for h, +k for s (Hong et al., table 3). "
        "Where curvatures are predicted, their upper limit k0.",
        json_schema_extra={"no_effect": f"{COSINE}, where a space is curved", "effect_with": DISTANCE},
    ),
]


class AlignmentOptions(AVCAOptions):
    """Options of AVCA and of the alignment loss. Section numbers refer to the methods' card."""

    geometry: Geometry = "h"
    curvature: Curvature = 0.2
    location: Literal["encoded", "attended", "projected"] = Field(
        "encoded",
        description="What is aligned: outputs phi of the encoders, inputs of the projections (after attention), or "
        "their outputs theta (Hong et al., table 6).",
    )
    similarity: Literal["cosine", "norm-product", "distance"] = Field(
        "cosine",
        description="Similarity of two clips: cosine of tangent vectors (paper), product of their norms (first public "
        "code), or minus the geodesic distance (ours, not the paper's).",
    )
    frobenius: bool = Field(False, description="Divide each similarity matrix by its Frobenius norm (paper).")
    alignment_weight: float = Field(1e-3, ge=0, le=1e6, description="Weight of the alignment loss (1 in the paper).")
    align_negatives: bool = Field(
        True, description="Align the negative half of the pairs too, as a batch of its own (not in the paper)."
    )

    presets: ClassVar[tuple[Preset, ...]] = (Preset({"similarity": "norm-product"}, protocol="as-published"),)

    @property
    def spaces(self) -> tuple[str, ...]:
        return tuple(self.geometry.split("+"))

    @property
    def curved(self) -> int:
        """How many of the spaces have a curvature."""
        return sum(space != "e" for space in self.spaces)

    @model_validator(mode="after")
    def _check_alignment(self) -> AlignmentOptions:
        if self.modalities != "both" and (self.location == "projected" or not self.cross_attention):
            raise ValueError(
                f"modalities={self.modalities} leaves one modality out, but the alignment compares both: "
                "use modalities=both, or keep cross_attention on and align encoded or attended features"
            )
        return self


class Alignment(AVCA):
    """AVCA with alignment under a fixed curvature."""

    Options = AlignmentOptions
    options: AlignmentOptions

    def curvatures(self, net: nn.ModuleDict, visual: Tensor, audio: Tensor) -> Sequence[Tensor | float]:
        """One curvature magnitude per curved space: a number, or (G, B, 1) for features (G, B, F)."""
        return [self.options.curvature] * self.options.curved

    def loss(self, net: nn.ModuleDict, batch: Batch) -> Tensor:
        terms = self.terms(net, batch)
        return terms["avca"] + terms["alignment"]

    def terms(self, net: nn.ModuleDict, batch: Batch) -> Mapping[str, Tensor]:
        clips = self.embed(net, batch.audio, batch.visual)
        aligned = self.alignment_loss(net, clips)
        plain = self.embedding_loss(net, batch, clips)
        return {"avca": plain, "alignment": self.options.alignment_weight * aligned}

    def embedded(self, net: nn.ModuleDict, clips: Clips, classes: Classes) -> Embeddings:
        """With what is aligned, and the radius beyond which each hyperbolic space cuts it, R_k = 0.999 / sqrt(k)."""
        import torch

        from avbench.methods.learning.hyperbolic import EDGE

        plain = super().embedded(net, clips, classes)
        features: dict[str, Tensor] = getattr(self.embed(net, clips.audio, clips.visual), self.options.location)
        visual, audio = features["visual"], features["audio"]
        curvatures = self.curvatures(net, visual[None], audio[None])
        curved = [space for space in self.options.spaces if space != "e"]
        radii = [
            EDGE / torch.as_tensor(k, device=visual.device).reshape(-1).expand(len(visual)).sqrt()
            for space, k in zip(curved, curvatures, strict=True)
            if space == "h"
        ]
        own = {"aligned-audio": audio, "aligned-visual": visual}
        if radii:
            own["radius"] = torch.stack(radii, dim=1)
        return Embeddings({**plain.clips, **own}, plain.classes)

    def alignment_loss(self, net: nn.ModuleDict, clips: Embedded) -> Tensor:
        """Sum over the halves of the pairs of the mean over the spaces of eq. 4 (card section 3.2), a scalar."""
        import torch

        from avbench.methods.learning.hyperbolic import Euclidean, Hyperbolic, Sphere, alignment

        o = self.options
        features: dict[str, Tensor] = getattr(clips, o.location)
        halves = 2 if o.align_negatives else 1
        visual, audio = (features[x][:, :halves].transpose(0, 1) for x in ("visual", "audio"))
        curvatures = iter(self.curvatures(net, visual, audio))
        kinds = {"h": Hyperbolic, "s": Sphere}
        spaces = [kinds[s](next(curvatures)) if s in kinds else Euclidean() for s in o.spaces]
        losses = [alignment(visual, audio, space, o.similarity, o.frobenius) for space in spaces]
        return torch.stack(losses).mean(0).sum()


class PredictedOptions(AlignmentOptions):
    """Options of alignment under predicted curvatures."""

    curvature: Curvature = 0.4
    train_head: bool = Field(
        True,
        description="Train the linear map that predicts the curvatures. "
        "The first public code left it out of the optimiser.",
        json_schema_extra={"no_effect": f"{COSINE}, where a space is curved", "effect_with": DISTANCE},
    )

    presets: ClassVar[tuple[Preset, ...]] = (Preset({"train_head": False}, protocol="as-published"),)


class PredictedAlignment(Alignment):
    """AVCA with alignment under curvatures ``k0 * sigmoid(linear map of [visual; audio])``, one set per clip."""

    Options = PredictedOptions
    options: PredictedOptions

    def build(self, dims: Dims) -> dict[str, nn.Module]:
        from torch import nn

        from avbench.methods.learning.drawn_apart import drawn_apart

        parts = super().build(dims)
        if self.options.curved:
            width = 64 if self.options.location == "projected" else 300
            with drawn_apart():
                head = nn.Linear(2 * width, self.options.curved)
            parts["curvatures"] = head.requires_grad_(self.options.train_head)
        return parts

    def curvatures(self, net: nn.ModuleDict, visual: Tensor, audio: Tensor) -> Sequence[Tensor | float]:
        """Not below 1e-6, as a saturated sigmoid may underflow and a curvature of 0 has no derivative here."""
        import torch

        if not self.options.curved:
            return []
        predicted: Tensor = net["curvatures"](torch.cat([visual, audio], dim=-1))
        magnitudes = (self.options.curvature * predicted.sigmoid()).clamp(min=SMALLEST_CURVATURE)
        return magnitudes.chunk(self.options.curved, dim=-1)


def by_track(option: str, values: Sequence[float | str], protocol: str | None = None) -> tuple[Preset, ...]:
    """One preset per track, in this order: UCF, ActivityNet, VGGSound, each main then cls."""
    tracks = [(d, f) for d in ("ucf", "activitynet", "vggsound") for f in ("main", "cls")]
    return tuple(
        Preset({option: value}, dataset, features, protocol)
        for (dataset, features), value in zip(tracks, values, strict=True)
    )


def describe(slug: str, title: str, summary: str, *differences: Difference) -> MethodInfo:
    """What the methods say about themselves; ``differences`` come before the common ones."""
    return MethodInfo(
        slug=slug,
        title=title,
        year=2023,
        summary=summary,
        citation="Hong, Hayder, Han, Fang, Harandi, Petersson: Hyperbolic Audio-visual Zero-shot Learning. ICCV 2023.",
        bibtex="""@inproceedings{hong2023hyperbolic,
  title     = {Hyperbolic Audio-visual Zero-shot Learning},
  author    = {Hong, Jie and Hayder, Zeeshan and Han, Junlin and Fang, Pengfei and Harandi, Mehrtash
               and Petersson, Lars},
  booktitle = {IEEE/CVF International Conference on Computer Vision (ICCV)},
  year      = {2023}
}""",
        differences=(*differences, *DIFFERENCES, *AVCA.info.differences),
        notes=NOTES,
    )
