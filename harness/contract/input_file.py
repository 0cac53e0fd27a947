"""An option that is a file: a run's identity holds its content, not only its name. Knows no torch."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

_WRITTEN = re.compile(r"(?P<path>.+)#sha256=(?P<sha256>[0-9a-f]{64})", re.DOTALL)
UNREAD = "files are not read"
"""Key of a validation context in which a file whose hash is stated need not be there: to read another's record."""


@dataclass(frozen=True)
class InputFile:
    """A file that a method reads, as the type of an option: ``teacher: InputFile | None = Field(None, ...)``.

    Given as a path. It is written as ``path#sha256=<hash of the content>`` in the record; so given, the content must
    have that hash. Read it with ``options.teacher.path``.
    """

    path: Path
    sha256: str

    def __str__(self) -> str:
        return f"{self.path}#sha256={self.sha256}"

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(
            cls._validated, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _schema: core_schema.CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "format": "file-path"}

    @classmethod
    def _validated(cls, value: Any, info: core_schema.ValidationInfo) -> InputFile:
        if not isinstance(value, str | Path | InputFile):
            raise ValueError("must be the path of a file")
        written = _WRITTEN.fullmatch(str(value))
        if written and (info.context or {}).get(UNREAD):
            return cls(Path(written["path"]), written["sha256"])
        path = Path(written["path"] if written else str(value))
        try:
            with path.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
        except (OSError, ValueError) as error:
            raise ValueError(f"the file cannot be read ({getattr(error, 'strerror', None) or error})") from None
        if written and found != written["sha256"]:
            raise ValueError("the file has changed: its content is not what the hash says")
        return cls(path, found)
