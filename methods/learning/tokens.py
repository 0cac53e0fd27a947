"""Tokens of audio and vision for TCaF's transformer and its kin, over time or averaged. Imports torch.

Mercea, Hummel, Koepke, Akata: Temporal and Cross-modal Attention for Audio-Visual Zero-Shot Learning. ECCV 2022. Each
step is encoded and joined with a code of its time and modality.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from avbench.harness.contract.data import Time
from avbench.methods.learning.blocks import Block, Dropout
from avbench.methods.learning.products import Linear

WIDTH = 300
"""Width of the tokens."""
CODE = 64
"""Width of the code of time and modality."""
FOURIER_SCALE = 10.0

Normalisation = Literal["features", "time"]


@dataclass(frozen=True)
class Tokens:
    """Tokens of clips: audio (B, Ta, 300) and visual (B, Tv, 300), zero where a clip has no step.

    ``audio_valid`` (B, Ta) and ``visual_valid`` (B, Tv), bool: which tokens are steps of the clip; None: all.
    """

    audio: Tensor
    visual: Tensor
    audio_valid: Tensor | None = None
    visual_valid: Tensor | None = None

    @property
    def valid(self) -> Tensor | None:
        """(B, Ta + Tv)."""
        if self.audio_valid is None or self.visual_valid is None:
            return None
        return torch.cat([self.audio_valid, self.visual_valid], dim=1)


class Tokeniser(nn.Module):
    """Features to tokens.

    Averaged features are one step at time 0: audio (B, Da) as it is, visual (B, Dv) divided by its norm over the
    features. Over time, audio (B, Ta, Da) is divided by ``audio_divisor``, and visual (B, Tv, Dv) by its norm over the
    features or, as in the reference code, each feature by its norm over the ``time`` of the clip. ``count_padding``:
    padding enters the statistics of batch norm, as in the reference code.
    """

    def __init__(
        self,
        audio: int,
        visual: int,
        *,
        hidden_encoder: int,
        dropout_encoder: float,
        dropout_token: float,
        temporal: bool = False,
        audio_divisor: float = 1.0,
        normalisation: Normalisation = "features",
        count_padding: bool = False,
    ) -> None:
        super().__init__()

        def encoder(width: int) -> nn.Module:
            return nn.Sequential(
                Block(width, hidden_encoder, dropout_encoder), Block(hidden_encoder, WIDTH, dropout_encoder)
            )

        self.audio_divisor, self.normalisation, self.count_padding = audio_divisor, normalisation, count_padding
        self.encode_audio, self.encode_visual = encoder(audio), encoder(visual)
        self.code_time = Linear(CODE, CODE)
        self.code_modality = nn.Parameter(torch.randn(2, CODE))
        self.enter_audio, self.enter_visual = (
            nn.Sequential(Linear(WIDTH + CODE, WIDTH), Dropout(dropout_token)) for _ in range(2)
        )
        if temporal:
            # The code adds this to tokens of padding. Nobody reads them, so it is never trained; it is counted.
            self.code_padding = nn.Parameter(torch.randn(CODE))
            # The time enters the reference's Fourier features twice, so two draws add for each frequency.
            self.register_buffer("frequencies", FOURIER_SCALE * torch.randn(2, CODE // 2).sum(0))
        # Fourier features of time 0, whatever the frequencies: all sines are 0 and all cosines 1.
        self.register_buffer("start", torch.arange(CODE).ge(CODE // 2).float(), persistent=False)

    def tokens(self, audio: Tensor, visual: Tensor, time: Time | None, *, by_index: bool = False) -> Tokens:
        """``by_index``: the number of a step stands for its time, in both modalities; else its start in seconds."""
        if time is None:
            return self._averaged(audio, visual)
        valid_audio = torch.arange(audio.shape[1], device=audio.device) < time.audio_lengths[:, None]
        valid_visual = torch.arange(visual.shape[1], device=visual.device) < time.visual_lengths[:, None]
        if self.audio_divisor != 1:
            audio = audio / self.audio_divisor
        visual = functional.normalize(visual, dim=1 if self.normalisation == "time" else 2)
        seconds = (1.0, 1.0) if by_index else (time.audio_step, time.visual_step)
        return Tokens(
            self._entered(audio, valid_audio, seconds[0], 0),
            self._entered(visual, valid_visual, seconds[1], 1),
            valid_audio,
            valid_visual,
        )

    def _averaged(self, audio: Tensor, visual: Tensor) -> Tokens:
        encoded = self.encode_audio(audio), self.encode_visual(functional.normalize(visual, dim=1))
        codes = self.code_time(self.get_buffer("start")) + self.code_modality
        heard, seen = (
            enter(torch.cat([phi, code.expand(len(phi), -1)], dim=1))
            for enter, phi, code in zip((self.enter_audio, self.enter_visual), encoded, codes, strict=True)
        )
        return Tokens(heard[:, None], seen[:, None])

    def _entered(self, x: Tensor, valid: Tensor, step: float, modality: int) -> Tensor:
        """Steps (B, T, D) of one modality to tokens (B, T, 300)."""
        encoder = (self.encode_audio, self.encode_visual)[modality]
        enter = (self.enter_audio, self.enter_visual)[modality]
        code = self.code_time(self._fourier(x.shape[1], step)) + self.code_modality[modality]  # (T, 64)
        rows, codes = x.flatten(0, 1), code.expand(*valid.shape, -1).flatten(0, 1)
        if self.count_padding:
            entered = enter(torch.cat([encoder(rows), codes], dim=1))
        elif x.device.type == "cpu":  # padding is left out of all products
            places = valid.flatten().nonzero().squeeze(1)
            phi = encoder(rows.index_select(0, places))
            some = enter(torch.cat([phi, codes.index_select(0, places)], dim=1))
            padded: Tensor = some.new_zeros(len(rows), WIDTH).index_copy(0, places, some)
            return padded.view(*valid.shape, WIDTH)
        else:  # shapes that do not depend on values can be captured
            for block in encoder.children():
                assert isinstance(block, Block)
                rows = block.over(rows, valid.flatten())
            entered = enter(torch.cat([rows, codes], dim=1))
        of_steps: Tensor = entered.view(*valid.shape, WIDTH) * valid[..., None]
        return of_steps

    def _fourier(self, steps: int, step: float) -> Tensor:
        """Fourier features (T, 64) of times 0, step, 2 step, ... In double precision, as angles are large."""
        frequencies = self.get_buffer("frequencies")
        times = torch.arange(steps, device=frequencies.device, dtype=torch.float64) * (2 * torch.pi * step)
        angles = times[:, None] * frequencies
        return torch.cat([angles.sin(), angles.cos()], dim=1).to(frequencies.dtype)
