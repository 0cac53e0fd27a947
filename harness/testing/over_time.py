"""Checks of methods that read features over time. Imports torch."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from avbench.harness.contract.data import Clips
from avbench.harness.testing.check import NotApplicableError
from avbench.harness.testing.comparison import refuse_gap, situation
from avbench.harness.testing.subject import Subject


def padding_ignored(subject: Subject) -> None:
    _require_time(subject)
    fit = subject.fit()
    for audio, visual in ((7, 0), (0, 7), (3, 5)):
        answers = fit.answers(padded(fit.clips, audio, visual), fit.task.candidates)
        refuse_gap(fit.own_answers, answers, "the scores of a clip change with the padding behind its steps")


def one_step(subject: Subject) -> None:
    _require_time(subject)
    fit = subject.fit()
    with situation("asked for clips of one step"):
        fit.answers(shortened(fit.clips, 1, 1), fit.task.candidates)


def uneven_lengths(subject: Subject) -> None:
    """Clips of which one modality is long and the other short, together and alone."""
    _require_time(subject)
    fit, classes = subject.fit(), subject.fit().task.candidates
    for audio, visual in ((1, 5), (5, 1)):
        clips = shortened(fit.clips, audio, visual)
        with situation(f"asked for clips of at most {audio} audio and {visual} visual steps"):
            together = fit.answers(clips, classes)
        for row in range(0, len(clips), 5):
            alone = fit.answers(trimmed(clips.take(torch.tensor([row]))), classes)
            expected = {name: scores[row : row + 1] for name, scores in together.items()}
            refuse_gap(expected, alone, "the scores of a clip change when longer clips are asked for beside it")


def averaged_too(subject: Subject) -> None:
    if not subject.kind.info.also_averaged:
        raise NotApplicableError("the method does not declare also_averaged")
    with situation("on averaged features"):
        fit = subject.new_fit(subject.task(steps=0))
        _ = fit.own_answers


def padded(clips: Clips, audio: int, visual: int) -> Clips:
    """The same clips with so many steps of padding more."""
    return replace(clips, audio=_padded(clips.audio, audio), visual=_padded(clips.visual, visual))


def shortened(clips: Clips, audio: int, visual: int) -> Clips:
    """The first steps of clips, at most so many."""
    assert clips.time is not None
    time = replace(
        clips.time,
        audio_lengths=clips.time.audio_lengths.clamp_max(audio),
        visual_lengths=clips.time.visual_lengths.clamp_max(visual),
    )
    heard = torch.arange(clips.audio.shape[1]) < time.audio_lengths[:, None]
    seen = torch.arange(clips.visual.shape[1]) < time.visual_lengths[:, None]
    return trimmed(Clips(clips.audio * heard[..., None], clips.visual * seen[..., None], time=time))


def trimmed(clips: Clips) -> Clips:
    """The same clips without the padding that none of them needs."""
    assert clips.time is not None
    audio, visual = (int(lengths.max()) for lengths in (clips.time.audio_lengths, clips.time.visual_lengths))
    return replace(clips, audio=clips.audio[:, :audio], visual=clips.visual[:, :visual])


def beside(clips: Clips, others: Clips, kept: Tensor) -> Clips:
    """The clips where ``kept`` (N,) and three times the others elsewhere."""
    if clips.time is None or others.time is None:
        return Clips(
            torch.where(kept[:, None], clips.audio, 3 * others.audio),
            torch.where(kept[:, None], clips.visual, 3 * others.visual),
        )
    audio, visual = (max(getattr(c, name).shape[1] for c in (clips, others)) for name in ("audio", "visual"))
    one, two = (padded(c, audio - c.audio.shape[1], visual - c.visual.shape[1]) for c in (clips, others))
    time = replace(
        clips.time,
        audio_lengths=torch.where(kept, clips.time.audio_lengths, others.time.audio_lengths),
        visual_lengths=torch.where(kept, clips.time.visual_lengths, others.time.visual_lengths),
    )
    where = kept[:, None, None]
    return Clips(
        torch.where(where, one.audio, 3 * two.audio), torch.where(where, one.visual, 3 * two.visual), time=time
    )


def _padded(x: Tensor, steps: int) -> Tensor:
    return functional.pad(x, (0, 0, 0, steps))


def _require_time(subject: Subject) -> None:
    if subject.kind.info.inputs != "temporal":
        raise NotApplicableError("the method reads averaged features")
