"""``clip``: images and names of classes through any CLIP model in the form that transformers reads.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avbench.harness.contract.encoder import Encoder, FrameEncoder, FrameSampling, Weights
from avbench.harness.errors import UsageError
from avbench.harness.extraction.templates import picture_templates
from avbench.harness.extraction.weights import loaded
from avbench.harness.plugins.hookspecs import hookimpl

SENTENCES_AT_ONCE = 64


class ClipPictures(FrameEncoder):
    """One frame a second, whole, prepared as the weights' own image processor says; unit vectors."""

    name = "clip"
    summary = "CLIP through transformers, with its text tower"
    takes_weights = True
    sampling = FrameSampling(rate=1)

    def __init__(self, weights: Weights | None, device: str) -> None:
        super().__init__(weights, device)
        if weights is None:
            raise UsageError("encoder 'clip' needs weights: --weights clip=FOLDER or clip=NAME@COMMIT")
        from transformers import CLIPModel
        from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

        self._model: Any = loaded(CLIPModel, weights, "clip", device)
        self._processor = CLIPImageProcessorPil.from_pretrained(weights.folder, local_files_only=True)
        self._folder = weights.folder
        self.width = int(self._model.config.projection_dim)

    def encode(self, steps: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        import torch

        inputs = self._processor(
            images=[step[0] for step in steps], return_tensors="pt", input_data_format="channels_last"
        )
        with torch.inference_mode():
            found = self._model.get_image_features(pixel_values=inputs["pixel_values"].to(self.device)).pooler_output
            return np.asarray(torch.nn.functional.normalize(found, dim=-1).cpu().numpy(), np.float32)

    def templates(self, dataset: str) -> tuple[str, ...]:
        return picture_templates(dataset)

    def text(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        import torch
        from transformers import CLIPTokenizer

        tokenizer = CLIPTokenizer.from_pretrained(self._folder, local_files_only=True)
        longest = self._model.config.text_config.max_position_embeddings
        found = []
        with torch.inference_mode():
            for first in range(0, len(sentences), SENTENCES_AT_ONCE):
                some = list(sentences[first : first + SENTENCES_AT_ONCE])
                inputs = tokenizer(some, padding=True, truncation=True, max_length=longest, return_tensors="pt")
                found.append(self._model.get_text_features(**inputs.to(self.device)).pooler_output.cpu())
        return np.asarray(torch.cat(found).numpy(), np.float32)


@hookimpl
def avbench_encoders() -> list[type[Encoder]]:
    return [ClipPictures]
