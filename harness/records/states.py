"""Fitted states beside the records of their runs, ``<identity>.<evidence>.state.safetensors``. Imports torch when used.

A state is bound to its run: its metadata repeat the identity, the hash of the code and of the options, and the hash of
the evidence that the model gave. One that lies beside another record, or was saved with other evidence, is refused.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from avbench.harness.atomic import write_bytes
from avbench.harness.errors import RecordError, UsageError
from avbench.harness.records.record import RunRecord, canonical_json
from avbench.harness.records.results import ResultsFolder, state_beside
from avbench.harness.untrusted import read_limited

if TYPE_CHECKING:
    from torch import Tensor

MAX_STATE_BYTES = 4 * 2**30
MAX_HEADER_BYTES = 2**24
RUN = "run"
"""Key of the metadata of the file: JSON of what the state is bound to."""
TENSORS = "tensors"
"""Key of the hash of the tensors in it."""


def state_path(folder: ResultsFolder, record: RunRecord) -> Path:
    """Where the state of a finished run lies. Raises :class:`RecordError` for a failed run."""
    return state_beside(folder.evidence_path(record))


def save_state(folder: ResultsFolder, record: RunRecord, state: Mapping[str, Tensor]) -> Path:
    """Store the state of a finished run beside its record; equal tensors give equal bytes."""
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    path = state_path(folder, record)
    bound = {**_bound_to(record), TENSORS: _hash_of(save(tensors))}
    write_bytes(path, save(tensors, {RUN: canonical_json(bound)}))  # of several keys the order would vary
    return path


def load_state(folder: ResultsFolder, record: RunRecord) -> dict[str, Tensor]:
    """The tensors of the state of a run, on the CPU.

    Raises :class:`UsageError` where none was kept, :class:`RecordError` for one that is broken or of another run.
    """
    path = state_path(folder, record)
    name = f"run {record.identity[:12]}"
    if not path.exists():
        raise UsageError(f"{name}: its fitted state was not kept; 'avbench run --save-states' with its options does")
    from safetensors import SafetensorError
    from safetensors.torch import load, save

    content = read_limited(path, MAX_STATE_BYTES)
    try:
        found, tensors = _bound_in(content), load(content)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError, struct.error) as error:
        raise RecordError(f"{path}: not readable as a fitted state ({error}); delete it and repeat the run") from None
    for what, expected in _bound_to(record).items():
        if found.get(what) != expected:
            raise RecordError(f"{path}: is not the state of {name}: its {what} is another; delete it, repeat the run")
    if found.get(TENSORS) != _hash_of(save(tensors)):
        raise RecordError(f"{path}: is not as it was saved (hash differs); delete it and repeat the run")
    return tensors


def _bound_to(record: RunRecord) -> dict[str, str]:
    """What a state says of its run."""
    assert record.outcome is not None
    return {
        "identity": record.identity,
        "code": record.configuration.plugin.source_hash,
        "options": _hash_of(canonical_json(record.configuration.options).encode()),
        "evidence": record.outcome.evidence,
    }


def _bound_in(content: bytes) -> dict[str, str]:
    """What the header of a state says. Raises ValueError, KeyError, TypeError or struct.error for another file."""
    (size,) = struct.unpack("<Q", content[:8])
    if size > min(MAX_HEADER_BYTES, len(content) - 8):
        raise ValueError("its header is too long")
    found = json.loads(json.loads(content[8 : 8 + size])["__metadata__"][RUN])
    if not isinstance(found, dict):
        raise ValueError("it does not say which run it is of")
    return found


def _hash_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
