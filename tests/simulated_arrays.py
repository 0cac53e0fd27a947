"""Plain arrays as a user's own encoder gives them, with their table of clips: the input of ``avbench data add``."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avbench.splits import PARTS, load_split

AUDIO, VISUAL, TEXT = 16, 24, 12


@dataclass(frozen=True)
class ArrayFiles:
    """The five files."""

    folder: Path

    @property
    def audio(self) -> Path:
        return self.folder / "audio.npy"

    @property
    def visual(self) -> Path:
        return self.folder / "visual.npy"

    @property
    def clips(self) -> Path:
        return self.folder / "clips.csv"

    @property
    def text(self) -> Path:
        return self.folder / "text.npy"

    @property
    def text_names(self) -> Path:
        return self.folder / "names.txt"

    def arguments(self) -> list[str]:
        """As the command takes them."""
        names = ("audio", "visual", "clips", "text", "text_names")
        return [x for name in names for x in (f"--{name.replace('_', '-')}", str(getattr(self, name)))]


def array_files(
    folder: Path, rows: Iterable[tuple[str, str, str]] | None = None, dataset: str = "ucf", seed: int = 0
) -> ArrayFiles:
    """Files for these rows of (id, class, part), by default 3 made-up clips per class and part in no order.

    A clip is a linear image of its class's label vector plus noise.
    """
    files, split, generator = ArrayFiles(folder), load_split(dataset, "main"), np.random.default_rng(seed)
    table = list(rows or ())
    if not table:
        table = [(f"{p}-{c.id}-{i}", c.name, p) for p in PARTS for c in split.classes_of(p) for i in range(3)]
        table = [table[i] for i in generator.permutation(len(table))]
    vectors = generator.standard_normal((len(split.classes), TEXT))
    folder.mkdir(parents=True, exist_ok=True)
    np.save(files.text, vectors)
    files.text_names.write_text("".join(f"{c.name}\n" for c in split.classes), "utf-8")
    centres = vectors[[split.find(name).id for _, name, _ in table]]
    for path, width in ((files.audio, AUDIO), (files.visual, VISUAL)):
        features = centres @ generator.standard_normal((TEXT, width)) + generator.standard_normal((len(table), width))
        np.save(path, features.astype(np.float32))
    with files.clips.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("id", "class", "part"), *table])
    return files
