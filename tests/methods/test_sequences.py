"""Batches of clips over time: what a thread gathers ahead is what was drawn, from memory or from a mapped file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from simulated_temporal import temporal_files

from avbench.harness.contract.data import TrainingSet
from avbench.harness.contract.packed import PackedClips, Window
from avbench.harness.evaluation.chunks import Chunks
from avbench.harness.evaluation.protocol import PROTOCOLS
from avbench.harness.evaluation.stages import stage_data
from avbench.harness.features.arrays_over_time import SequenceFiles, read_arrays_over_time
from avbench.harness.features.featureset import FeatureSet
from avbench.harness.features.store import Store
from avbench.harness.testing.simulated import SimulatedProgress, Task, fitted, moved
from avbench.harness.tracks import Track
from avbench.methods.learning.sequences import EpochSequences
from avbench.methods.tcaf import TCaF


def training() -> TrainingSet:
    return Task(clips=30, audio=8, visual=12, steps=5).training_set(unseen_names=False)


@pytest.fixture
def stored(tmp_path: Path) -> FeatureSet:
    files, store = temporal_files(tmp_path / "arrays"), Store(tmp_path / "store")
    store.save(
        read_arrays_over_time(
            "mine",
            "ucf",
            "main",
            audio=SequenceFiles(files.path("audio.npz")),
            visual=SequenceFiles(files.path("visual.npz")),
            clips=files.path("clips.csv"),
            text=files.path("text.npz"),
            allow_missing=True,
        )
    )
    return store.load(Track("ucf", "mine"))


@pytest.mark.parametrize("window", [None, Window(2, 3)])
@pytest.mark.parametrize("pairs", [False, True])
def test_batches_are_those_that_were_drawn(pairs: bool, window: Window | None) -> None:
    train = training()
    batches = EpochSequences(train, 4, 6, pairs, seed=3, window=window)
    seen = []
    for _ in range(2):
        batches.draw()
        rows, starts = batches.rows.clone(), batches.starts.clone()
        for number in range(4):
            batch = batches.next()
            expected = train.clips.take(rows[number].flatten(), window, starts[number].flatten() if window else None)  # type: ignore[call-arg]
            assert torch.equal(batch.audio.flatten(0, rows.dim() - 2), expected.audio)
            assert torch.equal(batch.visual.flatten(0, rows.dim() - 2), expected.visual)
            assert batch.time is not None
            assert expected.time is not None
            assert torch.equal(batch.time.audio_lengths.flatten(), expected.time.audio_lengths)
            assert torch.equal(batch.labels, train.labels[rows[number]])
        seen.append(rows)
    assert not torch.equal(*seen)
    assert batches.thread is None  # nothing runs on between epochs


def test_an_epoch_that_was_broken_off_leaves_nothing_to_the_next() -> None:
    batches = EpochSequences(training(), 4, 6, False, seed=3)
    batches.draw()
    batches.next()
    batches.draw()
    rows = batches.rows[0].clone()
    assert torch.equal(batches.next().audio, training().clips.take(rows).audio)


def test_training_steps_of_a_stored_set_have_no_other_clip_behind_them(stored: FeatureSet) -> None:
    train = stage_data(stored, PROTOCOLS["aligned"], stage=1).training_set(unseen_names=False)
    packed = train.clips
    assert isinstance(packed, PackedClips)
    count = stored.rows["train"].stop
    assert len(packed) == count
    for name in ("audio", "visual"):
        values, every = getattr(packed, name), getattr(stored, name)
        assert torch.equal(values, every[: len(values)])
        page = 65536
        assert values.untyped_storage().nbytes() <= values.nbytes + page
        behind = values.untyped_storage().nbytes() - values.storage_offset() * 4 - values.nbytes
        assert behind == 0
    assert not torch.equal(stored.audio[len(packed.audio)], torch.zeros(stored.audio.shape[1]))


def test_chunks_by_length_give_every_clip_once_in_the_order_asked_for(
    stored: FeatureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avbench.harness.evaluation.chunks.NUMBERS", 700)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    chunks = Chunks(stored, order)
    parts, sizes = [], []
    for clips in chunks.clips():
        assert clips.time is not None
        sizes.append(clips.audio.numel() + clips.visual.numel())
        parts.append(torch.stack([clips.audio.sum((1, 2)), clips.visual.sum((1, 2))], 1))
    assert len(sizes) > 10
    assert max(sizes) <= 700
    every = stored.packed().take(order)
    torch.testing.assert_close(
        chunks.restored(parts), torch.stack([every.audio.sum((1, 2)), every.visual.sum((1, 2))], 1)
    )


def small(**given: object) -> TCaF:
    base = {"epochs": 1, "batches_per_epoch": 8, "batch_size": 8, "layers": 1, "hidden_encoder": 16}
    return TCaF(TCaF.Options(**{**base, **given}))  # type: ignore[arg-type]


@pytest.mark.cuda
@pytest.mark.parametrize("padding", [False, True])
def test_on_a_gpu_steps_that_lie_there_and_steps_on_the_host_give_the_same(padding: bool) -> None:
    """A captured step that gathers, and one whose batches are gathered by a thread and copied before it."""
    device, states = torch.device("cuda"), []
    for resident in (True, False):
        train = moved(training(), device)
        if not resident:
            host = training().clips
            assert isinstance(host, PackedClips)
            train = replace(train, clips=replace(host, device=device))
        method = fitted(small(count_padding=padding), train, SimulatedProgress(1, device=device))
        states.append(method.state())
    for name, tensor in states[0].items():
        torch.testing.assert_close(tensor, states[1][name])


@pytest.mark.cuda
def test_on_a_gpu_batches_have_one_length_unless_padding_counts() -> None:
    device = torch.device("cuda")
    train = moved(training(), device)
    for as_batch, count in ((False, 1), (True, 2)):
        batches = EpochSequences(train, 30, 2, False, seed=0, as_batch=as_batch)
        batches.draw()
        assert len({batches.next().audio.shape[1] for _ in range(30)}) >= count
        assert batches.capturable == (not as_batch)
