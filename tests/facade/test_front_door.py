"""``import avbench``: what it loads, what it runs, what it judges, and what it says when something is wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient

import avbench
from avbench.harness.features.assemble import check
from avbench.harness.records.results import ResultsFolder
from avbench.harness.records.states import load_state, state_path
from avbench.methods.ale import ALE

ROOT = Path(__file__).parent.parent.parent
TINY = {"epochs": 1, "batches_per_epoch": 2, "batch_size": 16}


def test_every_name_is_there_and_none_loads_torch_or_pandas() -> None:
    code = (
        "import sys, avbench; assert 'pydantic' not in sys.modules; "
        "[getattr(avbench, name) for name in avbench.__all__]; assert dir(avbench) == avbench.__all__; "
        "assert not {'torch', 'pandas', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        avbench.runn  # type: ignore[attr-defined]  # noqa: B018


def test_a_run_is_the_command_line_s(tmp_path: Path) -> None:
    (record,) = avbench.run("ale", "ucf/demo", options=TINY, results=tmp_path)
    command = ["run", "--method", "ale", "--dataset", "ucf", "--features", "demo", "--results", str(tmp_path)]
    options = [word for name, value in TINY.items() for word in ("-p", f"{name}={value}")]
    code = "from avbench.harness.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *command, *options], check=True, capture_output=True, text=True)
    assert "1 of 1 runs are finished already" in done.stderr
    assert list(ResultsFolder(tmp_path).records()) == [record]


def test_a_state_is_kept_where_it_is_asked_for(tmp_path: Path) -> None:
    (record,) = avbench.run("ale", "ucf/demo", options=TINY, results=tmp_path)
    folder = ResultsFolder(tmp_path)
    assert not state_path(folder, record).exists()
    (again,) = avbench.run("ale", "ucf/demo", options=TINY, results=tmp_path, save_states=True)
    assert again.identity == record.identity
    assert load_state(folder, again)
    with pytest.raises(avbench.UsageError, match="leave out isolation"):
        avbench.run("ale", "ucf/demo", results=tmp_path, save_states=True, isolation="process")


def test_what_a_search_found_is_run_and_said(tmp_path: Path) -> None:
    spaces = {"learning_rate": "log:1e-3..1e-1", "margin": [0.1, 0.3], "dropout_inputs": None}
    found = avbench.tune("ale", "ucf/demo", spaces, trials=3, sampler="random", options=TINY, results=tmp_path)
    assert len(found.trials) == 3
    assert found.options == {**TINY, **found.best.values}
    (record,) = avbench.run("ale", "ucf/demo", options=found, results=tmp_path)
    assert record.tuned == found.tuned
    assert record.outcome
    assert found.best.value == record.outcome.validation[record.outcome.epochs - 1].HM
    (other,) = avbench.run("sje", "ucf/demo", options=TINY, results=tmp_path)
    assert other.tuned is None


def test_an_instance_s_options_are_fixed_but_for_those_that_are_searched(tmp_path: Path) -> None:
    ale = ALE(ALE.Options(margin=0.5, **TINY))
    found = avbench.tune(ale, "ucf/demo", {"margin": [0.1, 0.5]}, sampler="grid", results=tmp_path)
    assert found.subject.options["learning_rate"] == 0.001
    assert [trial.values for trial in found.trials] == [{"margin": 0.1}, {"margin": 0.5}]


def test_several_methods_seeds_and_protocols_come_in_order(tmp_path: Path) -> None:
    records = avbench.run(
        ["ale", "sje"],
        ["ucf/demo"],
        protocols=["aligned", "as-published"],
        seeds=[3, 5],
        options=TINY,
        results=tmp_path,
    )
    found = [(r.configuration.method, r.configuration.protocol.name, r.configuration.seed) for r in records]
    assert found == [(m, p, s) for m in ("ale", "sje") for p in ("aligned", "as-published") for s in (3, 5)]
    table = avbench.results(tmp_path)
    assert sorted(table["identity"]) == sorted(r.identity for r in records)
    assert avbench.results(records)["HM"].tolist() == [r.outcome.metrics.HM for r in records if r.outcome]


class Loose(avbench.Method):
    """Scores clips by the mean of their features and the class's first number: quick and of no use."""

    info = avbench.MethodInfo(slug="loose", title="Loose", year=2026, summary="None.", citation="None, 2026.")
    fits = 0

    class Options(avbench.Options):
        scale: float = 1.0

    def fit(self, train: avbench.TrainingSet, progress: avbench.Progress) -> None:
        type(self).fits += 1

    def predict(self, clips: avbench.Clips, classes: avbench.Classes) -> torch.Tensor:
        assert isinstance(self.options, Loose.Options)
        return self.options.scale * clips.visual.mean(1)[:, None] * classes.vectors[:, 0]

    def state(self) -> dict[str, torch.Tensor]:
        return {}

    def load_state(self, state: object) -> None:
        pass


def test_a_class_of_no_package_is_trained_anew_and_says_so(tmp_path: Path) -> None:
    first, second = (avbench.run(Loose, "ucf/demo", results=tmp_path)[0] for _ in range(2))
    assert Loose.fits == 4
    assert first.configuration.plugin.distribution == "loose"
    assert first.identity == second.identity
    (scaled,) = avbench.run(Loose(Loose.Options(scale=2)), "ucf/demo", results=tmp_path)
    assert scaled.configuration.options == {"scale": 2.0}
    with pytest.raises(avbench.UsageError, match="use jobs=1"):
        avbench.run(Loose, "ucf/demo", seeds=2, jobs=2, results=tmp_path)


def test_a_score_matrix_gives_the_numbers_of_a_run(tmp_path: Path) -> None:
    (record,) = avbench.run(Loose, "ucf/demo", results=tmp_path)
    assert record.outcome is not None
    method = Loose(Loose.Options())
    offset = avbench.calibrate(method.predict(*avbench.to_score("ucf/demo", "validation")), "ucf/demo")
    assert offset.value == record.outcome.offset
    clips, classes = avbench.to_score("ucf/demo")
    scores = method.predict(clips, classes)
    expected = record.outcome.metrics.model_dump()
    assert vars(avbench.evaluate(scores, "ucf/demo", offset=offset)) == pytest.approx(expected)
    order = np.random.default_rng(0).permutation(len(classes))
    shuffled = scores.numpy()[:, order]
    names = [classes.names[i] for i in order]
    assert vars(avbench.evaluate(shuffled, "ucf/demo", offset=offset, classes=names)) == pytest.approx(expected)
    features = avbench.load_features("ucf/demo")
    rows = [*range(*features.rows["test_seen"].indices(10**9)), *range(*features.rows["test_unseen"].indices(10**9))]
    for labels in (features.class_id[rows].tolist(), [features.split.classes[i].name for i in features.class_id[rows]]):
        found = avbench.evaluate(scores, "ucf/demo", offset=offset, labels=labels)
        assert vars(found) == pytest.approx(expected)


def scores() -> torch.Tensor:
    clips, classes = avbench.to_score("ucf/demo")
    return torch.randn(len(clips), len(classes))


ODD_ARGUMENTS = {
    "tracks": (None, 3, [3], b"ucf/demo", {"ucf/demo"}),
    "methods": (3, None, [None], {"ale"}),
    "protocols": (None, 3, [3]),
    "seeds": (None, "x", 1.5, [1.5], [None], [True]),
    "options": (3, ["epochs"], {1: 2}),
    "variants": (None, 3, [3]),
    "device": (None, 3),
    "results": (None, 3),
    "fresh": ("no", 1),
    "save_states": ("no", 1),
}


@pytest.mark.parametrize(("name", "given"), [(name, each) for name, all_ in ODD_ARGUMENTS.items() for each in all_])
def test_a_run_refuses_arguments_of_another_type_by_name(name: str, given: object, tmp_path: Path) -> None:
    arguments: dict[str, object] = {"methods": "ale", "tracks": "ucf/demo", "results": tmp_path, name: given}
    with pytest.raises(avbench.UsageError, match=rf"^{name}\b.*; give "):
        avbench.run(**arguments)  # type: ignore[arg-type]


def test_seeds_may_be_numbers_of_numpy(tmp_path: Path) -> None:
    records = avbench.run("ale", "ucf/demo", seeds=np.arange(2), options=TINY, results=tmp_path)  # type: ignore[arg-type]
    assert [r.configuration.seed for r in records] == [0, 1]


ODD_SCORES = {
    "masked array": lambda s: np.ma.masked_array(s.numpy(), mask=s.numpy() > 1),
    r"sparse tensor .* \.to_dense": lambda s: s.to_sparse(),
    "sparse tensor": lambda s: s.to_sparse_csr(),
    "meta device": lambda s: s.to("meta"),
    "nested tensor": lambda s: torch.nested.nested_tensor([s[0], s[1]]),
    "astype": lambda s: s.numpy().astype(np.longdouble),
    "byte order": lambda s: s.numpy().astype(">f8"),
    "a list": lambda s: s.tolist(),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("text", ODD_SCORES)
def test_arrays_that_are_not_plain_numbers_are_refused(text: str) -> None:
    odd = ODD_SCORES[text](scores())
    with pytest.raises(avbench.MethodError, match=text):
        avbench.evaluate(odd, "ucf/demo")
    features = avbench.load_features("ucf/demo")
    with pytest.raises(avbench.DataError, match=f"ucf/demo: audio is .*{text}"):
        check(replace(features, audio=odd), features.track)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: avbench.load_features(None), avbench.UsageError, "^track=None is of type NoneType"),  # type: ignore[arg-type]
        (lambda: avbench.to_score("ucf/demo", protocol=[]), avbench.UsageError, "^protocol="),  # type: ignore[arg-type]
        (lambda: avbench.evaluate(scores(), "ucf/demo", offset="x"), avbench.UsageError, "^offset='x'"),  # type: ignore[arg-type]
        (lambda: avbench.evaluate(scores(), "ucf/demo", classes=3), avbench.UsageError, "^classes=3"),  # type: ignore[arg-type]
        (lambda: avbench.calibrate(scores(), "ucf/demo", labels=3), avbench.UsageError, "^labels=3"),  # type: ignore[arg-type]
        (lambda: avbench.results(3), avbench.UsageError, "^source=3"),  # type: ignore[arg-type]
        (lambda: avbench.results([], verify=True), avbench.UsageError, "^verify=True needs the evidence"),
        (lambda: avbench.results(["x"]), avbench.UsageError, r"^source\[0\]='x'"),  # type: ignore[list-item]
        (lambda: avbench.run("avac", "ucf/demo"), avbench.UsageError, "Did you mean 'avca'"),
        (lambda: avbench.run("ale", "ufc/demo"), avbench.UsageError, "Did you mean 'ucf'"),
        (lambda: avbench.run("ale", "ucf"), avbench.UsageError, "such as 'ucf/demo'"),
        (lambda: avbench.run("ale", "ucf/demo", options={"epoch": 1}), avbench.UsageError, "Did you mean 'epochs'"),
        (lambda: avbench.run("ale", "ucf/demo", protocols="alinged"), avbench.UsageError, "Did you mean 'aligned'"),
        (lambda: avbench.run("ale", "ucf/demo", seeds=[-1]), avbench.UsageError, "seed"),
        (lambda: avbench.run(3, "ucf/demo"), avbench.UsageError, "a method is"),  # type: ignore[arg-type]
        (lambda: avbench.tune("ale", "ucf/demo", {"magin": None}), avbench.UsageError, "Did you mean 'margin'"),
        (lambda: avbench.tune("ale", "ucf/demo", {"margin": [0.1, 200]}), avbench.UsageError, "or equal to 100"),
        (lambda: avbench.tune("ale", "ucf/demo", {"margin": [object()]}), avbench.UsageError, "can be searched"),
        (lambda: avbench.tune("ale", "ucf/demo", ["margin"]), avbench.UsageError, "^spaces="),  # type: ignore[arg-type]
        (lambda: avbench.tune("ale", "ucf/demo", sampler="tpee"), avbench.UsageError, "Did you mean 'tpe'"),  # type: ignore[arg-type]
        (lambda: avbench.tune("ale", "ucf/demo", seeds=0), avbench.UsageError, "^seeds=0"),
        (lambda: avbench.tune("ale", []), avbench.UsageError, "name a track"),
        (lambda: avbench.load_features("ucf/mian"), avbench.UsageError, "Did you mean 'main'"),
        (lambda: avbench.run("ale", "ucf/demoo"), avbench.UsageError, "Did you mean 'demo'"),
        (lambda: avbench.load_features("ucf/main"), avbench.DataError, "ucf/main"),
        (lambda: avbench.to_score("ucf/demo", "tset"), avbench.UsageError, "Did you mean 'test'"),  # type: ignore[arg-type]
        (lambda: avbench.evaluate(scores()[:, :-1], "ucf/demo"), avbench.UsageError, r"\(clips, classes\)"),
        (lambda: avbench.evaluate(scores().long(), "ucf/demo"), avbench.MethodError, "floating"),
        (lambda: avbench.evaluate(scores().numpy().astype(int), "ucf/demo"), avbench.MethodError, "astype"),
        (lambda: avbench.evaluate(scores().numpy().tolist(), "ucf/demo"), avbench.MethodError, "NumPy array"),  # type: ignore[arg-type]
        (lambda: avbench.evaluate(scores() * float("nan"), "ucf/demo"), avbench.MethodError, "NaN"),
        (lambda: avbench.evaluate(scores(), "ucf/demo", offset=float("nan")), avbench.RecordError, "NaN"),
        (lambda: avbench.evaluate(scores(), "ucf/demo", classes=["Archrey"]), avbench.UsageError, "Did you mean"),
        (lambda: avbench.evaluate(scores(), "ucf/demo", classes=["Archery"]), avbench.UsageError, "have no column"),
        (lambda: avbench.evaluate(scores()[:1], "ucf/demo", labels=[999]), avbench.UsageError, "outside the search"),
        (lambda: avbench.evaluate(scores()[:1], "ucf/demo", labels=["Archrey"]), avbench.UsageError, "Did you mean"),
        (lambda: avbench.evaluate(scores()[:1], "ucf/demo", labels=[0.5]), avbench.UsageError, "neither the name"),  # type: ignore[list-item]
        (lambda: avbench.run("ale", "ucf/demo", seeds=0), avbench.UsageError, "at least 1"),
        (lambda: avbench.run("ale", "ucf/demo", jobs=0), avbench.UsageError, "at least 1"),
        (lambda: avbench.results("/nosuch"), avbench.UsageError, "no results in"),
    ],
)
def test_what_is_wrong_is_said(call: Callable[[], object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_the_notebook_runs(tmp_path: Path) -> None:
    notebook = nbformat.read(ROOT / "examples" / "notebook.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ()) if "data" in output]
    assert "two-maps" not in str(shown[0])
    assert "HM" in str(shown[-1])
