"""Import of the temporal archive at genuine size: seconds, and memory beside the size of the set.

Steps are simulated; ids, class lists and label vectors are the genuine ones, from the archive's lists (``--archive``),
so every digest is verified. VGGSound's training lists are not public: it is imported with ``--scale`` of its clips
under made-up ids and ``allow_missing``.

    python benchmarks/temporal_import.py --archive ../shared/archive
"""

from __future__ import annotations

import argparse
import csv
import json
import pickle
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from avbench.harness.features.archive import DIMENSIONS, find_sets
from avbench.harness.features.archive_files import opened
from avbench.harness.features.archive_over_time import read_set_over_time
from avbench.harness.features.store import Store
from avbench.splits import ARCHIVE_NAMES, PARTS, load_split

FOLDERS = {"ucf": "UCF", "vggsound": "VGGSound"}
STEPS = {"ucf": (2, 20), "vggsound": (15, 15)}
"""Visual steps of the shortest and of the longest clip; audio has two thirds of them."""
UNKNOWN_CLIPS = 510
"""Clips of a training class of VGGSound, of which no public list tells the number: 70,351 clips in 138 classes."""


def simulate(target: Path, dataset: str, archive: Path, scale: float, part_of: float) -> int:
    """Write a temporal archive; returns its clips. ``part_of``: share of the classes' clips, for a smaller set."""
    split, generator = load_split(dataset, "cls"), np.random.default_rng(0)
    folder = target / FOLDERS[dataset]
    place = folder / "features" / "cls_features_non_averaged"
    shutil.copytree(archive / FOLDERS[dataset] / "features" / "cls_features" / "text", place / "text")
    shutil.copytree(archive / FOLDERS[dataset] / "class-split", folder / "class-split")
    noise = np.maximum(generator.standard_normal((4096, 4096), dtype=np.float32), 0)
    total = 0
    for part in PARTS:
        listed = archive / FOLDERS[dataset] / "class-split" / "cls_split" / f"{ARCHIVE_NAMES[part]}.csv"
        clips: dict[Any, list[str]] = defaultdict(list)
        if scale == 1 and listed.is_file():
            members = set(split.classes_of(part))
            with listed.open(encoding="utf-8", newline="") as stream:
                for row in csv.DictReader(stream):
                    owner = split.find(row["label"])
                    if owner in members:
                        clips[owner].append(row["filename"])
        else:
            for owner in split.classes_of(part):
                count = max(1, round(scale * (owner.videos[part] or UNKNOWN_CLIPS)))
                clips[owner] = [f"{part}-{owner.id}-{i}" for i in range(count)]
        for owner, ids in clips.items():
            ids = ids[: max(1, round(part_of * len(ids)))]
            total += len(ids)
            low, high = STEPS[dataset]
            lengths = generator.integers(low, high + 1, len(ids))
            for modality, width, share in (("audio", 128, 2 / 3), ("video", 4096, 1)):
                features = []
                for length in lengths:
                    steps = max(1, round(share * int(length)))
                    start = int(generator.integers(0, 4096 - steps))
                    values = noise[start : start + steps, :width]
                    features.append((values * 50).astype(np.uint8) if modality == "audio" else values)
                path = place / modality / ARCHIVE_NAMES[part] / f"{owner.name}.pkl"
                path.parent.mkdir(parents=True, exist_ok=True)
                names = [np.bytes_(video) for video in ids]
                content = {"features": features, "video_names": names, "fps": [25] * len(ids)}
                path.write_bytes(pickle.dumps(content, protocol=4))
    return total


def measure(root: Path, store: Path, allow_missing: bool) -> None:
    """Import and print what it took, as JSON."""
    start = time.perf_counter()
    with opened(root) as place:
        (found,) = find_sets(place)
        manifest = Store(store).save(read_set_over_time(found, allow_missing=allow_missing))
    assert manifest.time is not None
    gigabytes = 4 * (manifest.time.audio.total * DIMENSIONS["cls"][0] + manifest.time.visual.total * 4096) / 1e9
    found_facts = {
        "clips": sum(manifest.counts.values()),
        "gigabytes": round(gigabytes, 2),
        "seconds": round(time.perf_counter() - start, 1),
        "peak_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "warnings": len(manifest.warnings),
    }
    print(json.dumps(found_facts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, help="The genuine class lists, video lists and label vectors.")
    parser.add_argument("--scale", type=float, default=0.1, help="Share of VGGSound's clips.")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        root, store, allow = arguments.measure
        measure(Path(root), Path(store), allow == "1")
        return
    if arguments.archive is None:
        parser.error("--archive is needed")
    for dataset, scale, parts in (
        ("ucf", 1.0, 1.0),
        ("vggsound", arguments.scale, 0.5),
        ("vggsound", arguments.scale, 1.0),
    ):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder, "archive")
            simulate(root, dataset, arguments.archive, scale, parts)
            command = [
                sys.executable,
                __file__,
                "--measure",
                str(root),
                str(Path(folder, "store")),
                str(int(scale < 1)),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            print(
                f"{dataset}, {scale * parts:.0%} of its clips:", done.stdout.strip() or done.stderr[-2000:], flush=True
            )


if __name__ == "__main__":
    main()
