"""A worker process: takes shards from standard input, decodes and encodes their clips, stores them.

Decoding runs here, under a limit of memory, so that a video that breaks the decoder costs a worker and not the whole.
The parent watches the time.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np

from avbench.harness.contract.encoder import FrameEncoder, SoundEncoder
from avbench.harness.errors import AvbenchError, DataError
from avbench.harness.extraction.container import BadVideoError
from avbench.harness.extraction.features import VideoFeatures, encode_video
from avbench.harness.extraction.messages import (
    NO_SOUND,
    ClipTask,
    EncoderChoice,
    MissingAudio,
    News,
    Setup,
    ShardTask,
    SoundlessError,
)
from avbench.harness.extraction.shards import ClipNotes, ClipSteps, write_shard
from avbench.harness.plugins.registry import plugins


def main() -> None:
    """Work until there is no more to do or the parent is gone."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as replies:
        os.dup2(2, 1)  # whatever a library prints is no reply
        try:
            for news in work(sys.stdin):
                print(news.model_dump_json(), file=replies, flush=True)
        except BrokenPipeError:
            pass
        except SoundlessError as error:
            print(News(kind="soundless", text=str(error)).model_dump_json(), file=replies)
        except AvbenchError as error:
            print(News(kind="error", text=str(error), exit_code=error.exit_code).model_dump_json(), file=replies)
        except OSError as error:  # a full disk
            text = f"a worker cannot go on: {error}; what was extracted is kept"
            print(News(kind="error", text=text, exit_code=DataError.exit_code).model_dump_json(), file=replies)
        except Exception as error:
            text = f"a worker failed: {type(error).__name__}: {error}"
            print(News(kind="error", text=text, exit_code=5).model_dump_json(), file=replies)


def work(orders: TextIO) -> Iterator[News]:
    """Do what stands on the lines: a setup, then shards."""
    import av  # before memory is limited: it is large

    av.logging.set_level(None)
    setup = Setup.model_validate_json(orders.readline())
    frames, sound = load(setup.frames, setup.device), load(setup.sound, setup.device)
    assert isinstance(frames, FrameEncoder)
    assert isinstance(sound, SoundEncoder)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)  # the workers are what is done at once
    _limit_memory(setup.memory)
    yield News(kind="ready")
    for line in orders:
        task = ShardTask.model_validate_json(line)
        clips = []
        for number, clip in enumerate(task.clips):
            yield News(kind="clip", at=number)
            clips.append(clip_steps(clip, frames, sound, setup.missing_audio))
        write_shard(task.path, task.key, clips)
        yield News(kind="stored")


def load(choice: EncoderChoice, device: str) -> FrameEncoder | SoundEncoder:
    """The encoder, with its weights on the device."""
    encoder = plugins().encoders[choice.key].encoder(choice.weights, device)
    assert isinstance(encoder, FrameEncoder | SoundEncoder)
    return encoder


def clip_steps(clip: ClipTask, frames: FrameEncoder, sound: SoundEncoder, missing_audio: MissingAudio) -> ClipSteps:
    """Features of one clip, or the reason why it has none.

    Raises :class:`SoundlessError` for a clip without sound where that is not forgiven.
    """
    nothing = (np.empty((0, sound.width), np.float32), np.empty((0, frames.width), np.float32))
    if clip.spoilt is not None:
        return ClipSteps(ClipNotes(clip.id, True, (clip.spoilt,)), *nothing)
    try:
        found = encode_video(Path(clip.path), frames, sound, clip.start, clip.end)
    except BadVideoError as error:
        return ClipSteps(ClipNotes(clip.id, True, (str(error),)), *nothing)
    except MemoryError:
        return ClipSteps(ClipNotes(clip.id, True, ("needs more memory than a video may take",)), *nothing)
    except AvbenchError:
        raise
    except Exception as error:  # a broken video can make FFmpeg's wrapping raise nearly anything
        reason = f"cannot be decoded ({type(error).__name__}: {str(error)[:200]})"
        return ClipSteps(ClipNotes(clip.id, True, (reason,)), *nothing)
    reasons = tuple(dict.fromkeys(found.account.remarks))
    if len(found.audio):
        return ClipSteps(ClipNotes(clip.id, False, reasons), found.audio, found.visual)
    if missing_audio == "drop":
        return ClipSteps(ClipNotes(clip.id, True, (NO_SOUND, *reasons)), *nothing)
    if missing_audio == "fail":
        text = f"clip {clip.id} {NO_SOUND} ({clip.path}); --missing-audio zeros or drop goes on without it"
        raise SoundlessError(text, clip.id)
    return _silent(clip, found, reasons, sound.width)


def _silent(clip: ClipTask, found: VideoFeatures, reasons: tuple[str, ...], width: int) -> ClipSteps:
    notes = ClipNotes(clip.id, False, (f"{NO_SOUND}: one step of zeros", *reasons))
    return ClipSteps(notes, np.zeros((1, width), np.float32), found.visual)


def _limit_memory(allowance: int) -> None:
    """Let private memory grow by so much and no more, where the system can say how much there is (Linux).

    Reserved addresses are not counted, of which a GPU's driver has plenty, nor are weights mapped from a file.
    """
    import resource

    try:
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
        now = next(int(line.split()[1]) for line in lines if line.startswith("VmData:")) * 1024
    except (OSError, StopIteration):
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = now + allowance
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


if __name__ == "__main__":
    main()
