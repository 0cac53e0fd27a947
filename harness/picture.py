"""Files with a picture in them, the same bytes for the same content. Imports matplotlib when used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avbench.harness.atomic import write_bytes
from avbench.harness.errors import UsageError
from avbench.harness.extras import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("svg", "png", "pdf")
_STABLE = {"svg.hashsalt": "avbench", "svg.fonttype": "none", "pdf.compression": 6}
_NO_DATE: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}


def require_drawable(path: Path) -> None:
    """Raise :class:`UsageError` for a file of another format, or where matplotlib is not installed."""
    if path.suffix[1:].lower() not in FORMATS:
        raise UsageError(f"{path}: figures are {', '.join(f'.{f}' for f in FORMATS)}")
    require("matplotlib", "figures", "figures are drawn by matplotlib")


@contextmanager
def picture(path: Path, size: tuple[float, float], style: Mapping[str, Any] | None = None) -> Iterator[Figure]:
    """A figure of so many inches to draw on; it becomes the file when the block ends.

    ``style``: settings of matplotlib beside its defaults. Raises as :func:`require_drawable` does.
    """
    require_drawable(path)
    from matplotlib.figure import Figure

    with stable(style):
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        save(figure, path)


@contextmanager
def stable(style: Mapping[str, Any] | None = None) -> Iterator[None]:
    """matplotlib's own settings, with those that make the same bytes of the same content, and ``style``."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()  # not what the user's own file says
        settings: Any = {**_STABLE, **(style or {})}
        mpl.rcParams.update(settings)
        yield


def save(figure: Figure, path: Path) -> None:
    """Write a figure that was drawn with :func:`stable` settings, in the format that its name says."""
    kind = path.suffix[1:].lower()
    stream = BytesIO()
    figure.savefig(stream, format=kind, metadata=_NO_DATE[kind])
    write_bytes(path, stream.getvalue())
