"""``--slurm KEY=VALUE,...``: what the jobs ask SLURM for, checked before anything is submitted."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from avbench.harness.errors import UsageError, unknown

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_TIME = re.compile(r"(?:(?P<d>\d+)-)?(?P<rest>\d+(?::\d+){0,2})")


def minutes(value: Any) -> Any:
    """Minutes of SLURM's forms ``M``, ``M:S``, ``H:M:S``, ``D-H``, ``D-H:M`` and ``D-H:M:S``, rounded up."""
    found = _TIME.fullmatch(str(value))
    if not found:
        raise ValueError("a time is written as minutes, H:M:S or D-H:M:S, such as 90, 1:30:00 or 2-12:00:00")
    parts = [int(part) for part in found["rest"].split(":")]
    days = int(found["d"] or 0)
    if found["d"] is not None:
        hours, mins, seconds = (*parts, 0, 0)[:3]
    else:
        hours, mins, seconds = {1: (0, *parts, 0), 2: (0, *parts), 3: tuple(parts)}[len(parts)]
    return ((days * 24 + hours) * 60 + mins) + (seconds > 0)


def memory(value: Any) -> Any:
    """A size as SLURM takes it. Raises :class:`ValueError` for others."""
    if value is not None and not re.fullmatch(r"\d+[KMGT]?B?", str(value)):
        raise ValueError("a size is written as a whole number of MB, or with K, M, G or T, such as 16000 or 16G")
    return value


def _lines(value: Any) -> Any:
    return value if isinstance(value, tuple | list) else (value,)


class SlurmSettings(BaseModel):
    """The keys of ``--slurm``. What is not given here is SLURM's own default, but for those with a value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    partition: str = Field(min_length=1)
    time: Annotated[int, BeforeValidator(minutes)] = Field(60, ge=1)
    """Limit of a job: minutes, ``H:M:S`` or ``D-H:M:S``."""
    cpus: int = Field(1, ge=1)
    gpus: int = Field(0, ge=0)
    """Per job."""
    mem: Annotated[str | None, BeforeValidator(memory)] = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    gres: str | None = None
    nodelist: str | None = None
    exclude: str | None = None
    setup: Annotated[tuple[str, ...], BeforeValidator(_lines)] = ()
    """Lines of shell before each job begins; may be given several times."""
    python: str | None = None
    """Command that starts Python on a node, such as ``apptainer exec image.sif python``."""
    jobs: int = Field(64, ge=1, le=1000)
    """Jobs at most."""
    pack: Annotated[int | None, BeforeValidator(lambda v: v if v is None else minutes(v))] = Field(None, ge=1)
    """Work of a job, if earlier runs tell it; half of ``time`` where it is not given."""
    warn: int = Field(90, ge=10)
    """Seconds before the limit at which a job is told, gives its run back and is queued again."""
    resubmissions: int = Field(10, ge=0)
    """How often a job that reaches its time limit is queued again."""

    @property
    def pack_seconds(self) -> float:
        return 60.0 * self.pack if self.pack else 30.0 * self.time

    @property
    def place(self) -> dict[str, str]:
        """What decides on which nodes, by SLURM's words."""
        names = ("partition", "account", "qos", "constraint", "nodelist", "exclude")
        return {name: value for name in names if (value := getattr(self, name))}

    @property
    def share(self) -> dict[str, str | int]:
        """What a job has of a node, by SLURM's words."""
        found = {
            "time": self.time,
            "cpus_per_task": self.cpus,
            "mem": self.mem,
            "gres": self.gres,
            "gpus_per_node": self.gpus or None,
        }
        return {name: value for name, value in found.items() if value is not None}

    def parameters(self) -> dict[str, Any]:
        """As submitit takes them."""
        return {
            **self.place,
            **self.share,
            "job_name": "avbench",
            "signal_delay_s": self.warn,
            "array_parallelism": self.jobs,
            **({"setup": list(self.setup)} if self.setup else {}),
        }


def read_settings(texts: Iterable[str]) -> SlurmSettings:
    """From ``key=value,key=value``; a value with commas or blanks stands in quotes: ``setup="a, b"``.

    Raises :class:`UsageError` for unknown keys, values of another kind, where the partition is missing, and for jobs
    that would be warned as soon as they start.
    """
    found: dict[str, Any] = {}
    for text in texts:
        for part in _parts(text):
            key, equals, value = part.partition("=")
            key = key.strip()
            if not equals:
                raise UsageError(f"--slurm {text!r}: {part!r} is not KEY=VALUE; put a value that has commas in quotes")
            if key not in SlurmSettings.model_fields:
                raise unknown("key of --slurm", key, SlurmSettings.model_fields)
            if key == "setup":
                found[key] = (*found.get(key, ()), value)
            elif key in found:
                raise UsageError(f"--slurm {key}= is given twice")
            else:
                found[key] = value
    if not found.get("partition"):
        raise UsageError("--executor slurm needs a partition: --slurm partition=NAME; 'sinfo' shows them")
    try:
        settings = SlurmSettings.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"--slurm {first['loc'][0]}={found.get(str(first['loc'][0]))}: {_said(first)}") from None
    if settings.warn >= 60 * settings.time:
        raise UsageError(
            f"--slurm warn={settings.warn}: a job of {settings.time} min would be told at its start, and queued again; "
            "give a longer time= or fewer seconds of warn="
        )
    return settings


def _said(error: ErrorDetails) -> str:
    """Our own words where a check of ours says them, else pydantic's."""
    return str(error.get("ctx", {}).get("error", error["msg"]))


def _parts(text: str) -> list[str]:
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = ",", True, ""
    try:
        return list(lexer)
    except ValueError as error:
        raise UsageError(f"--slurm {text!r}: {error}") from None
