"""`avbench doctor`: says what is there, what is broken, and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from simulated_archive import made_up

from avbench.harness.cli import cli
from avbench.harness.features.archive import find_sets, read_set
from avbench.harness.features.store import Store
from avbench.harness.plugins import registry as plugins
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
