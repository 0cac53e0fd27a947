"""A simulated public archive: genuine class lists, video lists and label vectors, with made-up ``.h5`` features.

The centre of a class is a random linear image of its own, right label vector, so a class is recognised through its text
only when class and text are paired rightly.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from pathlib import Path

import h5py
import numpy as np
from genuine_archive import FOLDERS, ROOT, video_list

from avbench.harness.features.archive import DIMENSIONS
from avbench.harness.features.legacy import read_label_vectors
from avbench.splits import ARCHIVE_NAMES, PARTS, load_split

NOISE = {"audio": 3.0, "video": 1.5}
"""Standard deviation of a clip around its class centre, in standard deviations of the centres: vision is stronger."""


def simulate(
    target: Path, dataset: str, features: str, *, share: float = 1.0, noise: float = 1.0, seed: int = 0
) -> Path:
    """Write ``target/<Folder>`` in the archive's layout and return ``target``. Clips have their genuine ids.

    ``share`` < 1 keeps that share of each class's clips (at least 2), which the digests then notice.
    """
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
            place.mkdir(parents=True)
            clips = defaultdict(list)
            for row in video_list(dataset, features, ARCHIVE_NAMES[part]):
                clips[split.find(row["label"])].append(row["filename"])
            for owner, ids in clips.items():
                kept = ids[: max(2, round(share * len(ids)))]
                order = generator.permutation(len(kept))
                data = generator.standard_normal((len(kept), width), dtype=np.float32)
                data = np.maximum(vectors[owner.prompt] @ image + noise * NOISE[modality] * data, 0)
                with h5py.File(place / f"{owner.name}.h5", "w") as stream:
                    stream["data"] = data[order]
                    stream["video_urls"] = np.array([kept[i] for i in order], "S80")
    return target
