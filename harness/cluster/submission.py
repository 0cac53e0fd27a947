"""What is kept of a submission, in ``<results>/.jobs/<name>/``: the plan that its jobs share, their ids, their logs."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from avbench.harness.atomic import write_bytes
from avbench.harness.errors import RecordError
from avbench.harness.isolation.choice import NONE, Isolation
from avbench.harness.records.planned import PlannedRun
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.untrusted import read_limited

PLACE = ".jobs"
MAX_PLAN_BYTES = 256 * 2**20
Model = TypeVar("Model", bound=BaseModel)
_RUNS = TypeAdapter(list[PlannedRun])


class Request(BaseModel):
    """How the jobs of a submission are to work."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    device: str = "auto"
    runs_at_once: int = 1
    """On each device."""
    observe: tuple[str, ...] = ()
    isolation: Isolation = NONE
    stage_store: str | None = None
    """Folder on a node's own disk for a copy of the features; may name variables of the node."""


class Shared(BaseModel):
    """The plan that jobs share, written before they are submitted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    request: Request
    runs: list[dict[str, object]]
    """Planned runs, as JSON."""
    before: list[str | None]
    """Hash of the record that was there of each run, which does not count as done."""
    packs: list[list[int]]
    """The runs that each job begins with."""


class Submitted(BaseModel):
    """What SLURM made of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    started: str
    """UTC, ISO 8601."""
    jobs: list[str]
    """Ids, one for each pack."""
    cancelled: bool = False


@dataclass(frozen=True)
class Submission:
    """One submission on a results folder."""

    folder: Path

    @classmethod
    def new(cls, results: ResultsFolder) -> Submission:
        """With a name of its own; nothing is written yet."""
        now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        return cls(results.root / PLACE / f"{now}-{secrets.token_hex(2)}")

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def results(self) -> ResultsFolder:
        return ResultsFolder(self.folder.parent.parent)

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @cached_property
    def shared(self) -> Shared:
        """Raises :class:`RecordError` for a file that is missing or of another form."""
        return _read(self.folder / "plan.json", Shared)

    @property
    def submitted(self) -> Submitted:
        """Raises :class:`RecordError` as :attr:`shared` does."""
        return _read(self.folder / "submitted.json", Submitted)

    @cached_property
    def runs(self) -> list[PlannedRun]:
        """Raises :class:`RecordError` as :attr:`shared` does."""
        try:
            return _RUNS.validate_python(self.shared.runs)
        except ValidationError as error:
            raise RecordError(f"{self.folder / 'plan.json'}: {error.errors()[0]['msg']}") from None

    def write(
        self, runs: Sequence[PlannedRun], before: Sequence[RunRecord | None], packs: list[list[int]], request: Request
    ) -> None:
        """Write the plan, for the jobs to come."""
        shared = Shared(
            request=request,
            runs=_RUNS.dump_python(list(runs), mode="json"),
            before=[record and digest(record) for record in before],
            packs=packs,
        )
        self.logs.mkdir(parents=True, exist_ok=True)
        write_bytes(self.folder / "plan.json", shared.model_dump_json().encode())

    def note(self, submitted: Submitted) -> None:
        """Keep what SLURM made of it."""
        write_bytes(self.folder / "submitted.json", submitted.model_dump_json(indent=1).encode())

    def done(self, index: int) -> RunRecord | None:
        """The new record of a run, by whomever."""
        record = self.results.find(self.runs[index].configuration)
        return record if record is not None and digest(record) != self.shared.before[index] else None


def submissions(results: ResultsFolder) -> Iterator[Submission]:
    """Those of a results folder that reached SLURM, the oldest first."""
    for path in sorted((results.root / PLACE).glob("*/submitted.json")):
        yield Submission(path.parent)


def digest(record: RunRecord) -> str:
    """SHA-256 of a record: another record of the same run has another."""
    return hashlib.sha256(record.to_json().encode()).hexdigest()


def _read(path: Path, kind: type[Model]) -> Model:
    try:
        return kind.model_validate_json(read_limited(path, MAX_PLAN_BYTES))  # refuses half characters
    except ValueError as error:
        raise RecordError(f"{path}: {str(error).splitlines()[0]}") from None
