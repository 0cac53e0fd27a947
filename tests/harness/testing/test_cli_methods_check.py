"""``avbench methods check``."""

from __future__ import annotations

import json

import pytest
from simulated_bad_methods import Good, Uncited

from avbench.harness.cli import main
from avbench.harness.plugins.registry import Plugins, Registered
from avbench.harness.testing import CHECKS

SIMULATED = Plugins(
    methods={slug: Registered(method, "simulated", "1") for slug, method in (("good", Good), ("uncited", Uncited))}
)


@pytest.fixture(autouse=True)
def simulated_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avbench.harness.cli.methods_check.plugins", lambda: SIMULATED)


def avbench(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code and what was printed."""
    code: str | int | None = 0
    try:
        main(["methods", "check", *arguments])
    except SystemExit as end:
        code = end.code
    captured = capsys.readouterr()
    return int(code or 0), captured.out, captured.err


def test_a_method_that_passes(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = avbench(capsys, "good", "--only", "one-clip", "--only", "metadata-complete")
    assert code == 0
    assert out.endswith("good: 2 passed\n")


def test_a_method_that_fails(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = avbench(capsys, "uncited", "--only", "metadata-complete")
    assert code == 5
    assert "bibtex must hold one entry" in out
    assert "BibTeX entry with author, title and year" in out
    assert "error: good fails metadata-complete" in err


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = avbench(capsys, "uncited", "--only", "metadata-complete", "--json")
    assert code == 5
    assert json.loads(out)["checks"][0]["outcome"] == "failed"


def test_the_list_of_checks(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = avbench(capsys, "--list", "--json")
    assert code == 0
    assert [check["name"] for check in json.loads(out)] == [check.name for check in CHECKS]
    _, out, _ = avbench(capsys, "--list")
    assert all(check.name in out for check in CHECKS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["goood"], "Did you mean 'good'"),
        (["good", "--only", "one-clipp"], "Did you mean 'one-clip'"),
        ([], "which method?"),
    ],
)
def test_misuse(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    code, _, err = avbench(capsys, *arguments)
    assert code == 2
    assert said in err
