"""``avbench data`` from the outside: output, exit codes, and what is left behind."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from simulated_archive import made_up, snapshot, zipped
from simulated_arrays import ArrayFiles, array_files

from avbench.harness.cli import cli, main
from avbench.harness.features.store import Store

COMMAND = [sys.executable, "-c", "from avbench.harness.cli import main; main()", "data"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AVBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    for features in ("main", "cls"):
        made_up(folder, "ucf", features, clips=1)
    return folder


@pytest.fixture
def files(tmp_path: Path) -> ArrayFiles:
    return array_files(tmp_path / "arrays")


def output(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["data", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def fails(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(["data", *arguments])
    assert end.value.code == code
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


def listed() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(output("status", "--json"))
    return found


def test_an_empty_store() -> None:
    assert listed() == []
    assert output("status") == (
        "Not installed: ucf/main, activitynet/main, vggsound/main, ucf/cls, activitynet/cls, vggsound/cls. "
        "'avbench data import PATH' takes them from the public feature archive.\n"
        "demo, demo-temporal, demo-temporal.mean: built in, simulated, for every data set.\n"
        f"Store: {Store().root} (AVBENCH_HOME names another folder)\n"
    )
    assert output("verify") == "No features are installed.\n"


def test_import_status_verify_remove(archive: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = output("import", str(archive), "--allow-missing").splitlines()
    assert [line.split()[0] for line in table[2:]] == ["ucf/cls", "ucf/main"]
    assert table[2].split()[-1] == "5", "warnings"
    rows = listed()
    assert [(r["dataset"], r["features"], r["partition"], r["clips"]) for r in rows] == [
        ("ucf", "cls", "cls", 120),
        ("ucf", "main", "main", 123),
    ]
    assert rows[1]["bytes"] == sum(p.stat().st_size for p in (home / "features/ucf").glob("main*"))
    assert len(rows[1]["warnings"]) == 5
    assert "Not installed: activitynet/main, vggsound/main, activitynet/cls, vggsound/cls." in output("status")
    assert json.loads(output("verify", "--json")) == {"ucf/cls": [], "ucf/main": []}
    assert output("verify", "ucf/main").splitlines()[2].split() == ["ucf/main", "sound"]

    again = CliRunner().invoke(cli, ["data", "import", str(archive), "--allow-missing"])
    assert (again.exit_code, again.stdout) == (0, "")
    assert again.stderr == "ucf/cls, ucf/main: installed already and left as they are; --force replaces them\n"
    assert output("remove", "ucf/cls", "--yes") == "ucf/cls: removed\n"
    assert [r["features"] for r in listed()] == ["main"]
    table = output("import", str(archive), "--allow-missing").splitlines()
    assert [line.split()[0] for line in table[2:]] == ["ucf/cls"], "it goes on where it was interrupted"
    assert [r["features"] for r in listed()] == ["cls", "main"]
    table = output("import", str(archive), "--allow-missing", "--force").splitlines()
    assert [line.split()[0] for line in table[2:]] == ["ucf/cls", "ucf/main"]


def test_import_warns(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = CliRunner().invoke(cli, ["data", "import", str(archive), "--allow-missing", "--features", "main"])
    assert "warning: ucf/main: train: 30 clips, the split has 3,174, so 3,144 too few" in result.stderr


def test_a_refused_import(archive: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = fails(capsys, 3, "import", str(archive))
    assert error.startswith("error: ucf/cls: not the features that the split describes:\n  train: 30 clips")
    assert "no such file or folder" in fails(capsys, 3, "import", str(tmp_path / "none"))
    assert "the wanted feature sets are not there, only ucf/cls, ucf/main" in fails(
        capsys, 3, "import", str(archive), "--dataset", "vggsound"
    )
    assert "Invalid value for '--dataset'" in fails(capsys, 2, "import", str(archive), "--dataset", "ufc")
    assert not home.exists()


def test_import_of_a_zip(archive: Path, tmp_path: Path) -> None:
    path = zipped(archive, tmp_path / "a.zip", "avgzsl_benchmark_datasets/")
    output("import", str(path), "--allow-missing", "--dataset", "ucf", "--features", "main")
    assert [r["features"] for r in listed()] == ["main"]


def test_add(files: ArrayFiles, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["add", "clip", "--dataset", "ucf", *files.arguments()]
    assert "--allow-missing imports them as they are" in fails(capsys, 3, *arguments)
    table = output(*arguments, "--allow-missing").splitlines()
    assert table[2].split()[:2] == ["ucf/clip", "369"]
    assert "installed already" in fails(capsys, 3, *arguments, "--allow-missing")
    output(*arguments, "--allow-missing", "--force")
    assert output("verify", "ucf/clip").splitlines()[2].split() == ["ucf/clip", "sound"]
    arguments[1] = "main"
    assert "'main' is reserved" in fails(capsys, 2, *arguments)
    arguments[1] = "tcaf"
    told = fails(capsys, 2, *arguments, "--allow-missing")
    assert "'tcaf' is reserved for the published method TCaF" in told
    assert "'my-tcaf'" in told
    arguments[1] = "clipclap"  # which features of its form may bear
    told = fails(capsys, 2, *arguments, "--allow-missing")
    assert "'avbench data add' takes real averaged features of the cls partition" in told
    arguments[1] = "../up"
    assert "names are lower-case letters" in fails(capsys, 2, *arguments, "--allow-missing")


def test_verify_says_what_is_wrong(files: ArrayFiles, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output("add", "clip", "--dataset", "ucf", *files.arguments(), "--allow-missing")
    (path,) = (home / "features/ucf").glob("clip@*.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(SystemExit) as end:
        main(["data", "verify", "--json"])
    assert end.value.code == 3
    assert any("content hash" in problem for problem in json.loads(capsys.readouterr().out)["ucf/clip"])


def test_one_broken_manifest_hides_no_other_track(
    archive: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output("import", str(archive), "--allow-missing")
    (home / "features/ucf/main.json").write_text('{"version": 99}')
    with pytest.raises(SystemExit) as end:
        main(["data", "status"])
    assert end.value.code == 3
    shown = capsys.readouterr()
    assert "ucf/cls" in shown.out
    assert "ucf/main" not in shown.out, "it is installed, though of no use"
    assert "main.json: version 99 of the store is newer than 2; upgrade avbench" in shown.err


def test_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert "'ucf' is no track: write DATASET/FEATURES" in fails(capsys, 2, "remove", "ucf", "--yes")
    assert "Did you mean 'ucf'" in fails(capsys, 2, "remove", "ufc/main", "--yes")
    assert "not installed" in fails(capsys, 3, "remove", "ucf/main", "--yes")
    assert "Did you mean 'ucf'" in fails(capsys, 2, "verify", "ufc/main")


def test_removing_is_asked_for(files: ArrayFiles) -> None:
    output("add", "clip", "--dataset", "ucf", *files.arguments(), "--allow-missing")
    result = CliRunner().invoke(cli, ["data", "remove", "ucf/clip"], input="n\n")
    assert result.exit_code == 1
    assert len(listed()) == 1
    result = CliRunner().invoke(cli, ["data", "remove", "ucf/clip"], input="y\n")
    assert result.exit_code == 0
    assert listed() == []


@pytest.mark.parametrize("arguments", [["status"], ["status", "--json"], ["--help"], ["import", "--help"]])
def test_no_torch_to_list(arguments: list[str], files: ArrayFiles) -> None:
    output("add", "clip", "--dataset", "ucf", *files.arguments(), "--allow-missing")
    code = (
        "import sys; from click.testing import CliRunner; from avbench.harness.cli import cli; "
        f"assert CliRunner().invoke(cli, ['data', *{arguments}]).exit_code == 0; "
        "print(*{'torch', 'h5py', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_import_and_add_need_no_torch(archive: Path, files: ArrayFiles) -> None:
    code = (
        "import sys; from click.testing import CliRunner; from avbench.harness.cli import cli; "
        "assert CliRunner().invoke(cli, ['data', *sys.argv[1:]]).exit_code == 0; print('torch' in sys.modules)"
    )
    for arguments in (["import", str(archive)], ["add", "clip", "--dataset", "ucf", *files.arguments()]):
        command = [sys.executable, "-c", code, *arguments, "--allow-missing"]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_writes_that_truly_fail(archive: Path, home: Path) -> None:
    """The system refuses to let a file grow beyond a limit, as a full disk or a quota does."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    done = subprocess.run(
        [*COMMAND, "import", str(archive), "--allow-missing"],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert f"cannot write to {home}/features/ucf: File too large; nothing was changed." in done.stderr
    assert snapshot(home) == {}


def test_a_folder_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    if os.access(closed, os.R_OK):
        pytest.skip("this user may read everything")
    assert "cannot be searched" in fails(capsys, 3, "import", str(tmp_path))


def test_interrupted(archive: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:

        def interrupt(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(Store, "save", interrupt)
        assert "interrupted" in fails(capsys, 130, "import", str(archive), "--allow-missing")
    assert snapshot(home) == {}
