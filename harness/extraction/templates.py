"""Label vectors from a text tower: sentences about each class, averaged.

CLIP's sentences for UCF and ActivityNet are those of ClipClap (Kurzendörfer et al. 2024). Its others are not printed
in full; those here are of the same kind. Whatever is used stands in the manifest of the track.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from avbench.harness.contract.encoder import Encoder
from avbench.harness.errors import PluginError
from avbench.splits import Split

IMAGES = ("a photo", "a video", "a example", "a demonstration")
ACTIONS = ("using", "doing", "during", "performing", "practicing")


def picture_templates(dataset: str) -> tuple[str, ...]:
    """48 sentences about a person who does something; 8 about the thing itself for VGGSound."""
    if dataset == "vggsound":
        return tuple(f"{image} of {article}{{}}" for image, article in product(IMAGES, ("", "the ")))
    return tuple(
        f"{image} of {article} person {action}{{}}"
        for image, article, action in product(IMAGES, ("a", "the"), ("", *(f"{a} " for a in ACTIONS)))
    )


def sound_templates(dataset: str) -> tuple[str, ...]:
    """30 sentences about a person who can be heard; 9 about the sound itself for VGGSound."""
    if dataset == "vggsound":
        return tuple(
            f"{sound}{{}}{end}"
            for sound, end in product(("", "the sound of ", "a recording of "), ("", " can be heard", " is heard"))
        )
    return tuple(
        f"{who} person {action} {{}} {end}"
        for who, action, end in product(("a", "the"), ACTIONS, ("can be heard", "is heard", "is making a sound"))
    )


def label_vectors(encoder: Encoder, split: Split) -> NDArray[np.float32]:
    """Vectors (source classes, Dt) of unit norm: per class the mean of the unit vectors of its sentences, scaled."""
    templates = encoder.templates(split.dataset)
    sentences = [template.replace("{}", c.prompt) for c in split.classes for template in templates]
    found = np.asarray(encoder.text(sentences), np.float64)
    if found.ndim != 2 or len(found) != len(sentences) or not np.isfinite(found).all():
        raise PluginError(f"encoder {encoder.name!r} gave text vectors {found.shape} for {len(sentences)} sentences")
    means = _unit(found).reshape(len(split.classes), len(templates), -1).mean(axis=1)
    return _unit(means).astype(np.float32)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: NDArray[np.float64] = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return found
