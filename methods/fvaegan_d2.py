"""f-VAEGAN-D2 (Xian et al., CVPR 2019), as adapted by the benchmark: synthetic features of unseen classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pydantic.config import JsonDict

from avbench.harness.data import Classes, Clips, TrainingSet
from avbench.harness.hookspecs import hookimpl
from avbench.harness.method import Difference, Method, MethodInfo, Progress
from avbench.harness.options import EpochOptions, Preset
from avbench.methods.training import Batch, BatchMethod, Dims

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

LATENT = 300
SCORES_ONLY: JsonDict = {"no_effect": "it acts on the classifier, which is fitted when clips are scored"}
REAL = "classifier."
"""Prefix of what a saved state holds besides the network: the real features that every classifier is fitted on."""


class FVAEGANOptions(EpochOptions):
    """Section numbers refer to the method's card."""

    batch_size: int = Field(64, ge=2, le=65_536, description="Clips per batch.")
    critic_steps: int = Field(5, ge=1, le=100, description="Critic steps per step of generator and encoder.")
    gradient_penalty: float = Field(10.0, gt=0, le=1e3, description="Weight of the critics' gradient penalty.")
    adversarial_weight: float = Field(1e5, gt=0, le=1e6, description="Weight of the critic in the generator's loss.")
    synthetic: int = Field(
        1000, ge=1, le=20_000, description="Synthetic features per unseen class.", json_schema_extra=SCORES_ONLY
    )
    classifier_batch_size: int = Field(
        1000,
        ge=1,
        le=65_536,
        description="Batch of the classifier: the number of synthetic features in the reference code.",
        json_schema_extra=SCORES_ONLY,
    )
    classifier_epochs: int = Field(
        30, ge=1, le=1000, description="Epochs of the classifier.", json_schema_extra=SCORES_ONLY
    )
    classifier_learning_rate: float = Field(
        1e-3, gt=0, le=1, description="Learning rate of the classifier.", json_schema_extra=SCORES_ONLY
    )

    presets: ClassVar[tuple[Preset, ...]] = (
        Preset({"batches_per_epoch": 1, "critic_steps": 1}, protocol="as-published"),
        Preset({"synthetic": 10_000, "classifier_batch_size": 10_000}, dataset="vggsound"),
        # The demo has about ten clips per class and must end soon: few steps, so reconstruction teaches the generator.
        Preset(
            {"epochs": 5, "synthetic": 15, "classifier_batch_size": 100, "classifier_learning_rate": 1e-2},
            features="demo",
        ),
        Preset(
            {"batches_per_epoch": 100, "critic_steps": 1, "adversarial_weight": 10.0, "learning_rate": 2e-3},
            features="demo",
            protocol="aligned",
        ),
    )


class FVAEGAN(BatchMethod):
    info = MethodInfo(
        slug="fvaegan-d2",
        title="f-VAEGAN-D2",
        year=2019,
        summary="A conditional VAE and a Wasserstein GAN share a generator of clip features given a label vector. A "
        "softmax classifier is fitted on real features of trained classes and synthetic ones of the others.",
        citation="Xian, Sharma, Schiele, Akata: f-VAEGAN-D2: A Feature Generating Framework for Any-Shot Learning. "
        "CVPR 2019.",
        bibtex="""@inproceedings{xian2019fvaegan,
  title     = {f-{VAEGAN}-{D2}: A Feature Generating Framework for Any-Shot Learning},
  author    = {Xian, Yongqin and Sharma, Saurabh and Schiele, Bernt and Akata, Zeynep},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2019}
}""",
        generative=True,
        calibrated_stacking=False,
        differences=(
            Difference(
                "amount of training", "50 epochs", "the loop ends after one batch an epoch", "batches_per_epoch"
            ),
            Difference("critic steps per generator step", "not stated (original: 5)", "1 in effect", "critic_steps"),
            Difference("D2", "named in the method", "trained on the same features, no influence on the generator"),
            Difference(
                "selection",
                "epoch from stage 1",
                "classifier and generator epochs chosen on the test set; "
                "impossible here: the classifier's epochs are fixed, the generator's are chosen on validation",
            ),
            Difference("calibrated stacking", "for ZSL methods", "none"),
            Difference(
                "classifier for ZSL",
                "not stated",
                "a second one on unseen classes; here the one classifier's scores are restricted to them",
            ),
            Difference("cls features", "not run", "sizes fixed to 1024; here they follow the features"),
        ),
        notes=(
            "As published the generator gets 50 updates and ZSL is at chance (UCF 11.11, with 9 classes).",
            "The state holds the training features: the classifier is fitted on them whenever classes are scored.",
        ),
    )
    Options = FVAEGANOptions
    options: FVAEGANOptions
    pairs = False
    plateau = False

    _real: tuple[Tensor, Tensor, Tensor, Tensor] | None = None
    """Joined training features (N, d), their labels (N,), label vectors (C, Dt) of the classes, and the seed."""
    _classifier: tuple[Tensor, nn.Linear] | None = None
    """The label vectors of the classes last asked for, and the classifier fitted for them."""

    def build(self, dims: Dims) -> dict[str, nn.Module]:
        from torch import nn

        width = dims.audio + dims.visual

        def critic(inputs: int) -> nn.Module:
            layers = nn.Sequential(nn.Linear(inputs, 512), nn.LeakyReLU(0.2), nn.Linear(512, 1))
            layers.apply(_small_weights)
            return layers

        generator = nn.Linear(LATENT + dims.text, 512), nn.ReLU(), nn.Linear(512, width)
        return {
            "generator": nn.Sequential(*generator),
            "encoder": nn.Sequential(nn.Linear(width + dims.text, 300), nn.ReLU()),
            "mean": nn.Linear(300, LATENT),
            "log_variance": nn.Linear(300, LATENT),
            "critic": critic(width + dims.text),
            "second_critic": critic(width),
        }

    @property
    def batches_per_step(self) -> int:
        return self.options.critic_steps

    def updates(self, net: nn.ModuleDict, rate: Tensor) -> Callable[..., None]:
        """A critic step on every batch, then one of generator and encoder on the last one, with the same noise."""
        import torch

        def adam(*parts: str) -> torch.optim.Optimizer:
            return torch.optim.Adam(
                [p for part in parts for p in net[part].parameters()],
                lr=rate,
                betas=(0.5, 0.999),
                weight_decay=self.options.weight_decay,
                fused=True,
                capturable=rate.is_cuda,
            )

        critics, generator = adam("critic", "second_critic"), adam("generator", "encoder", "mean", "log_variance")

        def update(*batches: Batch) -> None:
            for batch in batches:
                x = _joined(batch.audio, batch.visual)
                noise = x.new_empty(len(x), LATENT).normal_()
                self.critic_loss(net, x, batch.vectors, noise).backward()  # type: ignore[no-untyped-call]
                critics.step()
                net.zero_grad()
            self.generator_loss(net, x, batch.vectors, noise).backward()  # type: ignore[no-untyped-call]
            generator.step()
            net.zero_grad()

        return update

    def after_epoch(self, net: nn.ModuleDict, train: TrainingSet) -> None:
        self._classifier = None

    def critic_loss(self, net: nn.ModuleDict, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        """l_D + l_D2 (card section 3) of features x (B, d) and label vectors w (B, Dt)."""
        import torch

        from avbench.methods.losses import gradient_penalty

        fake = generated(net, noise, w).detach()
        between = torch.lerp(fake, x, torch.rand_like(x[:, :1]))
        conditioned = partial(_conditioned, net["critic"], w)
        losses = [
            critic(fake).mean() - critic(x).mean() + self.options.gradient_penalty * gradient_penalty(critic, between)
            for critic in (conditioned, net["second_critic"])
        ]
        return losses[0] + losses[1]

    def generator_loss(self, net: nn.ModuleDict, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        """l_G (card section 3): adversarial terms are means over the batch, reconstruction and KL divergence sums."""
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits

        hidden = net["encoder"](torch.cat([x, w], 1))
        mean, log_variance = net["mean"](hidden), net["log_variance"](hidden)
        latent = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        logits = net["generator"](torch.cat([latent, w], 1))  # before the sigmoid: features may be negative
        fake = generated(net, noise, w)
        adversarial = torch.stack([_conditioned(net["critic"], w, made).mean() for made in (logits.sigmoid(), fake)])
        reconstruction = binary_cross_entropy_with_logits(logits, x, reduction="sum")
        divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()
        total: Tensor = reconstruction + divergence - self.options.adversarial_weight * adversarial.sum()
        return total

    def loss(self, net: nn.ModuleDict, batch: Batch) -> Tensor:
        x = _joined(batch.audio, batch.visual)
        return self.generator_loss(net, x, batch.vectors, x.new_empty(len(x), LATENT).normal_())

    def fit(self, train: TrainingSet, progress: Progress) -> None:
        import torch

        features = _joined(train.clips.audio, train.clips.visual)
        self._real = features, train.labels, train.classes.vectors, torch.tensor(progress.seed)
        super().fit(train, progress)

    def scores(self, net: nn.ModuleDict, clips: Clips, classes: Classes) -> Tensor:
        import torch

        if self._classifier is None or not torch.equal(self._classifier[0], classes.vectors):
            with torch.enable_grad():
                self._classifier = classes.vectors.clone(), self.fit_classifier(net, classes)
        logits: Tensor = self._classifier[1](_joined(clips.audio, clips.visual))
        return logits.log_softmax(1)

    def fit_classifier(self, net: nn.ModuleDict, classes: Classes) -> nn.Linear:
        """Softmax classifier of the candidates: real features of trained classes, synthetic ones of the others.

        A candidate is a trained class if it has that class's label vector. All draws come from the seed of the run, so
        the classifier depends on nothing but the fitted state and the candidates.
        """
        import torch
        from torch.nn.functional import cross_entropy

        o = self.options
        real, labels, vectors, seed = self._stored()
        device = real.device
        draws = torch.Generator(device).manual_seed(int(seed))
        matches = (classes.vectors[:, None] == vectors).all(2)
        column = torch.where(matches.any(0), matches.int().argmax(0), -1)[labels]
        unseen = (~matches.any(1)).nonzero().flatten().repeat_interleave(o.synthetic)
        noise = torch.randn(len(unseen), LATENT, generator=draws, device=device)
        with torch.no_grad():
            made = generated(net, noise, classes.vectors[unseen])
        x = torch.nn.functional.normalize(torch.cat([real[column >= 0], made]), dim=1)
        y = torch.cat([column[column >= 0], unseen])
        order = torch.randperm(len(x), generator=draws, device=device)
        classifier = torch.nn.Linear(x.shape[1], len(classes), device=device)
        torch.nn.init.normal_(classifier.weight, std=0.02, generator=draws)
        torch.nn.init.zeros_(classifier.bias)
        optimiser = torch.optim.Adam(
            classifier.parameters(), lr=o.classifier_learning_rate, betas=(0.5, 0.999), fused=True
        )
        for _ in range(o.classifier_epochs):
            for rows in torch.split(order, o.classifier_batch_size):
                optimiser.zero_grad()
                cross_entropy(classifier(x[rows]), y[rows]).backward()  # type: ignore[no-untyped-call]
                optimiser.step()
        return classifier.requires_grad_(False)

    def state(self) -> dict[str, Tensor]:
        stored = dict(zip(("features", "labels", "vectors", "seed"), self._stored(), strict=True))
        return {**super().state(), **{f"{REAL}{name}": tensor for name, tensor in stored.items()}}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        super().load_state({name: tensor for name, tensor in state.items() if not name.startswith(REAL)})
        features, labels, vectors, seed = (state[f"{REAL}{n}"] for n in ("features", "labels", "vectors", "seed"))
        self._real, self._classifier = (features, labels, vectors, seed), None

    def _stored(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        self._model()  # refuses an unfitted method
        assert self._real is not None
        return self._real


def generated(net: nn.ModuleDict, latent: Tensor, w: Tensor) -> Tensor:
    """G(z, w): features (N, d) in (0, 1) from latent vectors (N, 300) and label vectors (N, Dt)."""
    import torch

    features: Tensor = net["generator"](torch.cat([latent, w], 1)).sigmoid()
    return features


def _conditioned(critic: nn.Module, w: Tensor, features: Tensor) -> Tensor:
    """D(x, w), (N, 1)."""
    import torch

    score: Tensor = critic(torch.cat([features, w], 1))
    return score


def _joined(audio: Tensor, visual: Tensor) -> Tensor:
    """Features (N, Da + Dv) of unit norm, audio first."""
    import torch

    return torch.nn.functional.normalize(torch.cat([audio, visual], 1), dim=1)


def _small_weights(layer: nn.Module) -> None:
    """Initialisation of the critics: weights N(0, 0.02^2), no bias."""
    from torch import nn

    if isinstance(layer, nn.Linear):
        nn.init.normal_(layer.weight, std=0.02)
        nn.init.zeros_(layer.bias)


@hookimpl
def avbench_methods() -> list[type[Method]]:
    return [FVAEGAN]
