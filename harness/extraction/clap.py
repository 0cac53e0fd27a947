"""``clap``: sound and names of classes through any CLAP model in the form that transformers reads.

Wu et al., "Large-scale Contrastive Language-Audio Pretraining with Feature Fusion and Keyword-to-Caption
Augmentation", 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avbench.harness.contract.encoder import Encoder, SoundEncoder, SoundSampling, Weights
from avbench.harness.errors import UsageError
from avbench.harness.extraction.templates import sound_templates
from avbench.harness.extraction.weights import loaded
from avbench.harness.plugins.hookspecs import hookimpl

SENTENCES_AT_ONCE = 64


class ClapSound(SoundEncoder):
    """Steps as long as the weights' feature extractor takes (10 s), a shorter one filled as it says; unit vectors."""

    name = "clap"
    summary = "CLAP through transformers, with its text tower"
    takes_weights = True

    def __init__(self, weights: Weights | None, device: str) -> None:
        super().__init__(weights, device)
        if weights is None:
            raise UsageError("encoder 'clap' needs weights: --weights clap=FOLDER or clap=NAME@COMMIT")
        from transformers import ClapFeatureExtractor, ClapModel

        self._model: Any = loaded(ClapModel, weights, "clap", device)
        self._extractor: Any = ClapFeatureExtractor.from_pretrained(weights.folder, local_files_only=True)
        self._folder = weights.folder
        rate = int(self._extractor.sampling_rate)
        self.sampling = SoundSampling(rate=rate, seconds=self._extractor.nb_max_samples / rate)
        self.width = int(self._model.config.projection_dim)

    def encode(self, steps: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        import torch

        # one at a time: of several short ones the extractor marks one as long, by chance
        prepared = [self._extractor(s, sampling_rate=self.sampling.rate, return_tensors="pt") for s in steps]
        inputs = {key: torch.cat([p[key] for p in prepared]).to(self.device) for key in prepared[0]}
        with torch.inference_mode():
            found = self._model.get_audio_features(**inputs).pooler_output
            return np.asarray(found.cpu().numpy(), np.float32)

    def templates(self, dataset: str) -> tuple[str, ...]:
        return sound_templates(dataset)

    def text(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        import torch
        from transformers import RobertaTokenizer

        tokenizer = RobertaTokenizer.from_pretrained(self._folder, local_files_only=True)
        found = []
        with torch.inference_mode():
            for first in range(0, len(sentences), SENTENCES_AT_ONCE):
                some = list(sentences[first : first + SENTENCES_AT_ONCE])
                inputs = tokenizer(some, padding=True, return_tensors="pt").to(self.device)
                found.append(self._model.get_text_features(**inputs).pooler_output.cpu())
        return np.asarray(torch.cat(found).numpy(), np.float32)


@hookimpl
def avbench_encoders() -> list[type[Encoder]]:
    return [ClapSound]
