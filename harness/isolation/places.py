"""Where a path really lies: links and mounts lead to one folder by several names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MOUNTS = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class Place:
    """A path within a file system: the same however it is reached."""

    device: str
    path: PurePosixPath

    def is_in(self, other: Place) -> bool:
        """Whether this is the other place, or lies in it."""
        return self.device == other.device and self.path.is_relative_to(other.path)


@dataclass(frozen=True)
class Mounts:
    """What is mounted where, the outermost first, of two at one point the lower one."""

    points: tuple[tuple[Path, Place], ...]

    @classmethod
    def read(cls) -> Mounts:
        """Those of this process; none where there is no list of them."""
        try:
            return cls.parse(MOUNTS.read_text("utf-8", "surrogateescape"))
        except OSError:  # not on Linux
            return cls(())

    @classmethod
    def parse(cls, text: str) -> Mounts:
        """From the form of proc(5)."""
        found = []
        for line in text.splitlines():
            _, _, device, root, point = line.split(" ", 5)[:5]
            found.append((Path(_unescaped(point)), Place(device, PurePosixPath(_unescaped(root)))))
        return cls(tuple(sorted(found, key=lambda mount: len(mount[0].parts))))

    def place_of(self, path: Path) -> Place:
        """Where a path lies. It need not exist."""
        real = path.resolve()
        for point, place in reversed(self.points):
            if real.is_relative_to(point):
                return Place(place.device, place.path / real.relative_to(point))
        return Place("", PurePosixPath(real))

    def holder(self, path: Path, folders: Iterable[Path]) -> Path | None:
        """The first of these folders, or files, that a path is or lies in."""
        place = self.place_of(path)
        return next((folder for folder in folders if place.is_in(self.place_of(folder))), None)

    def ways(self, hidden: Path, shown: Path) -> Iterator[Path]:
        """The paths under ``shown`` that lead to what lies in ``hidden``: in a folder there, or mounted there."""
        wanted, real = self.place_of(hidden), shown.resolve()
        inner = (point for point, _ in self.points if point != real and point.is_relative_to(real))
        for way in (real, *inner):
            place = self.place_of(way)
            if wanted.is_in(place):
                yield shown / way.relative_to(real) / wanted.path.relative_to(place.path)
            elif way != real and place.is_in(wanted):
                yield shown / way.relative_to(real)


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
