"""The worker's side of a description: what a package brings, said by the package itself. Knows no torch."""

from __future__ import annotations

import importlib
import os
import socket
import typing
from typing import Any, NoReturn

from avbench.harness.contract.input_file import InputFile
from avbench.harness.contract.method import Method
from avbench.harness.contract.options import EpochOptions
from avbench.harness.isolation.messages import (
    FROM_JUDGE,
    FROM_JUDGE_BYTES,
    Describe,
    Described,
    Effective,
    Facts,
    Values,
)
from avbench.harness.isolation.wire import WireError, receive, send
from avbench.harness.isolation.withheld import fail
from avbench.harness.plugins.source_hash import start_of
from avbench.harness.tracks import Track


def describe(judge: socket.socket, asked: Describe) -> NoReturn:
    """Say what a package brings of methods, and their options, until the judge hangs up."""
    try:
        module = importlib.import_module(asked.module)
        methods: list[type[Method]] = list(getattr(module, "avbench_methods", list)())
        variants = tuple(getattr(module, "avbench_variants", list)())
        send(judge, Described(methods=tuple(map(_facts, methods)), variants=variants))
        kinds = {method.info.slug: method for method in methods}
        while True:
            question = _next(judge)
            options = kinds[question.slug].Options.effective(
                Track(question.dataset, question.features), question.protocol, question.given
            )
            send(judge, Values(options=options.model_dump(mode="json")))
    except BaseException as error:
        fail(judge, error, sandboxed=asked.sandboxed)


def _next(judge: socket.socket) -> Effective:
    try:
        content, _ = receive(judge, FROM_JUDGE_BYTES)
    except (WireError, OSError):
        os._exit(0)
    question = FROM_JUDGE.validate_json(content)
    assert isinstance(question, Effective)
    return question


def _facts(method: type[Method]) -> Facts:
    return Facts(
        info=method.info,
        module=method.__module__,
        modules=tuple(sorted(start_of(method))),
        options={
            name: "file" if _holds(field.annotation, InputFile) else "value"
            for name, field in method.Options.model_fields.items()
        },
        in_epochs=issubclass(method.Options, EpochOptions),
        takes_few_bits=method.takes_few_bits,
    )


def _holds(annotation: Any, kind: type) -> bool:
    """Whether a type is ``kind``, or made of it, such as ``InputFile | None``."""
    return annotation is kind or any(_holds(part, kind) for part in typing.get_args(annotation))
