"""What papers and repositories claim, with the source of every number and the known faults of it. Read from ``data/``.

Values are as printed, also where they cannot be right: corrections are anomalies, never edits.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, HttpUrl

from avbench.harness.evaluation.metrics import harmonic_mean
from avbench.harness.records.record import Name, Percent
from avbench.harness.tracks import Track

Metric = Literal["S", "U", "HM", "ZSL", "AUSUC"]
METRICS: tuple[Metric, ...] = ("S", "U", "HM", "ZSL", "AUSUC")
PRINTED: tuple[Metric, ...] = ("S", "U", "HM", "ZSL")
"""The metrics that papers print."""

Origin = Literal["paper", "repository", "re-run", "log"]
"""Printed in a paper; stated by the authors' repository; somebody else's re-run; a development log or notes."""

ClaimKey = tuple[str, str, str, str, str]
"""Paper, table, row, data set and features of a printed row."""

STATED_BY_AUTHORS: tuple[Origin, ...] = ("paper", "repository")

COMPARABLE = "as-published"
"""The one protocol whose results may stand beside numbers printed in papers."""

BUILT_IN = "avbench"
"""The distribution of the built-in methods."""

_HALF_DIGIT = 0.005
_FLOAT = 1e-9


def _none_if_blank(value: Any) -> Any:
    return None if value == "" else value


def _words(value: Any) -> Any:
    return tuple(value.split()) if isinstance(value, str) else value


Blank = BeforeValidator(_none_if_blank)


class Row(BaseModel):
    """Base of the rows of ``data/``: frozen, nothing unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Paper(Row):
    """A paper or repository: one that states numbers, or one that is known but states none that we have seen."""

    slug: Name
    name: str
    title: str
    authors: str
    """In BibTeX form; empty where unknown."""
    venue: str
    year: Annotated[int | None, Blank]
    entry: Literal["inproceedings", "article", "misc", "unpublished"]
    bibtex_key: Name
    url: Annotated[HttpUrl | None, Blank]
    code: Annotated[HttpUrl | None, Blank]
    features: str
    """Feature sets it is known to use; only where it states no numbers."""
    source: str
    """Where we know of it from; only where it states no numbers."""
    note: str

    @property
    def bibtex(self) -> str:
        """One BibTeX entry. Fields that are not known are left out."""
        place = {"inproceedings": "booktitle", "article": "journal"}.get(self.entry, "note")
        fields = {
            "title": f"{{{self.title}}}",
            "author": self.authors,
            place: self.venue,
            "year": self.year,
            "url": self.url or self.code,
        }
        lines = [f"  {key} = {{{value}}}," for key, value in fields.items() if value]
        return "\n".join([f"@{self.entry}{{{self.bibtex_key},", *lines, "}"]).replace("&", r"\&")


class PublishedMethod(Row):
    """A method that somebody published numbers for. None: not known."""

    slug: Name
    title: str
    inputs: Annotated[Literal["averaged", "temporal"] | None, Blank]
    uses_unseen_names: Annotated[bool | None, Blank]
    generative: Annotated[bool | None, Blank]
    distribution: Annotated[str | None, Blank]
    """The package, other than avbench, whose runs under this name are this method: its authors' own, for example."""


class Claim(Row):
    """One printed row, as printed."""

    paper: Name
    table: str
    row: str
    """The row's name as printed."""
    method: Name
    variant: Annotated[str | None, Blank]
    """What differs from the full method, such as ``modality=audio``; None for the full method."""
    dataset: Name
    features: Name
    S: Annotated[Percent | None, Blank]
    U: Annotated[Percent | None, Blank]
    HM: Annotated[Percent | None, Blank]
    ZSL: Annotated[Percent | None, Blank]
    origin: Origin
    own: bool
    """The reporting paper's own method."""
    main: bool
    """From a table that compares methods, not an ablation, a log or a diagnostic."""
    source: str
    note: str

    @property
    def track(self) -> Track:
        return Track(self.dataset, self.features)

    @property
    def key(self) -> ClaimKey:
        """Unique among all claims."""
        return self.paper, self.table, self.row, self.dataset, self.features

    @property
    def values(self) -> Mapping[Metric, float]:
        """The metrics that are printed."""
        found: dict[Metric, float | None] = {"S": self.S, "U": self.U, "HM": self.HM, "ZSL": self.ZSL}
        return {metric: value for metric, value in found.items() if value is not None}

    @property
    def hm_follows(self) -> bool:
        """Whether HM can come from S and U, all three rounded to two decimals. True where one is not printed."""
        if self.S is None or self.U is None or self.HM is None:
            return True
        lowest = harmonic_mean(max(self.S - _HALF_DIGIT, 0), max(self.U - _HALF_DIGIT, 0)) - _HALF_DIGIT
        highest = harmonic_mean(self.S + _HALF_DIGIT, self.U + _HALF_DIGIT) + _HALF_DIGIT
        return lowest - _FLOAT <= self.HM <= highest + _FLOAT


class Anomaly(Row):
    """A fault or oddity of printed cells. One fault (``id``) may concern several rows."""

    id: Name
    kind: Literal["harmonic-mean", "disagreement", "impossible", "suspicious", "not-comparable", "extraction"]
    paper: Name
    table: str
    row: str
    dataset: Name
    features: Name
    metrics: Annotated[tuple[Metric, ...], BeforeValidator(_words), Field(min_length=1)]
    should_be: str
    """Empty where it cannot be decided."""
    reason: str

    @property
    def claim(self) -> ClaimKey:
        """The :attr:`Claim.key` it concerns."""
        return self.paper, self.table, self.row, self.dataset, self.features


class Remark(Row):
    """A fault that concerns no single cell: data set statistics, claims in prose, equations, settings left unstated."""

    id: Name
    topic: Literal["data", "claim", "equation", "setting"]
    papers: Annotated[tuple[Name, ...], BeforeValidator(_words), Field(min_length=1)]
    where: str
    printed: str
    should_be: str
    """What it should be, or what should have been stated."""
    why: str


class TrustedFeatures(Row):
    """The content hash of a feature set that is known to be the genuine one."""

    dataset: Name
    features: Name
    content_hash: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    source: str


@cache
def papers() -> Mapping[str, Paper]:
    """All papers and repositories by slug, in the order of the data."""
    return {paper.slug: paper for paper in read_rows("papers.csv", Paper)}


@cache
def published_methods() -> Mapping[str, PublishedMethod]:
    """All methods with published numbers by slug."""
    return {method.slug: method for method in read_rows("methods.csv", PublishedMethod)}


@cache
def claims() -> tuple[Claim, ...]:
    """Every published row."""
    return read_rows("claims.csv", Claim)


def method_key(slug: str, distribution: str) -> str:
    """What tells a run's method from all others: its name, or ``name~package`` where the name is reserved.

    The name of a published method is reserved for the built-in one and for the package that ``methods.csv`` names.
    """
    published = published_methods().get(slug)
    if published is None or distribution in (BUILT_IN, published.distribution):
        return slug
    return f"{slug}~{distribution}"


@cache
def anomalies() -> tuple[Anomaly, ...]:
    """Every known fault of a printed cell."""
    return read_rows("anomalies.csv", Anomaly)


@cache
def remarks() -> tuple[Remark, ...]:
    """Every known fault that concerns no single cell."""
    return read_rows("remarks.csv", Remark)


Trusted = frozenset[tuple[Track, str]]
"""Tracks with the content hash of their genuine features."""


@cache
def trusted_features() -> Trusted:
    """Tracks with the content hash of their genuine features. None is known yet: all features are unverified."""
    rows = read_rows("features.csv", TrustedFeatures)
    return frozenset((Track(row.dataset, row.features), row.content_hash) for row in rows)


def anomalies_of(claim: Claim) -> tuple[Anomaly, ...]:
    """The known faults of one printed row."""
    return _anomalies_by_claim().get(claim.key, ())


def claim_for(method: str, track: Track, among: Iterable[Claim] | None = None) -> tuple[Claim, ...]:
    """Main-table rows of the full method on a track, the most authoritative first; empty where there is none.

    The method's own paper (or repository) first, then the papers that report it, rows with S and U before rows
    without, older before newer. Re-runs and logs of others are no claims. ``among``: :func:`claims` unless given.
    """
    found = [
        claim
        for claim in (claims() if among is None else among)
        if claim.method == method
        and claim.track == track
        and claim.main
        and claim.variant is None
        and claim.origin in STATED_BY_AUTHORS
    ]
    return tuple(sorted(found, key=authority))


def authority(claim: Claim) -> tuple[bool, bool, bool, int]:
    """Sort key: own before quoted, stated by authors before others, complete before partial, older before newer."""
    return (
        not claim.own,
        claim.origin not in STATED_BY_AUTHORS,
        len(claim.values) < len(PRINTED),
        papers()[claim.paper].year or 9999,
    )


@cache
def _anomalies_by_claim() -> Mapping[tuple[str, ...], tuple[Anomaly, ...]]:
    found: dict[tuple[str, ...], tuple[Anomaly, ...]] = {}
    for anomaly in anomalies():
        found[anomaly.claim] = (*found.get(anomaly.claim, ()), anomaly)
    return found


_Row = TypeVar("_Row", bound=Row)


def read_rows(file: str, model: type[_Row]) -> tuple[_Row, ...]:
    """The rows of one table of ``data/``, validated."""
    text = (resources.files("avbench.leaderboard") / "data" / file).read_text("utf-8")
    return tuple(model.model_validate(row) for row in csv.DictReader(text.splitlines()))
