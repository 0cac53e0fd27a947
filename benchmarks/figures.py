"""Measured figures: what they are, on which machine, as tables, in a file, and beside those of an earlier file."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from tabulate import tabulate

from avbench.harness.running.environment import device_name


class Machine(BaseModel):
    """What decides how fast something can be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str
    processor: str
    cores: int
    memory_gb: int
    """Physical memory in 2^30 bytes."""
    threads: int
    system: str
    python: str
    torch: str

    @classmethod
    def here(cls, device: torch.device) -> Machine:
        return cls(
            device=device_name(device),
            processor=device_name(torch.device("cpu")),
            cores=os.cpu_count() or 1,
            memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
            threads=torch.get_num_threads(),
            system=f"{platform.system()} {platform.machine()}",
            python=platform.python_version(),
            torch=str(torch.__version__),
        )

    def __str__(self) -> str:
        return "; ".join(f"{name}: {value}" for name, value in self.model_dump().items())


class Figure(BaseModel):
    """One number of one line of a table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str
    """Says what was measured, and with which budget."""
    case: str
    """The line: a method, or a method at one size."""
    quantity: str
    """The column, with its unit."""
    value: float
    better: Literal["lower", "higher"] | None = None
    """None: tells about the case, and is not compared."""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.table, self.case, self.quantity


class Report(BaseModel):
    """The figures of one call of the benchmark."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    machine: Machine
    figures: tuple[Figure, ...]

    @classmethod
    def load(cls, path: Path) -> Report:
        return cls.model_validate_json(path.read_bytes())

    def save(self, path: Path) -> None:
        path.write_text(self.model_dump_json(indent=1) + "\n", "utf-8")


class Change(BaseModel):
    """A figure beside its earlier value."""

    model_config = ConfigDict(frozen=True)

    figure: Figure
    before: float

    @property
    def cost(self) -> float:
        """New cost over old cost: above 1 is worse, whatever the quantity is."""
        new, old = self.figure.value, self.before
        return new / old if self.figure.better == "lower" else old / new


def as_tables(figures: Iterable[Figure], form: str = "simple") -> str:
    """One text table per table, in the order of the figures. ``form``: of tabulate; ``github`` is Markdown."""
    tables: dict[str, dict[str, dict[str, float]]] = {}
    for f in figures:
        tables.setdefault(f.table, {}).setdefault(f.case, {})[f.quantity] = f.value
    texts = []
    for title, lines in tables.items():
        columns = list(dict.fromkeys(quantity for line in lines.values() for quantity in line))
        rows = [[case, *(line.get(column) for column in columns)] for case, line in lines.items()]
        texts.append(f"{title}\n\n{tabulate(rows, headers=['', *columns], floatfmt='.4g', tablefmt=form)}")
    return "\n\n".join(texts)


def changes(new: Report, old: Report) -> list[Change]:
    """The figures that both reports have and that can be better or worse."""
    before = {f.key: f.value for f in old.figures}
    return [Change(figure=f, before=before[f.key]) for f in new.figures if f.better and f.key in before]


def comparison(new: Report, old: Report) -> str:
    """New beside old, the ratio of the costs, and what must be known to judge it."""
    rows = [[*c.figure.key, c.before, c.figure.value, c.cost] for c in changes(new, old)]
    lines = [tabulate(rows, headers=["table", "case", "quantity", "old", "new", "new/old cost"], floatfmt=".4g")]
    if new.machine != old.machine:
        lines.append(f"warning: the machines differ\n  old: {old.machine}\n  new: {new.machine}")
    known = {f.key for f in old.figures}
    missing = sum(1 for f in new.figures if f.better and f.key not in known)
    if missing:
        lines.append(f"{missing} new figures have no counterpart in the old file")
    return "\n".join(lines)
