"""Whether precision or library of products, or storage of features, changes metrics beyond the noise of seeds.

    python benchmarks/precision.py [--method avca ...] [--seeds 8] [--epochs 5] [--batches 20] [--device cuda]

Each setting and the default (float32, on a CPU linear maps by oneDNN) run on the demo features (simulated) of one data
set with the same seeds. Shown are the mean over seeds of the difference from the default, its 95 % interval (t
distribution), and the standard deviation over seeds of the default itself. A setting stays off by default where the
interval leaves plus or minus that deviation.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from statistics import fmean
from typing import Any
from unittest.mock import patch

import torch
from paired import Paired
from tabulate import tabulate

from avbench.harness.evaluation.metrics import Metrics
from avbench.harness.evaluation.protocol import ALIGNED
from avbench.harness.evaluation.two_stages import run_two_stages
from avbench.harness.features.featureset import FeatureSet
from avbench.harness.plugins.registry import plugins
from avbench.harness.plugins.sources import load_features
from avbench.harness.records.record import Numerics
from avbench.harness.running.numerics import products
from avbench.harness.tracks import DEMO, Track

SETTINGS = (
    Numerics(feature_dtype="float16"),
    Numerics(feature_dtype="bfloat16"),
    Numerics(precision="tf32"),
    Numerics(precision="bfloat16"),
    Numerics(precision="bfloat16", feature_dtype="bfloat16"),
)
METRICS = ("HM", "ZSL")
OTHER_LIBRARY = "products by torch's own library"


@contextmanager
def torch_products() -> Iterator[None]:
    """Products of linear maps as torch makes them, not by oneDNN: the sums are rounded in another order."""
    with patch("avbench.methods.learning.products.POINTWISE", None):
        yield


def metrics(
    slug: str, features: FeatureSet, seeds: range, numerics: Numerics, device: torch.device, budget: dict[str, int]
) -> list[Metrics]:
    """The metrics of one run per seed."""
    method = plugins().method(slug).method
    options = method.Options.effective(features.track, ALIGNED.name, budget)
    held = features.to(device, getattr(torch, numerics.feature_dtype))
    with products(numerics, device):
        return [
            run_two_stages(lambda: method(options), held, ALIGNED, epochs=budget["epochs"], seed=seed).metrics
            for seed in seeds
        ]


def compare(
    slug: str, features: FeatureSet, seeds: range, device: torch.device, budget: dict[str, int], only: str = ""
) -> Iterator[dict[str, Any]]:
    """One row per setting and metric."""
    plain = metrics(slug, features, seeds, Numerics(), device, budget)
    for setting in (Numerics(), *SETTINGS):
        changed = ", ".join(f"{k}={v}" for k, v in setting.changed.items())
        row = {"method": slug, "setting": changed or OTHER_LIBRARY}
        if only not in row["setting"]:
            continue
        if setting.precision == "tf32" and device.type != "cuda":
            yield row | {"verdict": "not measured: needs CUDA"}
            continue
        with nullcontext() if changed else torch_products():
            other = metrics(slug, features, seeds, setting, device, budget)
        for metric in METRICS:
            values, base = ([getattr(m, metric) for m in found] for found in (other, plain))
            paired = Paired.of(values, base)
            yield row | {"metric": metric, "float32": fmean(base), **asdict(paired), "verdict": paired.verdict}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", action="append")
    parser.add_argument("--dataset", default="ucf")
    parser.add_argument("--seeds", type=int, default=8, help="how many")
    parser.add_argument("--first-seed", type=int, default=0, help="fresh seeds check a finding on others")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--setting", default="", help="only settings whose name holds this text")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    budget = {"epochs": arguments.epochs, "batches_per_epoch": arguments.batches}
    track, device = Track(arguments.dataset, DEMO), torch.device(arguments.device)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    features = load_features(track)
    rows = [
        row
        for slug in arguments.method or ["avca", "sje"]
        for row in compare(slug, features, seeds, device, budget, arguments.setting)
    ]
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return
    batches = f"{arguments.epochs} x {arguments.batches} batches"
    print(f"{track} (simulated), {device}, seeds {seeds[0]} to {seeds[-1]}, {batches}")
    print(tabulate(rows, headers="keys", floatfmt=".2f"))


if __name__ == "__main__":
    main()
