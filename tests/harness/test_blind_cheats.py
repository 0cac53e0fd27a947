"""The ten cheats of docs/protocols.md in a process of their own, and shut in: each fails, or scores at chance."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from simulated_cheating_plugin import avbench_methods
from simulated_features import simulated_features
from simulated_worker import isolated

from avbench.harness.errors import MethodError
from avbench.harness.evaluation.protocol import ALIGNED
from avbench.harness.evaluation.two_stages import Result, run_two_stages
from avbench.harness.features.featureset import FeatureSet
from avbench.harness.isolation import sandbox
from avbench.harness.isolation.choice import Isolation
from avbench.harness.plugins.registry import Registered

CHANCE = 15.0
"""HM that no method without knowledge reaches on 51 classes; a cheat that works has 100."""
PLUGIN = {m.info.slug: Registered(m, "tests", "1.0", "simulated_cheating_plugin") for m in avbench_methods()}
PROCESS, SANDBOX = Isolation("process", silence=120.0), Isolation("sandbox", silence=120.0)

in_sandbox = pytest.mark.skipif(sandbox.unavailable() is not None, reason=f"no sandbox: {sandbox.unavailable()}")


@pytest.fixture(scope="module")
def hard() -> FeatureSet:
    """Features that an honest method learns little from."""
    return simulated_features(noise=20.0)


def run(slug: str, features: FeatureSet, isolation: Isolation, **options: Any) -> Result:
    with isolated(PLUGIN[slug], isolation, epochs=1, **options) as make:
        return run_two_stages(make, features, ALIGNED, epochs=1, seed=0)


@pytest.mark.parametrize(
    ("slug", "isolation"),
    [("frames", PROCESS), ("patches", PROCESS)]
    + [pytest.param(slug, SANDBOX, marks=in_sandbox) for slug in ("collector", "frames", "patches")],
)
def test_what_works_beside_the_answers_comes_to_nothing_apart_from_them(
    slug: str, isolation: Isolation, hard: FeatureSet
) -> None:
    assert run(slug, hard, isolation).metrics.HM < CHANCE


@pytest.mark.parametrize("slug", ["positions", "progress", "storage"])
@in_sandbox
def test_what_comes_to_nothing_anyway_does_so_in_a_sandbox(slug: str, hard: FeatureSet) -> None:
    assert run(slug, hard, SANDBOX).metrics.HM < CHANCE


@in_sandbox
def test_module_globals_end_with_the_run(hard: FeatureSet) -> None:
    for _ in range(2):
        assert run("keeper", hard, SANDBOX).metrics.HM < CHANCE


@pytest.mark.parametrize("slug", ["oracle", "tracebacks"])
@in_sandbox
def test_who_asks_too_often_is_caught(slug: str, hard: FeatureSet) -> None:
    with pytest.raises(MethodError, match="more epochs than the 1"):
        run(slug, hard, SANDBOX)


@pytest.mark.parametrize(
    ("slug", "message"), [("stored", "the store of features"), ("demo", r"modules.*features\.demo")]
)
@in_sandbox
def test_features_cannot_be_loaded(slug: str, message: str, hard: FeatureSet) -> None:
    with pytest.raises(MethodError, match=f"the sandbox withholds .*{message}"):
        run(slug, hard, SANDBOX)


def answers(features: FeatureSet, path: Path) -> str:
    names = [features.split.classes[int(i)].name for i in features.class_id]
    path.write_text(json.dumps({"visual": features.visual.tolist(), "names": names}))
    return str(path)


@in_sandbox
def test_a_file_with_the_answers_is_not_there(hard: FeatureSet, tmp_path: Path) -> None:
    path = answers(hard, tmp_path / "answers.json")
    assert run("reads", hard, PROCESS, path=path).metrics.HM == 100  # a process of its own reads what its user may
    with pytest.raises(MethodError, match=f"the sandbox withholds all files but .*{path}"):
        run("reads", hard, SANDBOX, path=path)


@in_sandbox
def test_nothing_can_be_left_for_a_later_run(hard: FeatureSet, tmp_path: Path) -> None:
    with pytest.raises(MethodError, match="the sandbox withholds all files but"):
        run("leaves", hard, SANDBOX, path=str(tmp_path / "kept.json"))
    private = Path(f"/tmp/avbench-kept-{os.getpid()}.json")
    assert run("leaves", hard, SANDBOX, path=str(private)).metrics.HM < CHANCE  # its own /tmp, gone with it
    assert not private.exists()
    assert not list(tmp_path.iterdir())


@in_sandbox
def test_there_is_no_network_and_no_other_process(hard: FeatureSet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        assert run("calls", hard, PROCESS, path=port).metrics.HM < CHANCE  # it can, without any use
        with pytest.raises(MethodError, match="the sandbox withholds the network"):
            run("calls", hard, SANDBOX, path=port)
    with pytest.raises(MethodError, match="the sandbox withholds all other processes"):
        run("spies", hard, SANDBOX, path=str(os.getpid()))


@in_sandbox
def test_what_is_in_a_sandbox(hard: FeatureSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "secret")
    with pytest.raises(MethodError) as raised:
        run("surroundings", hard, SANDBOX)
    text = str(raised.value)
    found = json.loads(text[text.index("{") : text.rindex("}") + 1])
    assert "SECRET_TOKEN" not in found["environment"]
    assert "AVBENCH_HOME" not in found["environment"]
    assert (found["home"], found["interfaces"]) == ([], ["lo"])
    assert found["processes"] <= 2  # its own and the one that waits for it
    assert found["files"] <= 6  # standard streams, the wire, the memory it was sent, this listing
    assert found["here"] == sandbox.HOME
