"""Made-up features over time: plain arrays as ``avbench data add`` takes them, and class files of the archive."""

from __future__ import annotations

import csv
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from genuine_archive import FOLDERS
from numpy.typing import NDArray
from simulated_archive import write_vectors

from avbench.harness.features.archive import DIMENSIONS
from avbench.splits import ARCHIVE_NAMES, PARTS, load_split

AUDIO, VISUAL, TEXT = 6, 10, 8


@dataclass(frozen=True)
class TemporalFiles:
    """The files, and what is in them: a list of arrays (T, D) of each modality, in the order of the table of clips."""

    folder: Path
    rows: list[tuple[str, str, str]]
    audio: list[NDArray[np.float32]]
    visual: list[NDArray[np.float32]]

    def path(self, name: str) -> Path:
        return self.folder / name

    def arguments(self, npz: bool = False) -> list[str]:
        """As the command takes them."""
        found = ["--clips", str(self.path("clips.csv")), "--text", str(self.path("text.npz"))]
        for name, step in (("audio", "0.96"), ("visual", "0.64")):
            if npz:
                found += [f"--{name}", str(self.path(f"{name}.npz"))]
            else:
                found += [f"--{name}", str(self.path(f"{name}.npy"))]
                found += [f"--{name}-offsets", str(self.path(f"{name}-offsets.npy")), f"--{name}-step", step]
        return found


def temporal_files(folder: Path, dataset: str = "ucf", clips: int = 2, seed: int = 0) -> TemporalFiles:
    """``clips`` clips of 1 to 5 steps per class and part of the main split, in no order."""
    split, generator = load_split(dataset, "main"), np.random.default_rng(seed)
    rows = [(f"{p}-{c.id}-{i}", c.name, p) for p in PARTS for c in split.classes_of(p) for i in range(clips)]
    rows = [rows[i] for i in generator.permutation(len(rows))]
    folder.mkdir(parents=True, exist_ok=True)
    names = np.array([c.name for c in split.classes])
    np.savez(folder / "text.npz", names=names, vectors=generator.standard_normal((len(split.classes), TEXT)))
    found: dict[str, list[NDArray[np.float32]]] = {}
    for name, width, step in (("audio", AUDIO, 0.96), ("visual", VISUAL, 0.64)):
        lengths = generator.integers(1, 6, len(rows))
        found[name] = [generator.standard_normal((t, width), dtype=np.float32) for t in lengths]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        np.save(folder / f"{name}.npy", np.concatenate(found[name]))
        np.save(folder / f"{name}-offsets.npy", offsets)
        np.savez(folder / f"{name}.npz", values=np.concatenate(found[name]), offsets=offsets, seconds=step)
    with (folder / "clips.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("id", "class", "part"), *rows])
    return TemporalFiles(folder, rows, found["audio"], found["visual"])


def write_class_file(
    path: Path, features: Sequence[NDArray[Any]], names: Any, *, protocol: int = 4, **more: Any
) -> None:
    """One class file of the temporal archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"features": list(features), "video_names": names, "fps": [25] * len(features), **more}
    path.write_bytes(pickle.dumps(content, protocol=protocol))


def made_up_over_time(
    target: Path, dataset: str, partition: str, *, clips: int = 2, folder: str = "non_averaged", seed: int = 0
) -> Path:
    """Write ``target/<Folder>`` with ``clips`` clips per class and part, of 1 to 4 steps, in all forms of names."""
    split = load_split(dataset, partition)
    place = target / FOLDERS[dataset] / "features" / f"{partition}_features_{folder}"
    generator = np.random.default_rng(seed)
    for modality, width in zip(("audio", "video"), DIMENSIONS[partition], strict=True):
        for part in PARTS:
            for owner in split.classes_of(part):
                ids = [f"{part}-{owner.id}-{i}".encode() for i in generator.permutation(clips)]
                forms: tuple[Any, ...] = (ids, [np.bytes_(i) for i in ids], np.array(ids))
                features = [clip_of(generator, width, partition == "cls" and modality == "audio") for _ in ids]
                path = place / modality / ARCHIVE_NAMES[part] / f"{owner.name}.pkl"
                write_class_file(path, features, forms[owner.id % 3], protocol=3 + owner.id % 3)
    vectors = generator.standard_normal((len(split.classes), 300))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    write_vectors(place, {c.prompt: vectors[c.id].astype(np.float32) for c in split.classes})
    return target


def clip_of(generator: np.random.Generator, width: int, codes: bool, most: int = 4) -> NDArray[Any]:
    """Features (T, width) of one clip: 8-bit codes, or rectified floats."""
    steps = int(generator.integers(1, most + 1))
    if codes:
        return generator.integers(0, 256, (steps, width), dtype=np.uint8)
    return np.maximum(generator.standard_normal((steps, width), dtype=np.float32), 0)
