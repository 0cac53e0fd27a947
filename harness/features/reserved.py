"""Names of feature sets that printed numbers are about: only features that can be those may bear them. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from avbench.harness.errors import UsageError
from avbench.harness.features.draft import Draft
from avbench.harness.features.temporal_draft import TemporalDraft


@dataclass(frozen=True)
class Form:
    """What is known of the genuine features: averaged, on all clips of a class partition, of these widths."""

    partition: str
    audio_dim: int
    visual_dim: int
    texts: Mapping[str, int]
    """Named text vectors with their widths, in this order."""

    def __str__(self) -> str:
        texts = ", ".join(f"{name} of {width}" for name, width in self.texts.items())
        return (
            f"real averaged features of the {self.partition} partition with every clip, {self.audio_dim} audio and "
            f"{self.visual_dim} visual dimensions, and the text vectors {texts}"
        )

    def fits(self, draft: Draft | TemporalDraft) -> bool:
        """Whether features are of this form."""
        texts = [(name, text.vectors.shape[1]) for name, text in draft.texts.items()]
        return (
            isinstance(draft, Draft)
            and not (draft.simulated or draft.warnings)
            and (draft.split.partition, draft.audio_dim, draft.visual_dim)
            == (self.partition, self.audio_dim, self.visual_dim)
            and texts == list(self.texts.items())
        )


@dataclass(frozen=True)
class ReservedFeatures:
    """A name, whose it is in words, and the form of features that may bear it; None: none of a user's may."""

    name: str
    owner: str
    form: Form | None = None

    def refuse(self) -> None:
        """Raise :class:`UsageError` for features whose form is not known to be the one."""
        allowed = f" 'avbench data add' takes {self.form}." if self.form else ""
        raise UsageError(
            f"feature set name {self.name!r} is reserved for {self.owner}: results on other features would stand "
            f"beside printed numbers.{allowed} Choose another name, such as 'my-{self.name}'"
        )

    def refuse_unless_fit(self, draft: Draft | TemporalDraft) -> None:
        """Raise :class:`UsageError` for features that cannot be the genuine ones."""
        if self.form is None or not self.form.fits(draft):
            self.refuse()
