"""What `avbench run` says that it will do, and what a configuration file, a grid and variants make of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from simulated_archive import made_up
from simulated_results import configuration_of, record_of

from avbench.harness.cli import main, progress
from avbench.harness.cli.given import combinations, parse_given
from avbench.harness.errors import UsageError
from avbench.harness.evaluation.two_stages import Epoch, EpochDone
from avbench.harness.features.archive import find_sets, read_set
from avbench.harness.features.store import Store
from avbench.harness.records.results import ResultsFolder
from avbench.harness.tracks import Track

Call = Callable[..., tuple[int, list[dict[str, Any]], str]]


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def plan(capsys: pytest.CaptureFixture[str]) -> Call:
    """``avbench run --dry-run --json``: exit code, planned runs, standard error."""

    def run(*arguments: str) -> tuple[int, list[dict[str, Any]], str]:
        code = 0
        try:
            main(["run", *arguments, "--dry-run", "--json"])
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, json.loads(captured.out or "[]"), captured.err

    return run


def install(tmp_path: Path, dataset: str) -> None:
    (found,) = find_sets(made_up(tmp_path / "archive", dataset, "main"))
    Store().save(read_set(found, allow_missing=True))


def test_the_first_line_says_what_will_run(plan: Call) -> None:
    arguments = ["--method", "ale", "--method", "sje", "--dataset", "ucf", "--features", "demo", "--seeds", "3"]
    code, rows, err = plan(*arguments, "--device", "cpu")
    assert code == 0
    first = err.splitlines()[0]
    assert first.startswith(
        "6 runs: 2 methods (ale, sje), 1 track (ucf/demo), 1 protocol (aligned), 3 seeds (0-2), on cpu ("
    )
    assert len(rows) == 6
    assert {row["state"] for row in rows} == {"new"}
    assert not Path("results").exists()


def test_it_is_the_first_line_also_where_there_is_more_to_say(plan: Call) -> None:
    _, rows, err = plan("--method", "ale", "--all-datasets")
    lines = err.splitlines()
    assert lines[0].startswith("3 runs: ")
    assert "No real features of ucf, activitynet, vggsound are installed" in lines[1]
    assert len(rows) == 3


def test_a_dry_run_knows_what_is_there(plan: Call, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--method", "ale", "--dataset", "ucf", "--features", "demo"]
    _, (row,), _ = plan(*arguments)
    main(["run", *arguments, "-p", "epochs=1", "-p", "batches_per_epoch=1"])
    capsys.readouterr()
    _, (again,), _ = plan(*arguments)
    assert again["identity"] == row["identity"]
    assert again["state"] == "new"
    assert row["seconds"] is None
    assert again["seconds"] > 0  # by the run with another budget
    _, (known,), _ = plan(*arguments, "-p", "epochs=1", "-p", "batches_per_epoch=1")
    assert known["state"] == "finished already"
    _, (fresh,), _ = plan(*arguments, "-p", "epochs=1", "-p", "batches_per_epoch=1", "--fresh")
    assert fresh["state"] == "repeated"
    _, (stateless,), err = plan(*arguments, "-p", "epochs=1", "-p", "batches_per_epoch=1", "--save-states")
    assert stateless["state"] == "finished without its state, repeated for it"
    assert "To do: 1 run," in err


def test_named_data_sets_without_features_are_an_error(plan: Call, tmp_path: Path) -> None:
    code, rows, err = plan("--method", "ale", "--dataset", "vggsound")
    assert (code, rows) == (2, [])
    assert "no features of vggsound are installed" in err
    assert "--features demo" in err
    install(tmp_path, "ucf")
    code, rows, err = plan("--method", "ale", "--dataset", "ucf", "--dataset", "vggsound")
    assert (code, rows) == (2, [])
    assert "no features of vggsound are installed" in err


def test_all_data_sets_says_what_is_left_out(plan: Call, tmp_path: Path) -> None:
    install(tmp_path, "ucf")
    code, rows, err = plan("--method", "ale", "--all-datasets")
    assert code == 0
    assert [row["run"] for row in rows] == ["ale ucf/main aligned seed 0"]
    assert "Left out: activitynet, vggsound" in err
    assert "--features demo" in err


def test_several_values_of_an_option_are_a_grid(plan: Call) -> None:
    demo = ["--method", "ale", "--dataset", "ucf", "--features", "demo"]
    _, rows, err = plan(*demo, "-p", "epochs=2", "-p", "epochs=3", "-p", "batch_size=16,32,16")
    assert "2 values (epochs=2, epochs=3), 2 values (batch_size=16, batch_size=32)" in err
    assert [row["run"].partition("seed 0 ")[2] for row in rows] == [
        "epochs=2 batch_size=16",
        "epochs=2 batch_size=32",
        "epochs=3 batch_size=16",
        "epochs=3 batch_size=32",
    ]
    assert len({row["identity"] for row in rows}) == 4


def test_commas_inside_json_are_part_of_the_value() -> None:
    assert parse_given(["a=[1,2]", 'b="x,y"', "c=x,y", "d=0.1,1", "e=true", "f=a=b"]) == {
        "a": [[1, 2]],
        "b": ["x,y"],
        "c": ["x", "y"],
        "d": [0.1, 1],
        "e": [True],
        "f": ["a=b"],
    }
    assert list(combinations({})) == [{}]
    assert parse_given(["a=1", "a=true"]) == {"a": [1, True]}
    with pytest.raises(UsageError, match="nested too deeply"):
        parse_given(["a=" + "[" * 60_000])


def test_variants_apply_to_the_methods_that_have_them(plan: Call) -> None:
    arguments = ["--dataset", "ucf", "--features", "demo", "--variant", "loss=-l_r"]
    code, rows, err = plan("--method", "ale", "--method", "avca", *arguments)
    assert code == 0
    assert [row["run"] for row in rows] == ["avca loss=-l_r ucf/demo aligned seed 0"]
    assert "Variant loss=-l_r: not of ale, which has none of that name." in err
    code, _, err = plan("--method", "ale", "--method", "avca", *arguments, "--variant", "loss=-l_rr")
    assert code == 2
    assert "Did you mean 'loss=-l_r'" in err


FILE = 'method = "ale"\ndataset = "ucf"\nfeatures = "demo"\n'


def options_of(plan: Call, *arguments: str) -> list[str]:
    """Identities: they tell whether the options are the same."""
    code, rows, err = plan(*arguments)
    assert code == 0, err
    return [row["identity"] for row in rows]


@pytest.mark.parametrize(
    "text",
    [
        FILE + "[options]\nepochs = 2\nbatches_per_epoch = 3\n",
        FILE + 'option = ["epochs=2"]\n[options]\nbatches_per_epoch = 3\n',
        "\ufeff" + FILE + "[options]\nepochs = 2\nbatches_per_epoch = 3\n",
    ],
)
def test_options_of_a_file_stay_beside_those_of_the_command_line(plan: Call, text: str) -> None:
    Path("c.toml").write_text(text, "utf-8")
    plain = ["--method", "ale", "--dataset", "ucf", "--features", "demo", "-p", "batches_per_epoch=3"]
    assert options_of(plan, "--config", "c.toml") == options_of(plan, *plain, "-p", "epochs=2")
    with_size = options_of(plan, *plain, "-p", "epochs=2", "-p", "batch_size=32")
    assert options_of(plan, "--config", "c.toml", "-p", "batch_size=32") == with_size
    assert options_of(plan, "--config", "c.toml", "-p", "epochs=4") == options_of(plan, *plain, "-p", "epochs=4")


def test_the_command_line_wins_over_a_file_that_excludes_it(plan: Call) -> None:
    Path("c.toml").write_text('method = "ale"\nfeatures = "demo"\nall-datasets = true\nseeds = 3\n')
    assert len(options_of(plan, "--config", "c.toml")) == 9
    assert len(options_of(plan, "--config", "c.toml", "--dataset", "ucf", "--seed", "7")) == 1
    Path("c.toml").write_text('method = "ale"\nfeatures = "demo"\ndataset = "ucf"\nseed = [7, 8]\n')
    assert len(options_of(plan, "--config", "c.toml", "--all-datasets", "--seeds", "1")) == 3
    code, _, err = plan("--config", "c.toml", "--all-datasets", "--dataset", "ucf")
    assert code == 2
    assert "not both" in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('options = "epochs=2"', "options is 'epochs=2'; write a table"),
        ("options = [1]", "options is [1]; write a table"),
        ("results = 3", "results is 3; text is expected"),
        ("seed = 1.5", "seed is 1.5; a whole number is expected"),
        ("seed = true", "seed is True; a whole number is expected"),
        ("seeds = [1, 2]", "seeds is a list; one value is expected"),
        ("seeds = 0", "line 1: seeds: 0 is not in the range"),
        ('compile = "onn"', "compile: 'onn' is not one of"),
        ("seed = -1", "line 1: seed: -1 is not in the range"),
        ('all-datasets = "yes"', "true or false is expected"),
        ("fresh = 1", "true or false is expected"),
        ("method = [[1]]", "method is [1]; text is expected"),
        ('device = ["cpu"]', "device is a list"),
        ("option = [1]", "option is 1; text is expected"),
        ("sed = 1", "Did you mean 'seed'"),
        ('config = "x"', "unknown setting"),
        ("[options]\nepochs = 1979-05-27", "options.epochs is datetime.date"),
        ("[options]\nepochs = nan", "epochs"),
        ("options = " + "[" * 60_000, "not readable as TOML"),
        ("\x00", "not readable as TOML"),
        ('option = ["epochs=2"]\n[options]\nepochs = 3', "option = 'epochs=2' and options.epochs = 3 both set epochs"),
        ("all-datasets = true\nall_datasets = false", "all_datasets stands there twice"),
    ],
)
def test_a_file_of_another_kind_is_refused_by_key(plan: Call, text: str, message: str) -> None:
    arguments = ["--config", "c.toml"]
    if "method" not in text:
        arguments += ["--method", "ale"]
    if "all-datasets" not in text:
        arguments += ["--dataset", "ucf"]
    Path("c.toml").write_text(text, "utf-8")
    code, rows, err = plan(*arguments, "--features", "demo")
    assert (code, rows) == (2, []), err
    assert message in err
    assert "Traceback" not in err


def test_off_a_terminal_epochs_are_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 10.5, 11.0, 12.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.RunProgress(["one", "two"]) as bars:
        for epoch in (1, 2, 3, 4, 5):
            bars.epoch(0, EpochDone(1, epoch, 5, Epoch(1.0, 2.0, 3.0, 0.5)))
        monkeypatch.undo()
        record = record_of(configuration_of("one", Track("ucf", "main"), "aligned", 0))
        bars.finished(0, record)
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "epoch" in line] == [
        f"one, stage 1: epoch {epoch} of 5, validation HM 3.00" for epoch in (1, 3, 5)
    ]


def test_the_time_left_is_told_once_the_first_run_is_known(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    main(["run", "--method", "ale", "--dataset", "ucf", "--features", "demo", "--seeds", "3", "-p", "epochs=1"])
    err = capsys.readouterr().err
    assert err.count("for the 2 that are left") == 1
    assert len(list(ResultsFolder(tmp_path / "results").records())) == 3
