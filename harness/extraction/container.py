"""Opening a video of a stranger: one regular file, no playlist, no other file or address, no frame beyond reason.

FFmpeg gets an open file instead of a name, may use no protocol at all, and may recognise only plain containers: what
would open further files or addresses (hls, dash, concat, sdp, image sequences) is not among them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.container import InputContainer

FORMATS = ("mov", "avi", "matroska", "webm", "mpegts", "mpeg", "mpegvideo", "flv", "asf", "ogg", "m4v", "h264", "hevc")
MAX_SECONDS = 3600
"""Of a clip. The longest of the benchmark has four minutes."""
MAX_PIXELS = 8192 * 4352
"""Of a frame; 8K video has 33 million."""
PROBE_BYTES = 16 * 2**20
PROBE_SECONDS = 10
OPTIONS = {
    "protocol_whitelist": "",
    "format_whitelist": ",".join(FORMATS),
    "max_pixels": str(MAX_PIXELS),
    "probesize": str(PROBE_BYTES),
    "analyzeduration": str(PROBE_SECONDS * 10**6),
    "max_streams": "64",
}
BUFFER_BYTES = 2**18


class BadVideoError(Exception):
    """A video that gives no features; the text is the reason."""


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """The container in a regular file. Raises :class:`BadVideoError`; a link is not followed."""
    import av

    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BadVideoError(f"cannot be opened ({error.strerror})") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise BadVideoError("not a regular file")
    with open(handle, "rb") as file:
        try:
            container = av.open(file, "r", options=OPTIONS, buffer_size=BUFFER_BYTES, metadata_errors="replace")
        except (av.FFmpegError, ValueError) as error:
            raise BadVideoError(f"no video file that can be read ({reason(error)})") from None
        with container:
            yield container


def reason(error: BaseException) -> str:
    """FFmpeg's words, without the name of the file."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:200]
