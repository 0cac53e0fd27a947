"""Simulated public archives with made-up ``.h5`` features.

:func:`simulate` has the genuine class lists, video lists and label vectors, and needs the genuine archive. The centre
of a class is a random linear image of its own, right label vector, so a class is recognised through its text only when
class and text are paired rightly. :func:`made_up` is tiny and needs nothing: real class names, made-up clip ids.
"""

from __future__ import annotations

import shutil
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
from genuine_archive import FOLDERS, ROOT, video_list
from numpy.typing import NDArray

from avbench.harness.features.archive import DIMENSIONS
from avbench.harness.features.legacy import read_label_vectors
from avbench.splits import ARCHIVE_NAMES, PARTS, load_split

NOISE = {"audio": 3.0, "video": 1.5}
"""Standard deviation of a clip around its class centre, in standard deviations of the centres: vision is stronger."""


def simulate(target: Path, dataset: str, features: str, *, noise: float = 1.0, seed: int = 0) -> Path:
    """Write ``target/<Folder>`` in the archive's layout and return ``target``. Clips have their genuine ids."""
    split = load_split(dataset, features)
    source, folder = ROOT / FOLDERS[dataset], target / FOLDERS[dataset]
    shutil.copytree(source / "class-split", folder / "class-split", dirs_exist_ok=True)
    text = Path("features") / f"{features}_features" / "text"
    shutil.copytree(source / text, folder / text)
    (file,) = (source / text).iterdir()
    vectors = read_label_vectors(file.read_bytes(), str(file))
    generator = np.random.default_rng(seed)
    for modality, width in zip(("audio", "video"), DIMENSIONS[features], strict=True):
        image = generator.standard_normal((300, width)).astype(np.float32)
        for part in PARTS:
            place = folder / "features" / f"{features}_features" / modality / ARCHIVE_NAMES[part]
            clips = defaultdict(list)
            for row in video_list(dataset, features, ARCHIVE_NAMES[part]):
                clips[split.find(row["label"])].append(row["filename"])
            for owner, ids in clips.items():
                order = generator.permutation(len(ids))
                data = generator.standard_normal((len(ids), width), dtype=np.float32)
                data = np.maximum(vectors[owner.prompt] @ image + noise * NOISE[modality] * data, 0)
                write_class(place / f"{owner.name}.h5", data[order], [ids[i] for i in order])
    return target


def made_up(target: Path, dataset: str, features: str, *, clips: int = 2, seed: int = 0) -> Path:
    """Write ``target/<Folder>`` with ``clips`` clips per class and part, random features and label vectors."""
    split = load_split(dataset, features)
    place = target / FOLDERS[dataset] / "features" / f"{features}_features"
    generator = np.random.default_rng(seed)
    for modality, width in zip(("audio", "video"), DIMENSIONS[features], strict=True):
        for part in PARTS:
            for owner in split.classes_of(part):
                ids = [f"{part}-{owner.id}-{i}" for i in generator.permutation(clips)]
                data = generator.standard_normal((clips, width), dtype=np.float32)
                write_class(place / modality / ARCHIVE_NAMES[part] / f"{owner.name}.h5", data, ids)
    vectors = generator.standard_normal((len(split.classes), 300))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    write_vectors(place, {c.prompt: vectors[c.id].astype(np.float32) for c in split.classes})
    return target


def write_class(path: Path, data: NDArray[np.floating], ids: Sequence[str]) -> None:
    """One ``.h5`` file of the archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as stream:
        stream["data"] = data
        stream["video_urls"] = np.array(ids, "S80")


def write_vectors(place: Path, vectors: object, name: str = "word_embeddings_ucf_normed.npy") -> Path:
    """The label-vector file of a feature set's folder, as ``numpy.save`` writes it."""
    path = place / "text" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.array(vectors, dtype=object), allow_pickle=True)
    return path


def zipped(folder: Path, target: Path, prefix: str = "", compression: int = zipfile.ZIP_STORED) -> Path:
    """A zip of a folder's content under ``prefix``."""
    with zipfile.ZipFile(target, "w", compression) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, prefix + path.relative_to(folder).as_posix())
    return target


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
