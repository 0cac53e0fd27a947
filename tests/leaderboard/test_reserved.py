from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from avbench.harness.errors import UsageError
from avbench.harness.features.draft import Draft, NamedText
from avbench.harness.plugins.registry import plugins
from avbench.harness.tracks import Track
from avbench.leaderboard.claims import claims, published_methods
from avbench.splits import load_split


def of_form(**changes: object) -> Draft:
    """A draft with what is known of ClipClap's features."""
    split = load_split("ucf", "cls")
    texts = {
        name: NamedText(np.zeros((len(split.classes), n), np.float32), True)
        for name, n in (("clip", 512), ("clap", 1024))
    }
    draft = Draft(Track("ucf", "clipclap"), split, "ours", 1024, 512, np.zeros((1, 1536), np.float32), (), texts=texts)
    return replace(draft, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [*published_methods(), *dict.fromkeys(claim.features for claim in claims())])
def test_what_numbers_are_printed_on_is_reserved(name: str) -> None:
    reserved = plugins().reserved(name)
    assert reserved is not None
    with pytest.raises(UsageError, match=f"'{name}' is reserved for .*'my-{name}'"):
        reserved.refuse_unless_fit(of_form(simulated=True))


def test_other_names_are_free() -> None:
    assert plugins().reserved("clip-clap") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"simulated": True},
        {"warnings": ("train: 3 clips too few",)},
        {"split": load_split("ucf", "main")},
        {"audio_dim": 512},
        {"texts": {}},
    ],
)
def test_only_real_and_complete_features_of_its_form_may_be_clipclap(changes: dict[str, object]) -> None:
    reserved = plugins().reserved("clipclap")
    assert reserved is not None
    reserved.refuse_unless_fit(of_form())
    with pytest.raises(UsageError, match="the text vectors clip of 512, clap of 1024"):
        reserved.refuse_unless_fit(of_form(**changes))
