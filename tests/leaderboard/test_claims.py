from __future__ import annotations

import csv
import os
import re
from collections import defaultdict
from pathlib import Path

import pytest
from pydantic import ValidationError

from avbench.harness.tracks import Track
from avbench.leaderboard.claims import (
    PRINTED,
    Claim,
    anomalies,
    anomalies_of,
    claim_for,
    claims,
    papers,
    published_methods,
    remarks,
    trusted_features,
)

PUBLISHED = Path(
    os.environ.get("AVBENCH_PUBLISHED", Path(__file__).parents[2].parent / "shared" / "published")
).resolve()
needs_published = pytest.mark.skipif(
    not (PUBLISHED / "results.csv").exists(), reason=f"no collected tables at {PUBLISHED} (set AVBENCH_PUBLISHED)"
)


def _rows(name: str) -> list[dict[str, str]]:
    with (PUBLISHED / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _printed(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _on_averages(features: str) -> str:
    """The feature set as the collected tables name it: they do not tell features over time from averaged ones."""
    return features.removesuffix("-temporal")


def _find(paper: str, table: str, row: str, dataset: str, features: str) -> Claim:
    return next(c for c in claims() if c.key == (paper, table, row, dataset, features))


@needs_published
def test_every_row_of_the_collected_tables_is_here_as_printed() -> None:
    ours = {
        (
            *(c.paper, c.table, c.row, c.method, c.variant or "", c.dataset, _on_averages(c.features)),
            *(_printed(getattr(c, m)) for m in PRINTED),
            *(str(int(c.own)), c.note),
        )
        for c in claims()
        if c.origin == "paper"
    }
    collected = {tuple(row.values()) for row in _rows("results.csv")}
    assert len(collected) == 309
    assert ours == collected


@needs_published
def test_every_row_from_beyond_the_five_papers_is_here() -> None:
    names = {paper.name: paper for paper in papers().values()}
    numbers = {
        (c.paper, c.row, c.dataset, _on_averages(c.features), c.source, c.note): c
        for c in claims()
        if c.origin != "paper"
    }
    for row in _rows("beyond_seeds.csv"):
        paper = names[row["paper"]]
        assert (paper.title, paper.venue, str(paper.year or "")) == (row["title"], row["venue"], row["year"])
        if any(row[metric] for metric in PRINTED):
            claim = numbers.pop(
                (paper.slug, row["method"], row["dataset"], row["features"], row["source"], row["note"])
            )
            assert [_printed(getattr(claim, m)) for m in PRINTED] == [row[m] for m in PRINTED]
        else:
            assert (paper.features, paper.source, paper.note) == (row["features"], row["source"], row["note"])
    assert not numbers


@needs_published
def test_every_collected_inconsistency_is_here() -> None:
    text = (PUBLISHED / "ANOMALIES.md").read_text("utf-8")
    collected = set(re.findall(r"^\| ([A-Z]\d+) \|", text, flags=re.M))
    assert len(collected) == 74
    assert collected <= {a.id for a in anomalies()} | {r.id for r in remarks()}


def test_keys_are_unique_and_everything_refers_to_something() -> None:
    keys = [claim.key for claim in claims()]
    assert len(set(keys)) == len(keys)
    by_key = dict(zip(keys, claims(), strict=True))
    for claim in claims():
        assert claim.paper in papers()
        assert claim.method in published_methods()
        assert claim.values
        assert claim.origin == "paper" or claim.source
    for anomaly in anomalies():
        assert set(anomaly.metrics) <= set(by_key[anomaly.claim].values), anomaly
    for remark in remarks():
        assert set(remark.papers) <= set(papers())


def test_harmonic_means_that_do_not_follow_are_exactly_the_marked_ones() -> None:
    marked = {a.claim for a in anomalies() if a.kind == "harmonic-mean"}
    assert {claim.key for claim in claims() if not claim.hm_follows} == marked
    assert len(marked) == 3
    assert sum(None not in (c.S, c.U, c.HM) for c in claims() if c.origin == "paper") == 188


def test_unseen_accuracies_above_zsl_are_exactly_the_marked_ones() -> None:
    marked = {a.claim for a in anomalies() if a.kind == "impossible"}
    assert {c.key for c in claims() if c.U is not None and c.ZSL is not None and c.U > c.ZSL} == marked


def test_main_tables_that_disagree_are_exactly_the_marked_ones() -> None:
    printed = defaultdict(set)
    for claim in claims():
        if claim.main and claim.variant is None and claim.origin in ("paper", "repository"):
            for metric, value in claim.values.items():
                printed[claim.method, claim.track, metric].add(value)
    disagree = {key for key, values in printed.items() if len(values) > 1}
    assert disagree == {("cjme", Track("ucf", "main"), "HM"), ("devise", Track("vggsound", "main"), "ZSL")}
    for method, track, metric in disagree:
        wrong = claim_for(method, track)[-1]
        assert any(a.kind == "disagreement" and metric in a.metrics for a in anomalies_of(wrong))


def test_full_method_rows_of_one_paper_that_disagree_are_marked() -> None:
    full = [c for c in claims() if c.paper == "ez-avgzl-2024" and c.method == "ez-avgzl" and c.features == "cls"]
    headline = _find("ez-avgzl-2024", "table-1", "EZ-AVGZL (ours)", "vggsound", "cls")
    ranking = _find("ez-avgzl-2024", "table-5", "L_sem rank, L_sep v", "vggsound", "cls")
    for claim in full:
        if claim.values in (headline.values, ranking.values) and "prox" not in claim.row:
            assert "X3" in {a.id for a in anomalies_of(claim)}, claim.key


def test_methods_over_time_have_tracks_of_their_own() -> None:
    for claim in claims():
        over_time = published_methods()[claim.method].inputs == "temporal"
        assert claim.features.endswith("-temporal") == over_time, claim.key


def test_the_own_paper_comes_first() -> None:
    assert [c.paper for c in claim_for("avca", Track("ucf", "main"))] == ["avca-2022", "hyper-2023", "mdii-2023"]
    assert [c.paper for c in claim_for("cjme", Track("ucf", "main"))] == ["avca-2022", "hyper-2023", "mdii-2023"]
    assert claim_for("tcaf", Track("ucf", "cls")) == ()
    tcaf = claim_for("tcaf", Track("ucf", "cls-temporal"))
    assert [(c.paper, c.HM) for c in tcaf] == [("tcaf-2022", 50.78), ("ez-avgzl-2024", 50.78)]
    assert claim_for("avca", Track("ucf", "demo")) == ()
    assert claim_for("no-such-method", Track("ucf", "main")) == ()


def test_a_misprint_is_kept_as_printed_and_marked() -> None:
    claim = _find("mdii-2023", "table-2", "CJME", "ucf", "main")
    assert claim.HM == 1.48
    assert {a.id: a.should_be for a in anomalies_of(claim)} == {"H1": "12.48", "X1": "12.48"}


def test_bibtex_is_one_entry_per_paper() -> None:
    keys = [paper.bibtex_key for paper in papers().values()]
    assert len(set(keys)) == len(keys)
    entry = papers()["avca-2022"].bibtex
    assert entry.startswith("@inproceedings{mercea2022avca,\n")
    assert "booktitle = {CVPR}" in entry
    assert "Riesch, Lukas" in entry
    assert r"Electronics \& Information" in papers()["mft-2025"].bibtex


def test_no_feature_hash_is_trusted_before_one_is_known() -> None:
    assert trusted_features() == frozenset()


@pytest.mark.parametrize("change", [{"HM": "nan"}, {"S": "-1"}, {"U": "100.5"}, {"method": "a/b"}, {"extra": "1"}])
def test_broken_rows_are_refused(change: dict[str, str]) -> None:
    row = {k: "" if v is None else v for k, v in claims()[0].model_dump().items()}
    Claim.model_validate(row)
    with pytest.raises(ValidationError):
        Claim.model_validate(row | change)
