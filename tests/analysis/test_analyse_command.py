"""``avbench run --save-states`` and ``avbench analyse``: from runs of the demo to data, pictures and lines."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from avbench.analysis.subject import of_run
from avbench.harness.cli import main
from avbench.harness.errors import AvbenchError, RecordError, UsageError
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.records.states import load_state, save_state, state_path
from avbench.harness.running.fitted import fitted
from avbench.harness.running.tidy import tidy_up

BUDGET = ["-p", "epochs=1", "-p", "batches_per_epoch=3", "-p", "batch_size=32"]
METHODS = ("avca", "hyper-alignment", "ez-avgzl", "mdii")
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of each method and its state."""
    place = tmp_path_factory.mktemp("trained")
    named = [word for method in METHODS for word in ("--method", method)]
    words = [*named, "--dataset", "ucf", "--features", "demo", *BUDGET, "--save-states"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        main(["run", *words, "--json"])
    return place


@pytest.fixture
def place(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ResultsFolder:
    """The same in a folder of the test's own."""
    shutil.copytree(trained / "results", tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    return ResultsFolder(tmp_path / "results")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = 0
        capsys.readouterr()
        try:
            main([*arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def run_of(folder: ResultsFolder, method: str) -> RunRecord:
    return next(r for r in folder.records() if isinstance(r, RunRecord) and r.configuration.method == method)


@pytest.mark.parametrize("method", METHODS)
def test_a_state_gives_its_runs_own_evidence(place: ResultsFolder, method: str) -> None:
    record = run_of(place, method)
    found = fitted(record, place)
    again = found.stage.evidence(found.method)
    kept = place.evidence(record)["test"]
    assert all((a == b).all() for a, b in zip(again.to_arrays().values(), kept.to_arrays().values(), strict=True))


def test_a_state_is_bound_to_its_run(place: ResultsFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    record, other = run_of(place, "avca"), run_of(place, "hyper-alignment")
    path = state_path(place, record)
    whole = path.read_bytes()
    shutil.copy(state_path(place, other), path)
    with pytest.raises(RecordError, match=r"is not the state of run \w+: its identity is another"):
        load_state(place, record)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(RecordError, match="hash differs"):
        load_state(place, record)
    for broken in (b"", whole[:50], b"\xff" * 100):
        path.write_bytes(broken)
        with pytest.raises(RecordError, match="not readable as a fitted state"):
            load_state(place, record)
    assert save_state(place, record, load_file_of(whole)) == path
    assert path.read_bytes() == whole, "equal tensors give equal bytes"
    path.unlink()
    with pytest.raises(UsageError, match="--save-states"):
        load_state(place, record)
    path.write_bytes(whole)
    monkeypatch.setattr("avbench.harness.running.fitted.source_hash", lambda _: "0" * 64)
    with pytest.raises(UsageError, match="of other code than the installed avca"):
        fitted(record, place)


def load_file_of(content: bytes) -> dict[str, torch.Tensor]:
    path = Path("copy.safetensors")
    path.write_bytes(content)
    return load_file(path)


def test_a_state_comes_and_goes_with_its_run(place: ResultsFolder, call: Call) -> None:
    record = run_of(place, "avca")
    path = state_path(place, record)
    whole = path.read_bytes()
    path.unlink()
    words = ["run", "--method", "avca", "--dataset", "ucf", "--features", "demo", *BUDGET]
    assert call(*words)[0] == 0
    assert not path.exists(), "a finished run is not repeated"
    assert call(*words, "--save-states")[0] == 0
    assert path.read_bytes() == whole, "repeated for its state, and the same bits"
    stranger = path.with_name(path.name.replace(path.name[21:33], "0" * 12))
    stranger.write_bytes(b"of an earlier repetition")
    place.save(record, place.evidence_bytes(record))
    assert path.exists()
    assert not stranger.exists()
    assert call("results", "remove", record.identity[:8], "--yes")[0] == 0
    assert not path.exists()
    tidy_up(place)


def test_gradients_of_terms_are_those_of_autograd(place: ResultsFolder) -> None:
    found = fitted(run_of(place, "hyper-alignment"), place)
    train = found.stage.training_set(unseen_names=False)
    before = found.method.state()
    torch.manual_seed(0)
    lengths = found.method.gradient_norms(train, 0)
    after = found.method.state()
    assert all(torch.equal(before[name], after[name]) for name in before)
    torch.manual_seed(0)
    method, total = found.method, []
    _, net = method._model()  # type: ignore[attr-defined]
    batches = method._batches(train, 10, 0)  # type: ignore[attr-defined]
    batches.draw()
    net.train()
    for _ in range(10):
        net.zero_grad()
        method.loss(net, batches.next()).backward()  # type: ignore[attr-defined]
        total.append(sum(float(p.grad.square().sum()) for p in net.parameters() if p.grad is not None) ** 0.5)
    assert lengths["total"] == pytest.approx(sum(total) / 10, rel=1e-4)
    assert set(lengths) == {"avca", "alignment", "total"}
    assert 0 < lengths["alignment"] < lengths["total"]


ANALYSES = {
    "tsne": ["tsne", "avca", "mdii", "--figure", "avca-2022/supplement-figure-2", "--iterations", "250"],
    "hyperbolicity": ["hyperbolicity", "avca", "--on", "visual", "--on", "raw-audio", "--clips", "60", "--draws", "2"],
    "norms": ["norms", "hyper-alignment", "avca"],
    "neighbours": ["neighbours", "ez-avgzl", "--classes", "train"],
    "distances": ["distances", "ez-avgzl"],
    "confusion": ["confusion", "avca", "ez-avgzl"],
    "generalised": ["confusion", "avca", "--generalised"],
    "epochs": ["epochs", "avca", "mdii"],
    "offsets": ["offsets", "avca"],
}
SAYS = {
    "tsne": "silhouette in the original space: raw-audio",
    "hyperbolicity": "by its definition",
    "norms": "gradient alignment / total",
    "neighbours": "order kept in",
    "distances": "1275 pairs of 51 classes: before mean",
    "confusion": "(ZSL)",
    "generalised": "unseen to seen",
    "epochs": "validation HM",
    "offsets": "at the best one for the test itself",
}


@pytest.mark.parametrize("name", ANALYSES)
def test_an_analysis_gives_data_a_picture_and_a_line(name: str, place: ResultsFolder, call: Call) -> None:
    words = [run_of(place, word).identity[:12] if word in METHODS else word for word in ANALYSES[name]]
    files = {kind: Path(f"a.{kind}") for kind in ("csv", "json", "svg")}
    wanted = [word for kind, path in files.items() for word in (f"--{kind}", str(path))]
    code, out, err = call("analyse", *words, *wanted)
    assert code == 0, err
    assert SAYS[name] in out
    assert "simulated" in err
    assert json.loads(files["json"].read_text("utf-8"))
    assert "," in files["csv"].read_text("utf-8").splitlines()[0]
    first = files["svg"].read_bytes()
    assert b"simulated features" in first
    assert call("analyse", *words, "--svg", "b.svg")[0] == 0
    assert Path("b.svg").read_bytes() == first
    assert call("analyse", *words, "--svg", "b.svg", "--theme", "dark")[0] == 0
    assert Path("b.svg").read_bytes() != first


def test_a_track_by_itself(place: ResultsFolder, call: Call) -> None:
    code, out, _ = call("analyse", "neighbours", "--track", "ucf/demo", "--protocol", "as-published")
    assert (code, "before and" in out) == (0, False)
    _, aligned, _ = call("analyse", "neighbours", "--track", "ucf/demo")
    assert aligned != out, "permuted label vectors have other neighbours"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["tsn"], "Did you mean 'tsne'"),
        (["tsne", "avca", "--figure", "avca-2022/figure-33"], "Did you mean 'avca-2022/figure-3'"),
        (["tsne", "avca", "--figure", "hyper-2023/figure-4"], "their names are not known: choose and state them"),
        (["tsne", "avca", "--figure", "tcaf-2022/t-sne"], "seven classes of ucf/cls-temporal"),
        (["tsne", "avca", "--figure", "avca-2022/figure-3"], "shows classes of activitynet/main"),
        (["tsne", "avca", "--class", "Bowlin", "--class", "Archery"], "Did you mean 'Bowling'"),
        (
            ["tsne", "avca", "--class", "Bowling", "--class", "Archery"],
            "needs more than 30 points",
        ),
        (["tsne", "avca", "--class", "Bowling"], "two classes or more"),
        (["tsne", "avca", "--class", "Basketball", "--class", "Archery"], "ucf/demo has no test clips of class"),
        (["tsne", "avca", "--class", "Bowling", "--panel", "visul"], "Did you mean 'visual'"),
        (["tsne", "--track", "ucf/demo"], "name classes with --class"),
        (["tsne"], "name runs by the start of their identities, or a track"),
        (["norms"], "start of their identities; 'avbench results list' shows them"),
        (["norms", "mdii"], "shows no encodings"),
        (["epochs", "0000000000"], "no run has an identity that starts with '0000000000'"),
        (["epochs", "avca", "--svg", "x.exe"], "name a .svg file"),
        (["hyperbolicity", "--track", "ucf/nothing"], "unknown feature set 'nothing'"),
        (["neighbours", "--track", "ucf/demo", "--protocol", "aligne"], "Did you mean 'aligned'"),
        (["sensitivity", "masked_shares"], "Did you mean 'masked_share'"),
    ],
)
def test_what_cannot_be_analysed_is_said(words: list[str], complaint: str, place: ResultsFolder, call: Call) -> None:
    named = [run_of(place, word).identity[:12] if word in METHODS else word for word in words]
    code, out, err = call("analyse", *named)
    assert code in (2, 3), err
    assert complaint in err
    assert not out


def test_a_damaged_run_is_refused(place: ResultsFolder) -> None:
    record = run_of(place, "avca")
    place.evidence_path(record).write_bytes(b"")
    with pytest.raises(AvbenchError, match="does not verify"):
        of_run(record, place)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom avbench.harness.cli import cli\n"
        "for words in (['analyse', '--help'], ['analyse', 'tsne', '--help'], ['analyse', 'sensitivity', '--help']):\n"
        "    cli.main(words, standalone_mode=False)\n"
        "print('loaded:', *{'torch', 'pandas', 'sklearn', 'matplotlib', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.splitlines()[-1].strip() == "loaded:"
