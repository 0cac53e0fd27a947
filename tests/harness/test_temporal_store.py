"""Features over time in the store, from plain arrays: what comes out is what went in, and what is broken is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from simulated_temporal import AUDIO, TEXT, VISUAL, TemporalFiles, temporal_files

from avbench.harness.cli import cli
from avbench.harness.errors import AvbenchError, DataError, UsageError
from avbench.harness.features.arrays import TextFile, read_texts
from avbench.harness.features.arrays_over_time import SequenceFiles, read_arrays_over_time
from avbench.harness.features.store import Store
from avbench.harness.features.temporal_draft import TemporalDraft, view_of
from avbench.harness.tracks import Track
from avbench.splits import load_split

TRACK = Track("ucf", "mine")


def draft(files: TemporalFiles, dtype: str = "float32", **given: object) -> TemporalDraft:
    arguments = {
        "audio": SequenceFiles(files.path("audio.npy"), files.path("audio-offsets.npy"), 0.96),
        "visual": SequenceFiles(files.path("visual.npy"), files.path("visual-offsets.npy"), 0.64),
        "clips": files.path("clips.csv"),
        "text": files.path("text.npz"),
        "dtype": dtype,
        "allow_missing": True,
    }
    return read_arrays_over_time("mine", "ucf", "main", **{**arguments, **given})  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def files(tmp_path: Path) -> TemporalFiles:
    return temporal_files(tmp_path / "arrays")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_every_clip_comes_out_as_it_went_in(store: Store, files: TemporalFiles, dtype: str) -> None:
    manifest = store.save(draft(files, dtype))
    features = store.load(TRACK)
    assert (manifest.audio_dim, manifest.visual_dim, manifest.text_dim) == (AUDIO, VISUAL, TEXT)
    assert manifest.time is not None
    lengths = [len(clip) for clip in files.audio]
    assert (manifest.time.audio.shortest, manifest.time.audio.longest) == (min(lengths), max(lengths))
    assert (manifest.time.audio.total, manifest.time.audio.seconds) == (sum(lengths), 0.96)
    by_id = {row[0]: place for place, row in enumerate(files.rows)}
    packed = features.packed()
    order = [by_id[video] for video in ids_of(store)]
    batch = packed.take(torch.arange(len(packed)))
    assert batch.time is not None
    for row, place in enumerate(order):
        for values, lengths_, clips in (
            (batch.audio, batch.time.audio_lengths, files.audio),
            (batch.visual, batch.time.visual_lengths, files.visual),
        ):
            clip = torch.from_numpy(clips[place].astype(dtype).astype(np.float32))
            assert int(lengths_[row]) == len(clip)
            assert torch.equal(values[row, : len(clip)], clip)
            assert not values[row, len(clip) :].any()
    assert store.verify(TRACK) == ()


def ids_of(store: Store) -> list[str]:
    _, ids = store._open(TRACK)
    return [name.decode() for name in ids.numpy().view(f"S{ids.shape[1]}").ravel().tolist()]


def test_the_averaged_view_is_the_mean_of_the_stored_steps(store: Store, files: TemporalFiles) -> None:
    store.save(draft(files, "float16"))
    features, view = store.load(TRACK), store.load(view_of(TRACK))
    assert view.offsets is None
    assert view.manifest.time is None
    assert features.offsets is not None
    for name, offsets in (("audio", features.offsets.audio), ("visual", features.offsets.visual)):
        values = getattr(features, name).double()
        means = [values[a:b].mean(0) for a, b in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)]
        assert torch.allclose(getattr(view, name).double(), torch.stack(means), atol=1e-7)
    assert torch.equal(features.class_id, view.class_id)
    assert store.verify(view_of(TRACK)) == ()


def test_lengths_and_steps_and_dtype_are_part_of_the_content_hash(store: Store, files: TemporalFiles) -> None:
    hashes = [store.save(draft(files)).content_hash]
    again = store.save(draft(files), replace=True).content_hash
    assert again == hashes[0]
    hashes.append(store.save(draft(files, "float16"), replace=True).content_hash)
    slower = SequenceFiles(files.path("audio.npy"), files.path("audio-offsets.npy"), 1.0)
    hashes.append(store.save(draft(files, audio=slower), replace=True).content_hash)
    offsets = np.load(files.path("audio-offsets.npy"))
    longer = next(i for i in range(1, len(offsets) - 1) if offsets[i + 1] - offsets[i] > 1)
    offsets[longer] += 1
    np.save(files.path("moved.npy"), offsets)
    moved = SequenceFiles(files.path("audio.npy"), files.path("moved.npy"), 0.96)
    hashes.append(store.save(draft(files, audio=moved), replace=True).content_hash)
    assert len(set(hashes)) == len(hashes)


def test_a_changed_byte_is_found(store: Store, files: TemporalFiles) -> None:
    store.save(draft(files))
    path = store._data(TRACK, store.manifest(TRACK))
    content = bytearray(path.read_bytes())
    content[-len(content) // 3] ^= 1
    path.write_bytes(content)
    assert any("content hash" in problem for problem in store.verify(TRACK))


def test_an_older_installation_is_told_to_upgrade(store: Store, files: TemporalFiles) -> None:
    store.save(draft(files))
    told = [json.loads(store._path(track).read_text())["version"] for track in (TRACK, view_of(TRACK))]
    assert told == [2, 1]


def test_writing_to_loaded_steps_leaves_the_file_alone(store: Store, files: TemporalFiles) -> None:
    store.save(draft(files))
    store.load(TRACK).audio.zero_()
    assert store.verify(TRACK) == ()


BROKEN: dict[str, tuple[Callable[[TemporalFiles], None], str]] = {
    "no step": (lambda f: edit(f, "audio-offsets", lambda o: np.put(o, 1, 0)), "1 clips have no step, first clip 0"),
    "not ascending": (lambda f: edit(f, "audio-offsets", lambda o: np.put(o, 1, o[2] + 1)), "do not ascend"),
    "another end": (lambda f: edit(f, "audio-offsets", lambda o: np.put(o, -1, o[-1] + 1)), "the values from 0 to"),
    "too few": (lambda f: replaced(f, "audio-offsets", lambda o: o[:-1]), "246 clips need 247"),
    "floats": (lambda f: replaced(f, "audio-offsets", lambda o: o / 2), "expected a row of integers"),
    "NaN": (lambda f: edit(f, "visual", lambda v: np.put(v, 7, np.nan)), "NaN or infinity at step 0"),
    "one row": (lambda f: replaced(f, "visual", lambda v: v[0]), "expected floats or bytes (steps, width)"),
    "pickled": (
        lambda f: np.save(f.path("audio.npy"), np.array([{}], dtype=object), allow_pickle=True),
        "not a plain NumPy .npy file",
    ),
}


def edit(files: TemporalFiles, name: str, change: Callable[[np.ndarray], None]) -> None:
    array = np.load(files.path(f"{name}.npy"))
    change(array)
    np.save(files.path(f"{name}.npy"), array)


def replaced(files: TemporalFiles, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    np.save(files.path(f"{name}.npy"), change(np.load(files.path(f"{name}.npy"))))


@pytest.mark.parametrize("case", BROKEN)
def test_broken_arrays_are_refused_and_leave_nothing(store: Store, files: TemporalFiles, case: str) -> None:
    break_, message = BROKEN[case]
    break_(files)
    with pytest.raises(DataError) as caught:
        store.save(draft(files))
    assert message in str(caught.value)
    assert not list(store.root.rglob("*.*"))


def test_float16_that_does_not_hold_the_values_is_refused(store: Store, files: TemporalFiles) -> None:
    edit(files, "visual", lambda v: np.put(v, 3, 70_000))
    with pytest.raises(DataError, match="infinity as float16 at step 0"):
        store.save(draft(files, "float16"))


def test_missing_step_or_offsets_are_asked_for(files: TemporalFiles) -> None:
    with pytest.raises(UsageError, match="--audio-step"):
        draft(files, audio=SequenceFiles(files.path("audio.npy"), files.path("audio-offsets.npy")))
    with pytest.raises(UsageError, match="--audio-offsets"):
        draft(files, audio=SequenceFiles(files.path("audio.npy"), None, 0.96))


def test_a_zip_bomb_of_arrays_is_refused(files: TemporalFiles) -> None:
    np.savez_compressed(files.path("audio.npz"), values=np.zeros((10**6, 2), np.float32), offsets=np.arange(247))
    with pytest.raises(DataError, match="refused"):
        draft(files, audio=SequenceFiles(files.path("audio.npz"), None, 0.96))


@pytest.mark.parametrize("npz", [False, True])
def test_the_command(tmp_path: Path, files: TemporalFiles, npz: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVBENCH_HOME", str(tmp_path / "home"))
    arguments = ["data", "add", "mine", "--dataset", "ucf", "--allow-missing", *files.arguments(npz)]
    result = CliRunner().invoke(cli, [*arguments, "--dtype", "float16"])
    assert result.exit_code == 0, result.output
    assert "ucf/mine.mean" in result.output
    assert "1-5 / 1-5 float16" in result.output
    assert Store().verify(TRACK) == ()
    again = CliRunner().invoke(cli, arguments)
    assert "installed already" in str(again.exception or again.output)


def test_reserved_names(files: TemporalFiles) -> None:
    for name in ("cls-temporal", "demo-temporal", "any.mean"):
        with pytest.raises(AvbenchError, match="reserved"):
            read_arrays_over_time(
                name,
                "ucf",
                "main",
                audio=SequenceFiles(files.path("audio.npz")),
                visual=SequenceFiles(files.path("visual.npz")),
                clips=files.path("clips.csv"),
                text=files.path("text.npz"),
            )


def test_named_text_vectors(tmp_path: Path, store: Store, files: TemporalFiles) -> None:
    split, generator = load_split("ucf", "main"), np.random.default_rng(3)
    given = {name: generator.standard_normal((len(split.classes), width)) for name, width in (("clip", 5), ("clap", 7))}
    classes = np.array([c.name for c in split.classes])
    for name, array in given.items():
        np.savez(tmp_path / f"{name}.npz", names=classes, vectors=array)
    texts = [TextFile("clip", tmp_path / "clip.npz"), TextFile("clap", tmp_path / "clap.npz", unit=False)]
    label, named, _ = read_texts(texts, None, split)
    assert np.allclose(np.linalg.norm(named["clip"].vectors, axis=1), 1)
    assert np.allclose(named["clap"].vectors, given["clap"])
    assert np.allclose(np.linalg.norm(label, axis=1), 1)
    store.save(draft(files, text=texts))
    features = store.load(TRACK)
    assert {name: facts.unit for name, facts in features.manifest.texts.items()} == {"clip": True, "clap": False}
    assert torch.equal(features.texts["clap"], torch.from_numpy(named["clap"].vectors))
    assert store.load(view_of(TRACK)).texts.keys() == {"clip", "clap"}
    assert store.verify(TRACK) == store.verify(view_of(TRACK)) == ()
    for wrong in ([*texts, texts[0]], [TextFile("No Name", tmp_path / "clip.npz")]):
        with pytest.raises(UsageError):
            read_texts(wrong, None, split)
