"""Where commands have their runs done: on devices of this machine, or by jobs on a cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from avbench.harness.errors import UsageError

if TYPE_CHECKING:
    import torch

    from avbench.harness.cluster.settings import SlurmSettings
    from avbench.harness.isolation.choice import Isolation
    from avbench.harness.records.planned import PlannedRun
    from avbench.harness.records.record import Numerics, RunRecord
    from avbench.harness.records.results import ResultsFolder


@dataclass(frozen=True)
class Here:
    """Devices of this machine."""

    devices: tuple[torch.device, ...]
    jobs: int

    def __str__(self) -> str:
        from avbench.harness.running.environment import device_name

        counted = Counter(device_name(device) for device in self.devices)
        return ", ".join(f"{many} x {name}" if many > 1 else name for name, many in counted.items())

    @property
    def device(self) -> str:
        """As records name it."""
        from avbench.harness.running.environment import device_name

        return device_name(self.devices[0])

    @property
    def workers(self) -> int:
        """Runs at once."""
        return self.jobs * len(self.devices)

    def single(self) -> torch.device:
        """The one device, for what is done there one after the other. Raises :class:`UsageError` for several."""
        if len(self.devices) > 1:
            raise UsageError("--stage 1 is done on one device: name one with --device")
        return self.devices[0]

    def require(self, numerics: Numerics) -> None:
        """Raise :class:`UsageError` for numerics that a device does not have."""
        from avbench.harness.running.numerics import require

        for device in self.devices:
            require(numerics, device)

    def carry_out(
        self,
        planned: Sequence[PlannedRun],
        names: Sequence[str],
        folder: ResultsFolder,
        *,
        observe: Sequence[str],
        again: Sequence[bool],
        isolation: Isolation,
    ) -> list[RunRecord]:
        """The record of each run."""
        from avbench.harness.cli.progress import carry_out

        return carry_out(
            planned, names, folder, self.devices, self.jobs, observe=observe, again=again, isolation=isolation
        )


@dataclass(frozen=True)
class Slurm:
    """Jobs of SLURM. What their nodes have is known only there."""

    settings: SlurmSettings
    device_there: str
    jobs: int
    stage_store: str | None

    def __str__(self) -> str:
        return f"SLURM's partition {self.settings.partition}"

    @property
    def device(self) -> str:
        """The kind of it."""
        return "cuda" if self.settings.gpus or self.settings.gres else "cpu"

    @property
    def workers(self) -> int:
        """Runs at once, if all jobs run."""
        return self.settings.jobs * self.jobs

    def single(self) -> torch.device:
        """Raise :class:`UsageError`: there is no device here."""
        raise UsageError("--stage 1 is done here: leave out --executor slurm")

    def require(self, numerics: Numerics) -> None:
        """Raise :class:`UsageError` for numerics that no device of that kind has."""
        if numerics.precision == "tf32" and self.device == "cpu":
            raise UsageError("--precision tf32 needs a CUDA device: ask for one with --slurm gpus=1")

    def carry_out(
        self,
        planned: Sequence[PlannedRun],
        names: Sequence[str],
        folder: ResultsFolder,
        *,
        observe: Sequence[str],
        again: Sequence[bool],
        isolation: Isolation,
    ) -> list[RunRecord]:
        """The record of each run."""
        from avbench.harness.cli.progress import shown
        from avbench.harness.cluster.attached import Attached
        from avbench.harness.cluster.submission import Request

        request = Request(
            device=self.device_there,
            runs_at_once=self.jobs,
            observe=tuple(observe),
            stage_store=self.stage_store,
            isolation=isolation,
        )
        return shown(
            names,
            lambda progress: Attached(planned, folder, self.settings, request, progress.say).complete(again),
        )


OPTIONS: tuple[Callable[[Callable[..., Any]], Callable[..., Any]], ...] = (
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:0,1,2 or all."),
    click.option(
        "--jobs", default=1, show_default=True, type=click.IntRange(1, 256), help="Runs at once, on each device."
    ),
    click.option(
        "--executor", default="local", show_default=True, type=click.Choice(("local", "slurm")), help="Who runs."
    ),
    click.option(
        "--slurm",
        "slurm",
        multiple=True,
        metavar="KEY=VALUE,...",
        help="What jobs ask for: partition=P,time=4:00:00,cpus=8,gpus=1,mem=16G,setup=... (guide: On a cluster).",
    ),
    click.option("--stage-store", metavar="FOLDER", help="Jobs copy features to this folder of their node first."),
)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options that :func:`choose` takes."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def choose(executor: str, device: str, jobs: int, slurm: Sequence[str], stage_store: str | None) -> Here | Slurm:
    """By the options of the command. Raises :class:`UsageError` for a device, a key or a value that there is not."""
    if executor == "slurm":
        from avbench.harness.cluster.settings import read_settings

        return Slurm(read_settings(slurm), device, jobs, stage_store)
    if slurm or stage_store:
        raise UsageError(f"{'--slurm' if slurm else '--stage-store'} is for jobs: add --executor slurm")
    from avbench.harness.running.jobs import choose_devices

    return Here(choose_devices(device), jobs)
