"""What a repetition of a run came to: a verdict with its reasons, bound to the run by hash. Knows no torch.

A reproduction is a file of its own beside the record that it speaks of. It counts only for the very record and evidence
that it names, and it counts on a board only where whoever keeps the board made it or vouches for who did.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from avbench.harness.errors import RecordError
from avbench.harness.records.record import (
    Environment,
    IsolationKind,
    Metrics,
    Part,
    Percent,
    RunRecord,
    Seconds,
    Sha256,
    Text,
    of_schema,
)
from avbench.harness.untrusted import read_limited

SCHEMA_VERSION: Literal[1] = 1
MAX_REPRODUCTION_BYTES = 2**18
SUFFIX = ".reproduction.json"

Outcome = Literal["same bits", "within noise", "not reproduced"]
BLIND: IsolationKind = "sandbox"
"""The one that leaves a method nothing to look at but what it is given."""
Status = Literal["reproduced blind", "reproduced", "verified only", "not reproduced"]
Required = Literal["reproduced", "blind"]
"""What a board may require of its rows."""
_ROUNDING = 1e-9
_SAME = 1e-6
"""Points that the same evidence may differ by from one library to the next."""


class Noise(Part):
    """A t-test of the repeated HM against the recorded one, see :mod:`avbench.harness.evaluation.noise`."""

    test: Literal["seeds", "classes"]
    """``seeds``: prediction interval for one more seed; ``classes``: paired over the classes of the two runs."""
    n: int = Field(ge=2, le=10**6)
    """Seeds, or classes of the smaller side."""
    expected: Percent
    """HM around which the interval lies: the mean over seeds, or that of the record."""
    scale: float = Field(ge=0, le=1e3)
    """Standard error of the difference, in points."""
    statistic: float
    """The difference in standard errors; 0 for no difference."""
    bound: float = Field(gt=0)
    """The largest absolute value of the statistic that counts as noise: a quantile of t with n - 1 degrees."""
    level: float = Field(gt=0, lt=1)
    """Of the test, two-sided: an honest repetition passes with this chance."""

    @property
    def holds(self) -> bool:
        return abs(self.statistic) <= self.bound

    def __str__(self) -> str:
        what = f"{self.n} seeds" if self.test == "seeds" else f"paired over classes, {self.n} on the smaller side"
        return f"t = {self.statistic:+.2f}, at most {self.bound:.2f} is noise at {100 * self.level:g} % ({what})"


class Points(Part):
    """Repeated minus recorded, in points."""

    S: float
    U: float
    HM: float
    ZSL: float
    AUSUC: float

    @classmethod
    def between(cls, recorded: Metrics, repeated: Metrics) -> Points:
        new = repeated.model_dump()
        return cls(**{name: new[name] - value for name, value in recorded.model_dump().items()})


class Reproduction(Part):
    """The verdict on one run, by whoever repeated it."""

    schema_version: Literal[1] = SCHEMA_VERSION
    run: Sha256
    """Identity of the run."""
    record: Sha256
    """:attr:`RunRecord.digest` of its record."""
    evidence: Sha256
    """Hash of its evidence."""
    verdict: Outcome
    isolation: IsolationKind
    claimed: bool = False
    """It came with a submission: a claim of whoever sent it, which never counts on a board."""
    by: Text
    """Who repeated the run."""
    when: Text
    """UTC, ISO 8601."""
    environment: Environment
    """Where the run was repeated, with versions."""
    seconds: Seconds = 0.0
    repeated_evidence: Sha256 | None = None
    """Of the repetition; None where it failed. So are the metrics and the difference."""
    metrics: Metrics | None = None
    difference: Points | None = None
    noise: Noise | None = None
    """Why a difference is held for noise, or not; None for the same bits."""
    failure: Text | None = None
    """Why the repetition has no outcome."""

    @property
    def blind(self) -> bool:
        return self.isolation == BLIND

    @property
    def status(self) -> Status:
        """What a board says of the run."""
        if self.verdict == "not reproduced":
            return "not reproduced"
        return "reproduced blind" if self.blind else "reproduced"

    @model_validator(mode="after")
    def _consistent(self) -> Reproduction:
        ran = [part is not None for part in (self.repeated_evidence, self.metrics, self.difference)]
        if any(ran) != all(ran) or all(ran) == (self.failure is not None):
            raise ValueError("a repetition has evidence, metrics and differences, or it failed")
        if self.failure is not None:
            expected: Outcome = "not reproduced"
        elif self.repeated_evidence == self.evidence:
            expected = "same bits"
        elif self.noise is None:
            raise ValueError("other evidence needs a test of the noise")
        else:
            expected = "within noise" if self.noise.holds else "not reproduced"
        if self.verdict != expected:
            raise ValueError(f"the verdict is {self.verdict!r}, what it rests on says {expected!r}")
        return self

    def to_json(self) -> str:
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def in_words(self) -> str:
        """The verdict, the difference and the test in a line."""
        how = {"none": "beside the answers", "process": "in a process of its own", "sandbox": "blind"}[self.isolation]
        head = f"{self.verdict}, repeated {how}"
        if self.failure is not None:
            return f"{head}: failed: {self.failure}"
        if self.difference is None or self.verdict == "same bits":
            return head
        told = ", ".join(f"{name} {value:+.2f}" for name, value in self.difference)
        return f"{head}: {told}; HM: {self.noise}"


def contradictions(reproduction: Reproduction, record: RunRecord) -> Iterator[str]:
    """Why a reproduction does not speak of a record, or cannot be what it says."""
    if reproduction.run != record.identity:
        yield f"speaks of run {reproduction.run[:12]}, not of this one"
        return
    if record.outcome is None:
        yield "speaks of a run that failed"
        return
    if reproduction.record != record.digest or reproduction.evidence != record.outcome.evidence:
        yield "speaks of another record or other evidence of this run (hash differs); repeat the run anew"
        return
    if reproduction.metrics is not None and reproduction.difference is not None:
        found = Points.between(record.outcome.metrics, reproduction.metrics)
        for name, value in found:
            if not math.isclose(value, getattr(reproduction.difference, name), abs_tol=_ROUNDING):
                yield f"its difference in {name} does not follow from the metrics"
        if reproduction.verdict == "same bits" and any(abs(value) > _SAME for _, value in found):
            yield "claims the same bits with other metrics"
    try:
        if not _moment(record.measured.started) <= _moment(reproduction.when) <= datetime.now(UTC) + timedelta(days=1):
            yield f"was made at {reproduction.when}: before the run, or in the future"
    except (ValueError, OverflowError):
        yield f"was made at {reproduction.when!r}, which is no date"


def decisive(found: Iterable[Reproduction]) -> Reproduction | None:
    """The one that counts on a board, if any does: the latest blind one, else the latest.

    A blind one outweighs all others: what works only beside the answers is not reproduced. Claims never count.
    """
    ours = [r for r in found if not r.claimed]
    return max(ours, key=lambda r: (r.blind, _moment(r.when), r.to_json()), default=None)


def read_reproduction(path: Path) -> Reproduction:
    """Read and validate one. Raises :class:`RecordError` that names the file and what is wrong with it."""
    return decode_reproduction(read_limited(path, MAX_REPRODUCTION_BYTES), str(path))


def decode_reproduction(content: bytes, where: str) -> Reproduction:
    """Validate the bytes of a file. Raises :class:`RecordError` that names ``where``."""
    try:
        data = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{where}: not readable as JSON ({error})") from None
    return of_schema(Reproduction, data, SCHEMA_VERSION, where, "reproduction")


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
