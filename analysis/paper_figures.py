"""The t-SNE figures of papers: which track, which classes, which embeddings."""

from __future__ import annotations

from dataclasses import dataclass

from avbench.harness.errors import UsageError, unknown

RAW_AND_LEARNED = ("raw-audio", "raw-visual", "visual+common")
"""Audio, visual, and the visual branch in the common space with the classes as crosses."""


@dataclass(frozen=True)
class PaperFigure:
    """One figure. ``classes``: names, seen before unseen; ``panels``: names of embeddings, ``+`` adds the classes'."""

    track: str
    classes: tuple[str, ...]
    panels: tuple[str, ...]


FIGURES = {
    "avca-2022/figure-3": PaperFigure(
        "activitynet/main",
        ("Scubadiving", "Playingcongas", "Wakeboarding", "Camelride", "Makingacake"),
        RAW_AND_LEARNED,
    ),
    "avca-2022/supplement-figure-1": PaperFigure(
        "vggsound/main",
        ("striking bowling", "playing squash", "playing timpani", "elephant trumpeting", "wood thrush calling"),
        RAW_AND_LEARNED,
    ),
    "avca-2022/supplement-figure-2": PaperFigure(
        "ucf/main", ("BabyCrawling", "BasketballDunk", "Bowling", "BandMarching", "PlayingFlute"), RAW_AND_LEARNED
    ),
    "hyper-2023/figure-3": PaperFigure(
        "ucf/cls",
        ("Archery", "CricketShot", "FieldHockeyPenalty", "HandstandPushups", "HandstandWalking", "PlayingCello"),
        ("visual",),
    ),
    "mdii-2023/figure-3": PaperFigure(
        "ucf/main",
        ("BandMarching", "CuttingInKitchen", "PlayingSitar", "ShavingBeard", "WritingOnBoard"),
        ("raw-audio", "audio", "raw-visual", "visual"),
    ),
}


UNNAMED = {
    "hyper-2023/figure-4": "three unseen classes of activitynet/cls from different parents, and three from one parent",
    "tcaf-2022/t-sne": "seven classes of ucf/cls-temporal",
}
"""Figures whose classes no text names, with what is known of them."""


def paper_figure(name: str) -> PaperFigure:
    """Raises :class:`UsageError`, with a suggestion, for an unknown figure and for one whose classes are not named."""
    if name in UNNAMED:
        raise UsageError(
            f"figure {name} shows {UNNAMED[name]}, and their names are not known: choose and state them, with --class"
        )
    if name not in FIGURES:
        raise unknown("figure", name, FIGURES)
    return FIGURES[name]
