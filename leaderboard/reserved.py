"""Names of feature sets that nobody else may take: those that printed numbers are on, and those of printed methods."""

from __future__ import annotations

from avbench.harness.features.reserved import Form, ReservedFeatures
from avbench.leaderboard.claims import claims, published_methods

FORMS = {"clipclap": Form("cls", audio_dim=1024, visual_dim=512, texts={"clip": 512, "clap": 1024})}
"""Of feature sets that no public archive has, but users can make with the code of their paper.

``clipclap``: CLIP ViT-B/32 and WavCaps-CLAP (Kurzendörfer et al., CVPR Workshops 2024, section 3).
"""


def reserved_features() -> list[ReservedFeatures]:
    """All of them, by name."""
    owners = {slug: f"the published method {method.title}" for slug, method in published_methods().items()}
    for claim in claims():
        owners.setdefault(claim.features, f"the features of {claim.paper}")
    return [ReservedFeatures(name, owner, FORMS.get(name)) for name, owner in sorted(owners.items())]
