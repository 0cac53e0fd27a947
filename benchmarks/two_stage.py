"""A two-stage run of AVCA on UCF main against the yardstick, in turn in the same process.

    python benchmarks/two_stage.py [--epochs 10] [--batches 50] [--protocol aligned] [--repeat 1] [--threads 2] [--json]

The yardstick (benchmarks/yardstick.py) is AVCA in plain PyTorch: a DataLoader with per-sample indexing, a
validation loss pass, a repeated sweep, and a second stage of as many epochs as the first, with a snapshot of the one
that the first chose, as the reference does. avbench ends the second stage there, so its whole run gains by how early
the choice falls, which depends on the data; the time per epoch trained does not. The table has both, the time per
batch of each, how much of the yardstick's is its validation loss, and the ratio that a step of nothing but its matrix
products would have: no step reaches more. Both train on
simulated features of the genuine size (51 classes; 3,174 + 353 + 1,467 clips, 555 + 1,267 for the test) with the
hyper-parameters of UCF main, and validate after each epoch. Times are those of the fastest repetition, the test
included. Under `as-published` both make the reference code's two extra passes.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from time import perf_counter

from avbench.harness.running.spin import SHORT_SPIN

os.environ.setdefault(*SHORT_SPIN)  # as `avbench run` does

import torch
import yardstick
from simulated_track import simulated_track
from step_timing import recorded_products, simulated_training
from tabulate import tabulate

from avbench.harness.evaluation.protocol import PROTOCOLS
from avbench.harness.evaluation.two_stages import run_two_stages
from avbench.harness.features.featureset import FeatureSet
from avbench.harness.tracks import Track
from avbench.methods.avca import AVCA, AVCAOptions
from avbench.splits import PARTS

GOAL = 4
UCF = Track("ucf", "main")
SEED = 0


@dataclass(frozen=True)
class Cost:
    """What one two-stage run took."""

    seconds: float
    epochs: int
    """Trained in both stages together."""
    loss_passes: float = 0.0
    """Seconds of it in passes that only work out a validation loss."""

    @property
    def per_epoch(self) -> float:
        return self.seconds / self.epochs


@dataclass(frozen=True)
class Row:
    """One line of the table, of the fastest repetitions."""

    protocol: str
    yardstick_s: float
    yardstick_epochs: int
    avbench_s: float
    avbench_epochs: int
    ratio: float
    """Of the whole runs."""
    per_epoch: float
    """Of the times per epoch trained."""
    yardstick_ms: float
    """Per batch, validation and test included."""
    loss_pass_ms: float
    """Of it the validation loss."""
    avbench_ms: float
    products_ms: float
    """The matrix products of one step alone, as avbench runs them."""
    bound: float
    """``per_epoch``, if these were all that an epoch of avbench took."""


def avbench_run(features: FeatureSet, options: AVCAOptions, protocol: str) -> Cost:
    with deterministic():
        done = run_two_stages(lambda: AVCA(options), features, PROTOCOLS[protocol], epochs=options.epochs, seed=SEED)
    return Cost(sum(done.seconds), options.epochs + done.epochs)


def yardstick_run(data: yardstick.Data, settings: yardstick.Settings) -> Cost:
    done = yardstick.run(data, settings, SEED)
    return Cost(sum(done.seconds), 2 * settings.epochs, done.loss_passes)


@contextmanager
def deterministic() -> Iterator[None]:
    """The settings under which `avbench run` runs."""
    filled = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        torch.utils.deterministic.fill_uninitialized_memory = filled


def plain_data(features: FeatureSet, protocol: str) -> yardstick.Data:
    """The clips of each part, and the label vectors as the protocol pairs them."""
    rows = {part: features.rows[part] for part in PARTS}
    parts = {
        part: yardstick.Part(features.audio[span], features.visual[span], features.class_id[span])
        for part, span in rows.items()
    }
    permuted = PROTOCOLS[protocol].label_vectors == "permuted"
    order = torch.tensor(features.split.permuted_ids) if permuted else slice(None)
    return yardstick.Data(**parts, vectors=features.vectors[order])


def plain_settings(options: AVCAOptions, features: FeatureSet) -> yardstick.Settings:
    """The yardstick's name for each of the options."""
    return yardstick.Settings(
        audio=features.audio.shape[1],
        video=features.visual.shape[1],
        dropout_encoder=options.dropout_encoder,
        dropout_projection=options.dropout_projection,
        dropout_decoder=options.dropout_decoder,
        momentum=options.batch_norm_momentum,
        extra_passes=options.reference_batch_norm,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        batch_size=options.batch_size,
        batches=options.batches_per_epoch,
        epochs=options.epochs,
    )


def compare(features: FeatureSet, protocol: str, epochs: int, batches: int, repeat: int) -> Row:
    """Run both in turn, ``repeat`` times."""
    options = AVCAOptions.effective(UCF, protocol, {"epochs": epochs, "batches_per_epoch": batches})
    assert isinstance(options, AVCAOptions)
    data, settings = plain_data(features, protocol), plain_settings(options, features)
    runs: dict[str, Callable[[], Cost]] = {
        "avbench": lambda: avbench_run(features, options, protocol),
        "yardstick": lambda: yardstick_run(data, settings),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in runs}
    for _ in range(repeat):
        for name, run in runs.items():
            costs[name].append(run())
    plain, ours = (min(costs[name], key=lambda cost: cost.seconds) for name in ("yardstick", "avbench"))
    plain_ms, loss_ms, our_ms = (
        1e3 * seconds / (cost.epochs * batches)
        for seconds, cost in ((plain.seconds, plain), (plain.loss_passes, plain), (ours.seconds, ours))
    )
    products_ms = products_alone(options)
    return Row(
        protocol,
        *(plain.seconds, plain.epochs, ours.seconds, ours.epochs),
        ratio=plain.seconds / ours.seconds,
        per_epoch=plain.per_epoch / ours.per_epoch,
        yardstick_ms=plain_ms,
        loss_pass_ms=loss_ms,
        avbench_ms=our_ms,
        products_ms=products_ms,
        bound=plain_ms / products_ms,
    )


def products_alone(options: AVCAOptions) -> float:
    """Milliseconds of the matrix products of a step, of the fastest of some repetitions."""
    device = torch.device("cpu")
    one = AVCA(options.model_copy(update={"batches_per_epoch": 1}))
    products = recorded_products(one, simulated_training(device, unseen=0, classes=30, clips=3174))
    alone, best = products.alone(device, as_run=True), float("inf")
    for _ in range(20):
        start = perf_counter()
        alone()
        best = min(best, 1e3 * (perf_counter() - start))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=10, help="of the first stage")
    parser.add_argument("--batches", type=int, default=50, help="per epoch")
    parser.add_argument("--protocol", action="append", choices=PROTOCOLS, help="may be repeated (default: aligned)")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--threads", type=int, help="CPU threads (default: as PyTorch chooses)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    features = simulated_track(UCF)
    budget = (arguments.epochs, arguments.batches, arguments.repeat)
    rows = [asdict(compare(features, name, *budget)) for name in arguments.protocol or ["aligned"]]
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return
    print(tabulate(rows, headers="keys", floatfmt=".2f"))
    print(f"{torch.get_num_threads()} threads; yardstick over avbench; goal of the ratio: at least {GOAL}")


if __name__ == "__main__":
    main()
