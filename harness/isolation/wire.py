"""A socket for messages, each after its length, and for files of shared memory beside them."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

from avbench.harness.errors import AvbenchError
from avbench.harness.isolation.messages import Message

LENGTH = struct.Struct("<Q")
MOST_FILES = 4


class WireError(AvbenchError):
    """The other side broke off, or says what no message can be."""


def packed(message: Message) -> bytes:
    """A message as it goes over the wire."""
    content = message.model_dump_json().encode()
    return LENGTH.pack(len(content)) + content


def send(to: socket.socket, message: Message, files: Sequence[int] = ()) -> None:
    """Send a message, and files with its first byte. Raises OSError where nobody takes it."""
    content = packed(message)
    sent = socket.send_fds(to, [content], list(files)) if files else 0
    to.sendall(content[sent:])


def receive(of: socket.socket, most: int) -> tuple[bytes, list[int]]:
    """Wait for a message: its content, of at most so many bytes, and the files that came with it.

    Raises :class:`WireError` at the end.
    """
    head, files, _, _ = socket.recv_fds(of, LENGTH.size, MOST_FILES)
    while len(head) < LENGTH.size:
        if not (more := of.recv(LENGTH.size - len(head))):
            raise WireError("the other side has ended")
        head += more
    return _exactly(of, length_of(head, most)), files


def length_of(head: bytes, most: int) -> int:
    """The length that a message announces. Raises :class:`WireError` for more than so many bytes."""
    (length,) = LENGTH.unpack(head)
    if length > most:
        raise WireError(f"a message of {length:,} bytes was announced, at most {most:,} are taken")
    return int(length)


def _exactly(of: socket.socket, length: int) -> bytes:
    content = bytearray()
    while len(content) < length:
        if not (more := of.recv(min(length - len(content), 2**20))):
            raise WireError("the other side has ended in the middle of a message")
        content += more
    return bytes(content)
