"""``avbench run --stage 1``: what stage 1 of each run chooses on validation. Nothing is stored, nothing is tested."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from avbench.harness.errors import AvbenchError

if TYPE_CHECKING:
    import torch

    from avbench.harness.records.planned import PlannedRun


def tell(runs: Sequence[PlannedRun], names: Sequence[str], device: torch.device, as_json: bool) -> None:
    """Do stage 1 of each run and print a table, or JSON. The first run that fails ends it."""
    from tabulate import tabulate

    from avbench.harness.cli.progress import RunProgress
    from avbench.harness.tuning.bench import Bench

    rows = []
    bench = Bench(device)
    with RunProgress(names) as progress:
        for index, (run, name) in enumerate(zip(runs, names, strict=True)):
            try:
                chosen = bench.stage_1(run, lambda done, index=index: progress.epoch(index, done))  # type: ignore[misc]
            except AvbenchError as error:
                raise type(error)(f"{name}: {error}") from error
            best = chosen.best
            rows.append(
                {
                    "run": name,
                    "simulated": run.simulated,
                    "val_S": best.S,
                    "val_U": best.U,
                    "val_HM": best.HM,
                    "offset": chosen.offset,
                    "epochs": chosen.epochs,
                    "options": run.configuration.options,
                }
            )
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    shown = [[r["run"], *(f"{r[name]:.2f}" for name in ("val_S", "val_U", "val_HM")), r["epochs"]] for r in rows]
    heads = ["run", "S", "U", "HM", "epochs"]
    simulated = "; simulated features: says nothing about real data" if any(r["simulated"] for r in rows) else ""
    click.echo(f"validation, in percent, of the chosen epoch (not stored{simulated})\n")
    click.echo(tabulate(shown, headers=heads, tablefmt="simple", disable_numparse=True))
