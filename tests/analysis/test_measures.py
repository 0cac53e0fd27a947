"""Each measure against a slow, obvious version, and against values that were worked out elsewhere."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from genuine_archive import FOLDERS, ROOT, class_list, needs_archive
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from simulated_results import TRACKS, simulated_run, split_of

from avbench.analysis.measures import confusion, distances, epochs, hyperbolicity, neighbours, norms, offsets
from avbench.analysis.measures import sensitivity as sens
from avbench.analysis.paper_figures import FIGURES
from avbench.harness.errors import UsageError
from avbench.harness.evaluation.evidence import TEST, VALIDATION
from avbench.harness.evaluation.metrics import evaluate
from avbench.harness.features.legacy import read_label_vectors
from avbench.harness.records.results import unpack_evidence
from avbench.harness.tracks import parse_track
from avbench.leaderboard.field import nearest_classes
from avbench.splits import load_split

RANDOM = np.random.default_rng(0)


def slow_delta(d: NDArray[np.float64], base: int) -> float:
    n = len(d)
    g = [[(d[base, x] + d[base, y] - d[x, y]) / 2 for y in range(n)] for x in range(n)]
    return max(min(g[x][z], g[z][y]) - g[x][y] for x in range(n) for y in range(n) for z in range(n))


def four_point_delta(d: NDArray[np.float64]) -> float:
    """Half the gap between the two largest of the three sums, over all fours: no base point."""
    worst = 0.0
    for a, b, c, e in permutations(range(len(d)), 4):
        sums = sorted([d[a, b] + d[c, e], d[a, c] + d[b, e], d[a, e] + d[b, c]])
        worst = max(worst, (sums[2] - sums[1]) / 2)
    return worst


def test_delta_is_that_of_its_definition() -> None:
    points = RANDOM.normal(size=(9, 3))
    d = cdist(points, points)
    whole = four_point_delta(d)
    for base in range(3):
        found = hyperbolicity.delta_at(d, base)
        assert found == pytest.approx(slow_delta(d, base), abs=1e-12)
        assert found <= whole + 1e-12 <= 2 * found + 2e-12


def test_points_of_a_tree_have_none() -> None:
    line = np.sort(RANDOM.normal(size=(40, 1)), axis=0)
    (draw,) = hyperbolicity.measure(line, clips=1500, draws=10, seed=0)
    assert abs(draw.delta) < 1e-14
    assert draw.points == 40


@pytest.mark.parametrize(("width", "rectified", "expected"), [(64, True, 0.15), (300, True, 0.10), (2, False, 0.19)])
def test_delta_of_known_clouds(width: int, rectified: bool, expected: float) -> None:
    """Values of 600 points, the code's form, with a noise of about 0.01."""
    points = np.random.default_rng(1).normal(size=(700, width))
    draws = hyperbolicity.measure(np.maximum(points, 0) if rectified else points, clips=600, draws=2, seed=0)
    assert len(draws) == 2
    assert draws[0] != draws[1]
    for draw in draws:
        assert draw.code == pytest.approx(expected, abs=0.025)
        assert draw.definition == 2 * draw.code


def test_each_form_has_its_own_deviation() -> None:
    draws = [hyperbolicity.Draw(4, delta=x, diameter=2.0) for x in (0.1, 0.3)]
    found = hyperbolicity.analyse({"x": draws}, simulated=False)
    assert "0.2000 ± 0.1414 by its definition, 0.1000 ± 0.0707 as the public code has it, 2 draws" in found.line
    figure = Figure()
    found.draw(figure)
    bars = [container.lines[2][0].get_segments()[0] for container in figure.axes[0].containers]
    assert [bar[1][0] - bar[0][0] for bar in bars] == pytest.approx([2 * 0.1414, 2 * 0.0707], abs=1e-4)


def test_too_few_points_have_no_delta() -> None:
    with pytest.raises(UsageError, match="4 points or more, here are 3"):
        hyperbolicity.measure(np.eye(3), clips=10, draws=1, seed=0)


def test_kept_order_counts_triples() -> None:
    before, after = (distances.cosine_distances(RANDOM.normal(size=(6, 4)).astype(np.float32)) for _ in range(2))
    triples = list(permutations(range(6), 3))
    slow = sum(np.sign(before[c, i] - before[c, j]) == np.sign(after[c, i] - after[c, j]) for c, i, j in triples)
    assert neighbours.kept_order(before, after) == pytest.approx(slow / len(triples))
    assert neighbours.kept_order(before, before) == 1


def test_nearest_classes_and_distances() -> None:
    vectors = RANDOM.normal(size=(7, 5)).astype(np.float32)
    found = neighbours.nearest(distances.cosine_distances(vectors))
    for c, row in enumerate(found.row):
        d = [1 - v @ vectors[c] / np.linalg.norm(v) / np.linalg.norm(vectors[c]) for v in vectors]
        d[c] = np.inf
        assert row == int(np.argmin(d))
        assert found.distance[c] == pytest.approx(min(d), abs=1e-6)
    result = distances.analyse("x", list("abcdefg"), vectors, None, simulated=False)
    assert len(result.frame) == 21
    with pytest.raises(UsageError, match="are zero"):
        distances.cosine_distances(np.zeros((3, 2), np.float32))


@needs_archive
def test_table_8_in_full_from_the_genuine_vectors() -> None:
    """EZ-AVGZL's nearest classes follow from permuted vectors over the 138 training classes, and from no others."""
    split = load_split("vggsound", "cls")
    path = ROOT / FOLDERS["vggsound"] / "features" / "cls_features" / "text" / "word_embeddings_vggsound_normed.npy"
    by_prompt = read_label_vectors(path.read_bytes(), str(path))
    members = sorted(split.classes_of("train"), key=lambda c: c.id)
    assert len(members) == len(class_list("vggsound", "cls", "stage_1_train")) == 138
    owners = {"permuted": [split.vector_owner(c) for c in members], "own": members}
    tables = {}
    for which, owned in owners.items():
        vectors = np.array([by_prompt[c.prompt] for c in owned], np.float32)
        frame = neighbours.analyse(which, [c.name for c in members], vectors, None, simulated=False).frame
        tables[which] = frame.set_index("class")
    printed = nearest_classes()
    assert [row.base for row in printed] == [c.name for c in members[:10]]
    for row in printed:
        permuted, own = tables["permuted"].loc[row.base], tables["own"].loc[row.base]
        assert (permuted["nearest_before"], own["nearest_before"]) == (row.nearest_permuted, row.nearest_own)
        assert permuted["distance_before"] == pytest.approx(float(row.distance_permuted), abs=6e-4)
        assert own["distance_before"] == pytest.approx(float(row.distance_own), abs=6e-4)


@pytest.mark.parametrize("track", [TRACKS[0], TRACKS[2]])
def test_confusions_count_clips(track: object) -> None:
    record, content = simulated_run("one", track, clips=4)  # type: ignore[arg-type]
    table, split = unpack_evidence(content, "here")[TEST], split_of(record.configuration.track)
    assert record.outcome
    zsl = confusion.zero_shot(table, split.classes)
    assert [c.id for c in zsl.classes] == [
        c.id for c in sorted(split.classes_of("test_unseen"), key=lambda c: (c.category, c.name))
    ]
    assert 100 * np.diag(zsl.shares).mean() == pytest.approx(record.outcome.metrics.ZSL)
    np.testing.assert_allclose(zsl.shares.sum(1), 1)
    i, j = 0, int(zsl.shares[0].argmax())
    own = table.label == zsl.classes[i].id
    assert zsl.shares[i, j] == (table.unseen_class[own] == zsl.classes[j].id).mean()
    whole = confusion.generalised(table, record.outcome.offset, split.classes)
    seen = table.seen_classes.size
    diagonal = 100 * np.diag(whole.shares)
    assert diagonal[:seen].mean() == pytest.approx(record.outcome.metrics.S)
    assert diagonal[seen:].mean() == pytest.approx(record.outcome.metrics.U)
    there, back = confusion.crossing(whole, seen)
    assert there == pytest.approx(whole.shares[:seen, seen:].sum() / seen)
    assert back == pytest.approx(1 - whole.shares[seen:, seen:].sum() / (len(whole.classes) - seen))


def test_curves_over_offsets_are_those_of_every_evaluation() -> None:
    record, content = simulated_run("one", clips=3)
    assert record.outcome
    tables = unpack_evidence(content, "here")
    steps = offsets.steps(tables[TEST])
    begins = steps["offset"].to_numpy()
    for row in (1, len(steps) // 2, len(steps) - 2):
        found = evaluate(tables[TEST], (begins[row] + begins[row + 1]) / 2)
        assert (steps["S"][row], steps["U"][row], steps["HM"][row]) == pytest.approx((found.S, found.U, found.HM))
    result = offsets.analyse({"one": offsets.Calibrated(tables, record.outcome.offset)}, simulated=True)
    assert set(result.frame["table"]) == {TEST, VALIDATION}
    assert f"test HM {record.outcome.metrics.HM:.2f} at" in result.line


def test_curves_over_epochs_are_those_of_the_record() -> None:
    record, _ = simulated_run("one", clips=3)
    assert record.outcome
    frame = epochs.analyse({"one": record.outcome}, simulated=True).frame
    assert frame["HM"].tolist() == [epoch.HM for epoch in record.outcome.validation]
    assert frame.loc[frame["chosen"], "epoch"].tolist() == [record.outcome.epochs]


def test_sensitivity_is_a_mean_over_seeds() -> None:
    runs = [
        simulated_run("one", seed=seed, skill=0.2 + share, clips=3, options={"epochs": 5, "share": share, "x": 1})[0]
        for share in (0.4, 0.1)
        for seed in (0, 1)
    ]
    result = sens.analyse(runs, "share")
    assert result.frame["share"].tolist() == [0.1, 0.4]
    hm = [r.outcome.metrics.HM for r in runs if r.outcome]
    assert result.frame["HM"].tolist() == pytest.approx([np.mean(hm[2:]), np.mean(hm[:2])])
    assert result.frame["HM_std"].tolist() == pytest.approx([np.std(hm[2:], ddof=1), np.std(hm[:2], ddof=1)])
    with pytest.raises(UsageError, match="Did you mean 'share'"):
        sens.analyse(runs, "shares")
    with pytest.raises(UsageError, match="no finished runs differ in x alone"):
        sens.analyse(runs, "x")
    other = [simulated_run("one", clips=3, options={"epochs": 5, "share": share, "x": 2})[0] for share in (0.1, 0.4)]
    with pytest.raises(UsageError, match="2 grids over share, which differ in x"):
        sens.analyse([*runs, *other], "share")
    assert sens.analyse([*runs, *other], "share", {"x": 2}).frame["seeds"].tolist() == [1, 1]


def test_lengths_and_shares_outside_a_radius() -> None:
    clips = {f"{kind}-{x}": RANDOM.normal(size=(20, 3)) for kind in ("encoded", "aligned") for x in norms.MODALITIES}
    clips["radius"] = np.full((20, 1), 1.5)
    found = dict(norms.facts(norms.lengths(clips, {"a": 3.0, "total": 4.0}, "x")))
    lengths = [sum(v**2 for v in row) ** 0.5 for row in clips["encoded-audio"]]
    assert found["audio mean"] == pytest.approx(sum(lengths) / 20)
    assert found["audio least"] == pytest.approx(min(lengths))
    outside = [sum(v**2 for v in row) >= 1.5**2 for row in clips["aligned-visual"]]
    assert found["visual share outside radius 1"] == sum(outside) / 20
    assert found["gradient a / total"] == 0.75
    with pytest.raises(UsageError, match="shows no encodings"):
        norms.lengths({}, {}, "x")


@pytest.mark.parametrize("name", FIGURES)
def test_classes_of_figures_are_those_of_their_split(name: str) -> None:
    figure = FIGURES[name]
    track = parse_track(figure.track)
    assert set(figure.classes) <= {c.name for c in load_split(track.dataset, track.features).classes}
