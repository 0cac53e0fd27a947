"""What a worker is told and what it tells: one JSON object a line."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from avbench.harness.contract.encoder import Weights
from avbench.harness.errors import DataError

MissingAudio = Literal["zeros", "drop", "fail"]
NO_SOUND = "has no sound"
TOO_SLOW = "takes longer than "
"""Beginning of the reason for which a clip is given up; the seconds that it had follow."""


class SoundlessError(DataError):
    """A clip without sound where none is forgiven. ``clip``: its id."""

    def __init__(self, text: str, clip: str) -> None:
        super().__init__(text)
        self.clip = clip


class Message(BaseModel):
    """Base of all messages."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EncoderChoice(Message):
    """An encoder as the registry knows it, with its weights."""

    key: str
    """``name:modality``."""
    weights: Weights | None = None


class Setup(Message):
    """The first line to a worker."""

    frames: EncoderChoice
    sound: EncoderChoice
    device: str
    missing_audio: MissingAudio
    memory: int
    """Bytes that decoding may take beyond what the worker has after its start."""


class ClipTask(Message):
    """One clip. ``spoilt``: why it is not to be tried: there is no file, or it has cost a worker."""

    id: str
    path: Path
    start: float = 0.0
    end: float = 0.0
    spoilt: str | None = None


class ShardTask(Message):
    """The clips of one shard."""

    number: int
    path: Path
    key: str
    clips: tuple[ClipTask, ...]


class News(Message):
    """A line from a worker: it is ready, begins with the clip ``at``, has stored the shard, or cannot go on, because
    of that clip's missing sound or because of something else."""

    kind: Literal["ready", "clip", "stored", "soundless", "error"]
    at: int = 0
    text: str = ""
    exit_code: int = 1
