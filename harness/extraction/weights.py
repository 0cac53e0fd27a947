"""Weights of an encoder: a folder, or a name on the Hugging Face hub with a pinned commit. Safetensors only."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from avbench.harness.contract.encoder import Weights
from avbench.harness.errors import DataError, UsageError
from avbench.harness.extras import require

BY_NAME = re.compile(r"([A-Za-z0-9][\w.-]*(?:/[\w.-]+)?)@([0-9a-f]{40})")
FETCHED = ["*.safetensors", "*.json", "*.txt"]
"""What is taken from the hub: no pickled file, no code."""


def find_weights(where: str) -> Weights:
    """``where``: the path of a folder, or ``NAME@COMMIT`` with 40 hexadecimal digits.

    Raises :class:`UsageError` for anything else, :class:`DataError` for a folder without safetensors files.
    """
    folder, named = Path(where).expanduser(), BY_NAME.fullmatch(where)
    if folder.is_dir():
        name, revision = folder.resolve().name, None
    elif named:
        name, revision = named.groups()
        folder = _fetched(name, revision)
    else:
        raise UsageError(
            f"weights {where!r}: no such folder, and no name with a pinned commit; write NAME@COMMIT with the 40 "
            "digits that the hub shows under 'Files and versions', since a name alone may mean other weights tomorrow"
        )
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise DataError(f"{where}: holds no .safetensors file; pickled weights can run code and are never loaded")
    return Weights(folder, name, revision, _hash(files))


def loaded(kind: Any, weights: Weights, family: str, device: str) -> Any:
    """A model of a class of transformers, ready to encode.

    Raises :class:`DataError` for weights of another family, broken ones, and such that lack a tensor.
    """
    import torch
    from transformers import PretrainedConfig

    try:
        config, _ = PretrainedConfig.get_config_dict(weights.folder, local_files_only=True)
        found = config.get("model_type")
        if found != family:
            raise DataError(f"weights {weights.name!r} are of the family {found!r}, not {family!r}")
        model, info = kind.from_pretrained(
            weights.folder,
            use_safetensors=True,
            local_files_only=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except DataError:
        raise
    except Exception as error:  # a broken configuration can make transformers raise nearly anything
        raise DataError(f"weights {weights.name!r} cannot be loaded: {type(error).__name__}: {error}") from None
    if lacking := sorted(info["missing_keys"]) + sorted(map(str, info["mismatched_keys"])):
        raise DataError(f"weights {weights.name!r} lack {len(lacking)} tensors, such as {lacking[0]}")
    model.eval().requires_grad_(False)
    return model.to(device)


def _fetched(name: str, revision: str) -> Path:
    require("huggingface_hub", "encoders", f"weights {name!r} are fetched by huggingface_hub")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=FETCHED))
    except Exception as error:  # no network, no such name, no such commit, no disk
        raise DataError(f"weights {name}@{revision} cannot be fetched: {type(error).__name__}: {error}") from None


def _hash(files: list[Path]) -> str:
    """SHA-256 of the one file, or over the lines ``name TAB hash`` of several."""
    found = []
    for path in files:
        with path.open("rb") as stream:
            found.append((path.name, hashlib.file_digest(stream, "sha256").hexdigest()))
    if len(found) == 1:
        return found[0][1]
    return hashlib.sha256("\n".join(f"{name}\t{digest}" for name, digest in found).encode()).hexdigest()
