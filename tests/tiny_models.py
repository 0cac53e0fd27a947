"""CLIP and CLAP models of a few thousand weights, drawn at random and written to disk as transformers writes them."""

from __future__ import annotations

import json
from pathlib import Path

import torch

WORDS = ["a", "photo", "video", "of", "the", "person", "can", "be", "heard", "sound", "example", "is"]


def _vocabulary(special: list[str], end: str) -> dict[str, int]:
    """Special tokens, then all letters, alone and as ends of words."""
    letters = [chr(c) for c in range(33, 127)]
    tokens = [*special, *letters, *(f"{letter}{end}" for letter in letters if end), "Ġ"]
    return {token: number for number, token in enumerate(dict.fromkeys(tokens))}


def tiny_clip(folder: Path, seed: int = 0) -> Path:
    """A CLIP for pictures of 32 x 32 pixels and vectors of 12."""
    from transformers import CLIPConfig, CLIPModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    torch.manual_seed(seed)
    vocabulary = _vocabulary(["<|startoftext|>", "<|endoftext|>"], "</w>")
    tower = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**tower, "vocab_size": len(vocabulary), "max_position_embeddings": 77, "bos_token_id": 0, "eos_token_id": 1}
    config = CLIPConfig(
        text_config={**text, "pad_token_id": 1},
        vision_config={**tower, "image_size": 32, "patch_size": 8},
        projection_dim=12,
    )
    CLIPModel(config).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=size).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", "utf-8")
    return folder


def tiny_clap(folder: Path, seed: int = 0, *, fusion: bool = False) -> Path:
    """A CLAP for steps of a second at 16 kHz and vectors of 20."""
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    torch.manual_seed(seed)
    vocabulary = _vocabulary(["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "")
    text = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = ClapConfig(
        text_config={**text, "vocab_size": len(vocabulary), "max_position_embeddings": 514, "pad_token_id": 1},
        audio_config={
            "spec_size": 64,
            "num_mel_bins": 16,
            "hidden_size": 32,
            "depths": [1, 1],
            "num_attention_heads": [2, 2],
            "patch_embeds_hidden_size": 16,
            "window_size": 4,
            "enable_fusion": fusion,
        },
        projection_dim=20,
    )
    ClapModel(config).save_pretrained(folder)
    ClapFeatureExtractor(
        feature_size=16,
        sampling_rate=16_000,
        hop_length=160,
        max_length_s=1,
        fft_window_size=512,
        frequency_max=8000,
        truncation="fusion" if fusion else "rand_trunc",
    ).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", "utf-8")
    return folder
