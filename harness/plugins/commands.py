"""Commands that packages add to ``avbench``: entry points of the group ``avbench.commands``.

They have a group of their own because every ``--help`` loads it: an entry point names a sequence of :class:`Command`,
in a module that imports nothing else of weight. The files ``entry_points.txt`` are read here by hand, because
to import importlib.metadata and to ask it takes as long as the rest of ``avbench --help``.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from avbench.harness.errors import PluginError
from avbench.harness.plugins.door import Broken, canonical, left_out, may_enter

GROUP = "avbench.commands"


@dataclass(frozen=True)
class Command:
    """A command that is imported when it is called.

    Raises :class:`PluginError` for a name that cannot be typed, or a target of another form.
    """

    name: str
    target: str
    """``module:attribute`` of a click command."""
    help: str
    """One line, for ``--help``."""
    group: str = ""
    """The command that it stands under, such as ``results``; empty for one beside ``run``."""
    plugin: tuple[str, str] = ("avbench", "")
    """Distribution and entry point, filled in at the door."""

    def __post_init__(self) -> None:
        if not self.name or self.name.startswith("-") or not self.name.replace("-", "").isalnum():
            raise PluginError(f"{self.name!r} is no name of a command: letters, digits and hyphens")
        if not all(part for part in self.target.split(":")) or self.target.count(":") != 1:
            raise PluginError(f"command {self.name!r}: the target {self.target!r} is not module:attribute")


@dataclass
class Commands:
    """What came through the door. ``broken`` grows when a command turns out to be unusable later on."""

    known: list[Command] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)

    def of_group(self, group: str, taken: Sequence[str]) -> dict[str, Command]:
        """The commands of a group by name. One whose name is taken is left out, with a warning."""
        found: dict[str, Command] = {}
        for command in [c for c in self.known if c.group == group]:
            if command.name in taken or command.name in found:
                self.leave_out(command, PluginError(f"command {f'{group} {command.name}'.strip()!r} exists already"))
            else:
                found[command.name] = command
        return found

    def require_groups(self, known: Sequence[str]) -> None:
        """Leave out, with a warning, the commands of groups that do not exist."""
        for command in [c for c in self.known if c.group not in known]:
            self.leave_out(command, PluginError(f"command {command.name!r}: there is no group {command.group!r}"))

    def leave_out(self, command: Command, error: Exception) -> None:
        """Name a command that cannot be used, once."""
        self.known.remove(command)
        self.broken.append(left_out(*command.plugin, error))


@cache
def plugin_commands() -> Commands:
    """The commands of all packages, those of avbench's own board first; loaded once per process."""
    return load_commands(sys.path)


def load_commands(path: Sequence[str]) -> Commands:
    """The commands of the packages on a path. Of two distributions with one name, the first counts, as for imports."""
    found = Commands()
    for distribution, entry_point, place in sorted(_entry_points(path), key=lambda e: (e[0] != "avbench", e)):
        try:
            module, _, attribute = place.partition(":")
            given = getattr(importlib.import_module(module), attribute)
            if not all(isinstance(command, Command) for command in given):
                raise PluginError(f"{place} is not a sequence of avbench.harness.plugins.commands.Command")
            found.known += [replace(command, plugin=(distribution, entry_point)) for command in given]
        except (Exception, SystemExit) as error:
            found.broken.append(left_out(distribution, entry_point, error))
    return found


def _entry_points(path: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Distribution, name and value of each entry point of the group."""
    seen: set[str] = set()
    for folder in path:
        try:
            names = sorted(os.listdir(folder or "."))
        except OSError:
            continue
        for name in names:
            stem = name.removesuffix(".dist-info").removesuffix(".egg-info")
            distribution = canonical(stem.partition("-")[0])
            if stem == name or distribution in seen:
                continue
            seen.add(distribution)
            if may_enter(distribution):
                yield from ((distribution, *pair) for pair in _section(os.path.join(folder, name, "entry_points.txt")))


def _section(file: str) -> Iterator[tuple[str, str]]:
    """The lines ``name = value`` of the group."""
    try:
        with open(file, encoding="utf-8") as stream:
            lines = stream.read().splitlines()
    except (OSError, UnicodeDecodeError):
        return
    inside = False
    for line in map(str.strip, lines):
        if line.startswith("["):
            inside = line == f"[{GROUP}]"
        elif inside and "=" in line:
            name, _, value = line.partition("=")
            yield name.strip(), value.strip()
