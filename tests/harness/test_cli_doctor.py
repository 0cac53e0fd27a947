"""`avbench doctor`: says what is there, what is broken, and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from simulated_archive import made_up

from avbench.harness.atomic import writing
from avbench.harness.cli import cli
from avbench.harness.cli.doctor import MOST
from avbench.harness.errors import AvbenchError
from avbench.harness.features.archive import find_sets, read_set
from avbench.harness.features.store import Store
from avbench.harness.plugins import registry as plugins
from avbench.harness.plugins.commands import plugin_commands
from avbench.harness.plugins.registry import Broken, Plugins


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def doctor() -> tuple[int, list[dict[str, Any]]]:
    done = CliRunner().invoke(cli, ["doctor", "--json"])
    return done.exit_code, json.loads(done.stdout)


def of(findings: list[dict[str, Any]], subject: str) -> list[dict[str, Any]]:
    return [f for f in findings if f["subject"] == subject]


def test_a_fresh_installation_is_sound_and_told_what_to_do_next() -> None:
    code, findings = doctor()
    assert code == 0
    assert "avca" in of(findings, "plugin")[0]["text"]
    assert of(findings, "device")[0]["state"] == "ok"
    assert "avbench data import" in of(findings, "features")[0]["advice"]
    assert "avbench run" in of(findings, "results")[0]["advice"]
    text = CliRunner().invoke(cli, ["doctor"]).stdout
    assert "avbench data import PATH" in text


def test_features_with_warnings_and_broken_ones_are_named(tmp_path: Path) -> None:
    (found,) = find_sets(made_up(tmp_path / "archive", "ucf", "main"))
    store = Store()
    store.save(read_set(found, allow_missing=True))
    code, findings = doctor()
    assert code == 0
    assert of(findings, "features")[0]["state"] == "note"
    assert "warnings" in of(findings, "features")[0]["text"]
    (store.root / "ucf" / "main.json").write_text("{")
    code, findings = doctor()
    assert code == 1
    assert "avbench data remove ucf/main" in of(findings, "features")[0]["advice"]


def test_a_broken_plugin_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Plugins(broken=[Broken("stranger", "strange", "ImportError: no luck")])
    monkeypatch.setattr(plugins, "plugins", lambda: world)
    code, findings = doctor()
    assert code == 1
    assert "stranger (strange) does not load: ImportError: no luck" in of(findings, "plugin")[0]["text"]


def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whom the system does not know, without HOME: as in containers with ``--user 12345``."""
    import pwd

    def unknown(_: int) -> None:
        raise KeyError("uid not found")

    for name in ("AVBENCH_HOME", "HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["run", "--method", "ale", "--all-datasets", "--dry-run", *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit | AvbenchError), done.exception
    return done.exit_code, done.output + str(done.exception or "")


def test_a_user_without_a_home_can_run_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    homeless(monkeypatch)
    code, findings = doctor()
    assert code == 0
    assert "set AVBENCH_HOME" in of(findings, "store")[0]["text"]
    assert run()[0] == 0
    assert run("--features", "demo")[0] == 0
    code, text = run("--features", "main")
    assert code != 0
    assert "this user has no home directory: set AVBENCH_HOME" in text
    assert not (tmp_path / "~").exists()


def test_a_home_of_nobody_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVBENCH_HOME", "~nosuch/x")
    code, findings = doctor()
    assert code == 1
    assert "AVBENCH_HOME=~nosuch/x: there is no such user" in of(findings, "store")[0]["text"]
    assert "there is no such user" in run()[1]
    assert run("--features", "demo")[0] == 0


def test_the_store_is_named(tmp_path: Path) -> None:
    _, findings = doctor()
    assert str(tmp_path / "home") in of(findings, "store")[0]["text"]
    assert str(tmp_path / "home") in CliRunner().invoke(cli, ["data", "status"]).output
    assert "AVBENCH_HOME" in CliRunner().invoke(cli, ["data", "status", "--help"]).output


def test_every_broken_thing_is_diagnosed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that cannot be listed, records that are none, a command that does not load."""
    (tmp_path / "results" / "ucf").mkdir(parents=True)
    for number in range(MOST + 2):
        (tmp_path / "results" / "ucf" / f"{number}.json").write_text("{")

    def unreadable(_: Store) -> None:
        raise PermissionError(13, "denied", "/store")

    monkeypatch.setattr(plugin_commands(), "broken", [Broken("stranger", "words", "ImportError: no luck")])
    monkeypatch.setattr(Store, "tracks", unreadable)
    code, findings = doctor()
    assert code == 1
    assert len([f for f in of(findings, "results") if f["state"] == "problem"]) == MOST + 1
    assert "2 more files" in of(findings, "results")[-1]["text"]
    assert "stranger (words) does not load" in of(findings, "plugin")[-1]["text"]
    assert "/store" in of(findings, "store")[-1]["text"]
    assert "AVBENCH_HOME" in of(findings, "store")[-1]["advice"]


def test_a_store_that_is_a_file_is_diagnosed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AVBENCH_HOME", str(tmp_path / "file"))
    code, findings = doctor()
    assert code == 1
    assert any("is no folder" in f["text"] for f in of(findings, "store"))


def test_a_track_whose_features_are_damaged(tmp_path: Path) -> None:
    (found,) = find_sets(made_up(tmp_path / "archive", "ucf", "main"))
    Store().save(read_set(found, allow_missing=True))
    for path in Store().root.rglob("*.safetensors"):
        path.write_bytes(b"damaged")
    code, findings = doctor()
    assert code == 1
    assert "avbench data remove ucf/main" in of(findings, "features")[0]["advice"]


def test_a_full_disk_names_the_path(tmp_path: Path) -> None:
    def full() -> None:
        with writing(tmp_path / "here.json"):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match=r"No space left on device: '.*here\.json'"):
        full()
