"""Packages whose code the judge does not even import: workers say what they bring, and stand-ins are known by it.

What a package does when it is merely imported would otherwise be done beside the answers.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from pydantic import create_model

from avbench.harness.contract.data import Classes, Clips, TrainingSet
from avbench.harness.contract.input_file import InputFile
from avbench.harness.contract.method import Method, MethodInfo, Progress
from avbench.harness.contract.options import EpochOptions, Options
from avbench.harness.errors import AvbenchError, MethodError, UsageError, unknown
from avbench.harness.isolation.choice import Isolation
from avbench.harness.isolation.messages import Describe, Described, Effective, Facts, Values
from avbench.harness.isolation.process import WorkerProcess, worker
from avbench.harness.isolation.start import command_of, limits, require_sandbox
from avbench.harness.plugins.door import canonical, keep_out
from avbench.harness.plugins.registry import Plugins, Registered, entry_points, plugins
from avbench.harness.printable import printable
from avbench.harness.tracks import Track

logger = logging.getLogger("avbench")

MOST_SHOWN = 2_000
"""Characters that a terminal is shown of what a package says."""


def describe_strangers(isolation: Isolation, *answers: Path) -> None:
    """From now on this process knows the methods of packages by description, and imports none of them.

    Nor those that say they bring no methods: they may say so to this question alone. ``answers``: folders that a
    sandbox leaves out. Where packages have been loaded before, that is said, and a sandbox refused: what they did then
    is done. Does nothing without isolation. Raises :class:`UsageError` where there is no sandbox, or it is too late for
    one.
    """
    if isolation:
        absolute = {folder.absolute() for folder in (*isolation.hidden, *answers)}
        _describe_strangers(replace(isolation, hidden=tuple(sorted(absolute))))


@cache
def _describe_strangers(isolation: Isolation) -> None:
    require_sandbox(isolation)
    strangers = [(d, e) for d, e in entry_points() if canonical(d.metadata["Name"]) != "avbench"]
    if strangers and plugins.cache_info().currsize:
        methods = [known for known in plugins().methods.values() if not (known.modules or known.loose)]
        if loaded := {known.distribution for known in methods} - {"avbench"}:
            names = ", ".join(sorted(loaded))
            if isolation.kind == "sandbox":
                raise UsageError(f"{names}: imported beside the answers before; start anew, without --strict-plugins")
            logger.warning("imported before methods were kept apart: %s", names)
        return
    found: list[tuple[Distribution, EntryPoint, Described | AvbenchError]] = []
    for distribution, entry_point in strangers:
        try:
            with _describing(isolation, distribution, entry_point) as (_, described):
                found.append((distribution, entry_point, described))
        except AvbenchError as error:
            found.append((distribution, entry_point, type(error)(printable(str(error), MOST_SHOWN))))
    keep_out(d.metadata["Name"] for d, _ in strangers)
    known = plugins()
    for distribution, entry_point, what in found:
        _admit(known, isolation, distribution, entry_point, what)


def _admit(
    known: Plugins,
    isolation: Isolation,
    distribution: Distribution,
    entry_point: EntryPoint,
    what: Described | AvbenchError,
) -> None:
    name = distribution.metadata["Name"]
    try:
        if isinstance(what, AvbenchError):
            raise what
        described = []
        for facts in what.methods:
            kind = _stand_in(facts, isolation, distribution, entry_point)
            described.append(Registered(kind, name, distribution.version, entry_point.module, tuple(facts.modules)))
        known.admit_described(described, what.variants)
    except Exception as error:  # names of options that no class can have, as well
        known.leave_out(name, entry_point.name, error)


@contextmanager
def _describing(
    isolation: Isolation, distribution: Distribution, entry_point: EntryPoint
) -> Iterator[tuple[WorkerProcess, Described]]:
    """A worker that has described what a package brings."""
    name = distribution.metadata["Name"]
    first = Describe(module=entry_point.module, slug=name, **limits(isolation))

    class Undescribed(_StandIn):
        info = MethodInfo(slug="undescribed", title="", year=0, summary="", citation="")

    code = Registered(Undescribed, name, distribution.version, entry_point.module, (entry_point.module,))
    command = command_of(isolation, first, code, (), None)
    with worker(command, first, isolation.silence, isolation.seconds) as process:
        yield process, process.hear(Described)


class _StandIn(Method):
    """Stands for a method that only workers load."""

    def fit(self, train: TrainingSet, progress: Progress) -> NoReturn:
        raise MethodError(f"{self.info.slug} is kept apart: only workers can fit it")

    def predict(self, clips: Clips, classes: Classes) -> NoReturn:
        raise MethodError(f"{self.info.slug} is kept apart: only workers can ask it")

    def state(self) -> NoReturn:
        raise MethodError(f"{self.info.slug} is kept apart: its state is in a worker")

    def load_state(self, state: Mapping[str, Any]) -> NoReturn:
        raise MethodError(f"{self.info.slug} is kept apart: its state is in a worker")


class _Described:
    """The part of stand-ins for options that asks a worker."""

    asked: ClassVar[Any]

    @classmethod
    def effective(cls, track: Track, protocol: str, given: Mapping[str, Any] | None = None) -> Any:
        for name in given or {}:
            if name not in cls.model_fields:  # type: ignore[attr-defined]
                raise unknown("option", name, cls.model_fields)  # type: ignore[attr-defined]
        text = json.dumps(dict(given or {}), sort_keys=True, default=str)
        return cls.model_validate(json.loads(cls.asked(track, protocol, text)))  # type: ignore[attr-defined]


def _stand_in(facts: Facts, isolation: Isolation, distribution: Distribution, entry_point: EntryPoint) -> type[Method]:
    """A class that says of itself what was described."""

    @cache
    def asked(track: Track, protocol: str, given: str) -> str:
        with _describing(isolation, distribution, entry_point) as (process, _):
            process.tell(
                Effective(
                    slug=facts.info.slug,
                    dataset=track.dataset,
                    features=track.features,
                    protocol=protocol,
                    given=json.loads(given),
                )
            )
            try:
                return json.dumps(process.hear(Values).options)
            except MethodError as error:
                raise UsageError(printable(str(error), MOST_SHOWN)) from None

    base = EpochOptions if facts.in_epochs else Options
    kinds: dict[str, Any] = {"file": InputFile | None, "value": Any}
    fields: dict[str, Any] = {name: (kinds[kind], None) for name, kind in facts.options.items()}
    made = create_model("Options", __base__=base, **fields)
    options = type("Options", (_Described, made), {"asked": staticmethod(asked), "__module__": __name__})
    content = {
        "info": facts.info,
        "Options": options,
        "takes_few_bits": facts.takes_few_bits,
        "__module__": facts.module,
    }
    return type("StandIn", (_StandIn,), content)
