"""ESZSL: a bilinear map between features and label vectors in closed form (Romera-Paredes and Torr, ICML 2015)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from avbench import Classes, Clips, Method, MethodInfo, Options, Progress, TrainingSet
from pydantic import Field

if TYPE_CHECKING:
    from torch import Tensor

ROWS = 8192
"""Clips that are in float64 at one time."""


class ESZSLOptions(Options):
    gamma: float = Field(
        1e3,
        gt=0,
        le=1e9,
        description="Penalty of the label vectors' images among the features. The paper tries powers of ten; it "
        "competes with the number of training clips.",
    )
    lambda_text: float = Field(
        1.0,
        gt=0,
        le=1e9,
        description="Lambda of the paper: penalty of the clips' images among the label vectors. It competes with the "
        "number of classes.",
    )
    standardise: bool = Field(
        True,
        description="Bring every feature to mean 0 and variance 1 over the training clips: one gamma then suits audio "
        "and visual features of any scale. Off: features as they are, as in the paper.",
    )


class ESZSL(Method):
    """Audio and visual features stand side by side; ``map`` (Da + Dv, Dt) is all that is learnt."""

    info = MethodInfo(
        slug="eszsl",
        title="ESZSL",
        year=2015,
        summary="A bilinear map between the joined features and the label vectors, fitted to +1 for the right class "
        "and -1 for every other by squared error. The solution is a formula: nothing is trained in steps.",
        citation="Romera-Paredes, Torr: An Embarrassingly Simple Approach to Zero-Shot Learning. ICML, 2015.",
        bibtex="""@inproceedings{romeraparedes2015embarrassingly,
  title     = {An Embarrassingly Simple Approach to Zero-Shot Learning},
  author    = {Romera-Paredes, Bernardino and Torr, Philip},
  booktitle = {International Conference on Machine Learning},
  pages     = {2152--2161},
  year      = {2015}
}""",
        notes=(
            "A closed form: no epochs, no batches, and every seed gives the same result.",
            "The paper has attributes and one kind of features; here label vectors are the attributes, and audio and "
            "visual features are joined.",
        ),
    )
    Options = ESZSLOptions
    options: ESZSLOptions

    _state: dict[str, Tensor]

    def fit(self, train: TrainingSet, progress: Progress) -> None:
        """V = (X X' + gamma I)^-1 X Y S' (S S' + lambda I)^-1 (section 3.1), solved in float64."""
        import torch

        features = _joined(train.clips)
        mean, scale = torch.zeros_like(features[0]), torch.ones_like(features[0])
        if self.options.standardise:
            scale, mean = torch.std_mean(features, 0, correction=0)
            scale = torch.where(scale > 0, scale, 1.0)
        vectors = train.classes.vectors.double()
        # Row i of (Y' S'): +1 times the clip's own label vector, -1 times each other one.
        targets = 2 * vectors - vectors.sum(0)
        width = features.shape[1]
        gram = vectors.new_zeros(width, width)
        right = vectors.new_zeros(width, vectors.shape[1])
        for start in range(0, len(features), ROWS):
            part = slice(start, start + ROWS)
            x = (features[part].double() - mean) / scale
            gram += x.T @ x
            right += x.T @ targets[train.labels[part]]
        left = _ridge_solve(gram, self.options.gamma, right)
        solution = _ridge_solve(vectors.T @ vectors, self.options.lambda_text, left.T).T
        self._state = {"map": solution.float(), "mean": mean, "scale": scale}

    def predict(self, clips: Clips, classes: Classes) -> Tensor:
        """Scores x' V s (N, C)."""
        state = self._state
        return (_joined(clips) - state["mean"]) / state["scale"] @ state["map"] @ classes.vectors.T

    def state(self) -> dict[str, Tensor]:
        return dict(self._state)

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self._state = {name: state[name] for name in ("map", "mean", "scale")}


def _joined(clips: Clips) -> Tensor:
    """(N, Da + Dv)."""
    import torch

    return torch.cat([clips.audio, clips.visual], 1)


def _ridge_solve(gram: Tensor, penalty: float, right: Tensor) -> Tensor:
    """(gram + penalty I)^-1 right, of a symmetric positive semidefinite gram and a positive penalty."""
    import torch

    return torch.cholesky_solve(right, torch.linalg.cholesky(gram + penalty * torch.eye(len(gram)).to(gram)))
