"""What the reference does with the names in docstrings."""

from __future__ import annotations

import re
from typing import Any

import griffe


class PlainNames(griffe.Extension):
    """Docstrings name things as Sphinx does (``:class:`Method```); show the name alone."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r":(?:attr|class|data|func|meth|mod):(?=`)", "", obj.docstring.value)
