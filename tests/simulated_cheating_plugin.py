"""The ten methods that cheat, and some more, as a package brings them: for a worker to load."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import replace
from pathlib import Path

import simulated_cheats as cheats
import torch
from pydantic import Field
from simulated_features import Ridge, RidgeOptions
from torch import Tensor

from avbench.harness.contract.data import Classes, Clips, TrainingSet
from avbench.harness.contract.method import Method, Progress
from avbench.harness.evaluation import stages
from avbench.harness.evaluation.evidence import Evidence, reduce_scores
from avbench.harness.features.featureset import FeatureSet
from avbench.harness.plugins.sources import load_features
from avbench.harness.tracks import Track
from avbench.splits import load_split


class Options(RidgeOptions):
    path: str = Field("", description="Where a cheat looks.")


class Cheat(Ridge):
    """Base: its options say where to look."""

    Options = Options
    options: Options


def named(kind: type[Ridge], slug: str) -> type[Method]:
    return type(slug, (kind,), {"info": replace(Ridge.info, slug=slug), "Options": Options, "__module__": __name__})


class Positions(cheats.Positions):
    split, clips_per_class, shuffled = load_split("ucf", "main"), 3, False


class Storage(cheats.Storage):
    def predict(self, clips: Clips, classes: Classes) -> Tensor:
        if any(self.behind):
            raise RuntimeError("there is more behind the training clips")
        return super().predict(clips, classes)


KEPT: list[Clips] = []


class Keeper(Cheat):
    """Keeps the clips of the test for the next seed."""

    def fit(self, train: TrainingSet, progress: Progress) -> None:
        if len(KEPT) > 3:  # validation of the first stage, and of this one
            raise RuntimeError("has clips of the run before")
        super().fit(train, progress)

    def predict(self, clips: Clips, classes: Classes) -> Tensor:
        KEPT.append(clips)
        return super().predict(clips, classes)


class Demo(cheats.ByLabel):
    """Loads the features of the demo by the function that anyone may call."""

    def search(self, train: TrainingSet, progress: Progress) -> FeatureSet | None:
        return load_features(Track("ucf", "demo"))


class Stored(cheats.ByLabel):
    """The same of features in the store."""

    def search(self, train: TrainingSet, progress: Progress) -> FeatureSet | None:
        return load_features(Track("ucf", "main"))


class Patches(Cheat):
    """Replaces the function that reduces scores."""

    def fit(self, train: TrainingSet, progress: Progress) -> None:
        def patched(scores: Tensor, ids: list[int], seen: list[bool], labels: list[int]) -> Evidence:
            right = torch.tensor(ids) == torch.tensor(labels)[:, None]
            return reduce_scores(right.float(), ids, seen, labels)

        stages.reduce_scores = patched  # type: ignore[assignment]
        super().fit(train, progress)


class Reads(cheats.ByLabel):
    """Reads clips and labels from a file."""

    options: Options
    names: list[str] | None = None

    def search(self, train: TrainingSet, progress: Progress) -> FeatureSet | None:
        content = json.loads(Path(self.options.path).read_text())
        self.visual, self.names = torch.tensor(content["visual"]), content["names"]
        return None

    def predict(self, clips: Clips, classes: Classes) -> Tensor:
        if self.names is None:
            return super().predict(clips, classes)
        near = torch.cdist(clips.visual, self.visual).argmin(1)
        return cheats.one_hot([self.names[int(i)] for i in near], classes)


class Leaves(Cheat):
    """Leaves the clips of the test on the disk, for a later run."""

    def predict(self, clips: Clips, classes: Classes) -> Tensor:
        Path(self.options.path).write_text(json.dumps(clips.visual.tolist()))
        return super().predict(clips, classes)


class Calls(Cheat):
    """Asks the network."""

    def fit(self, train: TrainingSet, progress: Progress) -> None:
        socket.create_connection(("127.0.0.1", int(self.options.path)), timeout=5).close()
        super().fit(train, progress)


class Spies(Cheat):
    """Looks for the judge among the processes."""

    def fit(self, train: TrainingSet, progress: Progress) -> None:
        os.kill(int(self.options.path), 0)
        super().fit(train, progress)


class Surroundings(Cheat):
    """Fails with all that is around it."""

    def fit(self, train: TrainingSet, progress: Progress) -> None:
        files = sorted(os.listdir("/proc/self/fd"))
        raise RuntimeError(
            json.dumps(
                {
                    "environment": sorted(os.environ),
                    "home": os.listdir(os.environ["HOME"]),
                    "files": len(files),
                    "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
                    "root": sorted(os.listdir("/")),
                    "here": os.getcwd(),
                    "interfaces": [name for _, name in socket.if_nameindex()],
                }
            )
        )


def avbench_methods() -> list[type[Method]]:
    found: dict[str, type[Ridge]] = {
        "positions": Positions,
        "progress": cheats.ProgressObject,
        "tracebacks": cheats.Tracebacks,
        "storage": Storage,
        "keeper": Keeper,
        "oracle": cheats.Oracle,
        "demo": Demo,
        "stored": Stored,
        "collector": cheats.Collector,
        "frames": cheats.Frames,
        "patches": Patches,
        "reads": Reads,
        "leaves": Leaves,
        "calls": Calls,
        "spies": Spies,
        "surroundings": Surroundings,
        "honest": Cheat,
    }
    return [named(kind, slug) for slug, kind in found.items()]
