"""The picture that previews of links to the site show: bands of equal HM over the plane of S and U, as PNG.

Previews take no SVG. The picture holds no letters: title and sentence stand beside it.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

WIDTH, HEIGHT = 1200, 630
"""Pixels, the shape that previews are made for."""
BANDS = 10
DARK, LIGHT = (10, 92, 92), (240, 246, 246)
"""Red, green, blue at HM 100 and 0."""


def preview() -> bytes:
    """S grows to the right and U upwards, both from 0 to 100 %; a band is ten points of HM."""
    seen, unseen = np.arange(1, WIDTH + 1) / WIDTH, np.arange(HEIGHT, 0, -1)[:, None] / HEIGHT
    mean = 2 * seen * unseen / (seen + unseen)
    bands = np.minimum(mean * BANDS, BANDS - 1).astype(np.uint8)  # (HEIGHT, WIDTH), rows of the palette
    palette = np.linspace(LIGHT, DARK, BANDS).round().astype(np.uint8)
    rows = np.pad(bands, ((0, 0), (1, 0)))  # a row begins with its filter: none
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 3, 0, 0, 0)  # 8 bits, palette
    chunks = (
        (b"IHDR", header),
        (b"PLTE", palette.tobytes()),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
