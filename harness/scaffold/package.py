"""An installable package with one method that already learns, as ``avbench methods new`` writes it."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Container
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from avbench.harness.atomic import begun_folder, sweep
from avbench.harness.errors import UsageError

LONGEST = 32
RESERVED = ("all",)
"""Names that mean something else on the command line."""

METHOD = "src/{module}/method.py"
FILES = {
    ".github/workflows/test.yml": "workflow.yml.jinja",
    ".gitignore": "gitignore.jinja",
    "README.md": "README.md.jinja",
    "pyproject.toml": "pyproject.toml.jinja",
    "src/{module}/__init__.py": "package.py.jinja",
    METHOD: "method.py.jinja",
    "tests/test_method.py": "test_method.py.jinja",
}
"""Path in the new package -> template."""


@dataclass(frozen=True)
class Package:
    """The names that follow from a method's slug."""

    slug: str
    over_time: bool = False
    """The method reads features over time."""

    @classmethod
    def named(cls, name: str, taken: Container[str], *, over_time: bool = False) -> Package:
        """The package for a name as typed: lower case, hyphens between words.

        Raises :class:`UsageError` for a name that makes no slug or that is ``taken``.
        """
        slug = re.sub(r"[-_.\s]+", "-", name.strip()).lower()
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", slug) or len(slug) > LONGEST:
            raise UsageError(
                f"{name!r} cannot name a method: use ASCII letters, digits and hyphens, a letter first, at most "
                f"{LONGEST} characters, such as 'my-method'."
            )
        if slug in RESERVED or slug in taken:
            raise UsageError(f"the name {slug!r} is taken: `avbench methods list` shows which are. Choose another one.")
        return cls(slug, over_time)

    @property
    def distribution(self) -> str:
        """Name of the package for pip, and of its folder."""
        return f"avbench-{self.slug}"

    @property
    def module(self) -> str:
        """Name for ``import``."""
        return self.distribution.replace("-", "_")

    @property
    def title(self) -> str:
        """Words in capitals: ``my-method`` is ``My Method``."""
        return self.slug.replace("-", " ").title()

    @property
    def kind(self) -> str:
        """Start of the class names."""
        return self.title.replace(" ", "")

    def files(self) -> dict[str, str]:
        """Path in the package -> content."""
        templates = Environment(
            loader=PackageLoader("avbench.harness.scaffold"),
            undefined=StrictUndefined,
            keep_trailing_newline=True,
            variable_start_string="@{",  # the files are full of double braces
            variable_end_string="}",
        )
        names = {
            "slug": self.slug,
            "distribution": self.distribution,
            "module": self.module,
            "title": self.title,
            "kind": self.kind,
            "avbench_version": version("avbench"),
            "year": datetime.date.today().year,
            "features": " --features demo-temporal" if self.over_time else "",
        }
        files = {**FILES, METHOD: "method_temporal.py.jinja"} if self.over_time else FILES
        return {
            path.format(module=self.module): templates.get_template(template).render(names)
            for path, template in files.items()
        }

    def write(self, into: Path) -> Path:
        """Write the package as a new folder inside ``into`` and return it. The folder is there whole or not at all.

        Raises :class:`UsageError` when a folder of that name exists and is not empty.
        """
        target = into / self.distribution
        if target.exists() and not (target.is_dir() and not any(target.iterdir())):
            raise UsageError(f"{target} exists already: remove it, or choose another name or folder (--into).")
        with begun_folder(target) as temporary:
            sweep(into)
            made = temporary / self.distribution
            for path, content in self.files().items():
                file = made / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(content, "utf-8")
            os.replace(made, target)
        return target
