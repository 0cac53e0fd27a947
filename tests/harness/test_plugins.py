"""The plugin door: one broken plugin is named once and costs nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner
from simulated_features import Ridge, simulated_features

from avbench.harness.cli import cli
from avbench.harness.contract.encoder import Encoder
from avbench.harness.contract.variants import Variant
from avbench.harness.errors import DataError, PluginError, UsageError
from avbench.harness.extraction.basic import BasicSound
from avbench.harness.features.assemble import HASHED, check
from avbench.harness.features.featureset import FeatureSet
from avbench.harness.features.hashing import content_hash
from avbench.harness.features.reserved import ReservedFeatures
from avbench.harness.features.source import FeatureSource
from avbench.harness.plugins import door, hookspecs, sources
from avbench.harness.plugins import registry as plugins
from avbench.harness.plugins.hookspecs import hookimpl
from avbench.harness.plugins.observers import RunObserver
from avbench.harness.plugins.registry import Plugins, load_plugins
from avbench.harness.plugins.site_page import SitePage
from avbench.harness.records.record import RunRecord
from avbench.harness.tracks import Track


class Package:
    """A distribution as importlib.metadata gives it, with one entry point that loads a module made here."""

    def __init__(self, name: str, load: Callable[[], Any]) -> None:
        self.metadata = {"Name": name}
        self.version = "1.0"
        self.load = load
        self.name = "plugin"


def module(methods: Callable[[], Any] | None = None, **others: Any) -> ModuleType:
    made = ModuleType("simulated_plugin")
    if methods:
        made.avbench_methods = hookimpl(methods)  # type: ignore[attr-defined]
    for name, value in others.items():
        setattr(made, name, value)
    return made


def load(*packages: Package) -> Plugins:
    return load_plugins([(p, p) for p in packages])  # type: ignore[misc]


def test_methods_come_through_the_door() -> None:
    found = load(Package("good", lambda: module(lambda: [Ridge])))
    assert found.method("ridge").distribution == "good"
    assert not found.broken


def _import_error() -> Any:
    raise ImportError("no such library")


def _exit() -> Any:
    raise SystemExit(3)


def _misspelt_hook() -> Any:
    return module(lambda: [Ridge], avbench_metods=hookimpl(lambda: None))


class NoInfo(Ridge):
    info = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (_import_error, "ImportError: no such library"),
        (_exit, "SystemExit"),
        (lambda: module(lambda: 1 / 0), "ZeroDivisionError"),
        (lambda: module(lambda: [int]), "subclasses of Method"),
        (lambda: module(lambda: [NoInfo]), "not a MethodInfo"),
        (lambda: module(lambda: [Ridge]), "already registered by good"),
        (_misspelt_hook, "avbench_metods"),
    ],
)
def test_a_broken_plugin_is_named_and_costs_nothing_else(bad: Callable[[], Any], reason: str) -> None:
    found = load(Package("good", lambda: module(lambda: [Ridge])), Package("bad", bad))
    assert list(found.methods) == ["ridge"]
    assert [b.distribution for b in found.broken] == ["bad"]
    assert reason in found.broken[0].reason


class SimulatedSource(FeatureSource):
    """One simulated feature set, with its true hash."""

    def __init__(self, features: FeatureSet | None = None) -> None:
        features = features or simulated_features()
        tensors = {name: getattr(features, name) for name in HASHED}
        manifest = features.manifest.model_copy(update={"content_hash": content_hash(tensors)})
        self.features = replace(features, manifest=manifest)

    def tracks(self) -> list[Track]:
        return [self.features.track]

    def load(self, track: Track) -> FeatureSet:
        return self.features


HALF = Variant("ridge", "half", {"strength": 0.5}, "a-paper", "table-1")
DOUBLE = Variant("ridge", "half", {"strength": 2.0}, "a-paper", "table-2")


def test_a_package_may_bring_variants_only() -> None:
    given = {"good": HALF, "differing": DOUBLE, "untyped": "half", "same": HALF}
    found = load(*(brings(name, "avbench_variants", variant) for name, variant in given.items()))
    assert found.variants == [HALF, HALF]
    reasons = {b.distribution: b.reason for b in found.broken}
    assert reasons.keys() == {"differing", "untyped"}
    assert "'half' of method 'ridge' is given twice" in reasons["differing"]
    assert "list of Variant" in reasons["untyped"]


def brings(name: str, hook: str, *values: object) -> Package:
    """A package with one hook."""
    return Package(name, lambda: module(**{hook: hookimpl(lambda: list(values))}))


class Watcher(RunObserver):
    name = "watcher"


@pytest.mark.parametrize(
    ("hook", "good", "bad", "reason"),
    [
        ("avbench_run_observers", Watcher, Watcher(), "subclasses of RunObserver"),
        ("avbench_run_observers", Watcher, Watcher, "'watcher' is already registered"),
        ("avbench_feature_sources", SimulatedSource(), SimulatedSource, "list of FeatureSource"),
        ("avbench_encoders", BasicSound, BasicSound(None, "cpu"), "subclasses of FrameEncoder or SoundEncoder"),
        ("avbench_encoders", BasicSound, Encoder, "subclasses of FrameEncoder or SoundEncoder"),
        ("avbench_encoders", BasicSound, BasicSound, "'basic:audio' is already registered"),
        ("avbench_encoders", BasicSound, type("Odd", (BasicSound,), {"name": "a=b"}), "must be lower-case letters"),
    ],
)
def test_what_a_hook_may_return(hook: str, good: object, bad: object, reason: str) -> None:
    found = load(brings("good", hook, good), brings("bad", hook, bad))
    assert [p.distribution for p in found.loaded] == ["good"]
    assert found.loaded[0].hooks == (hook,)
    assert reason in found.broken[0].reason


def test_a_plugin_brings_all_or_nothing() -> None:
    found = load(Package("half", lambda: module(lambda: [Ridge], avbench_variants=hookimpl(lambda: "none"))))
    assert not found.methods
    assert "avbench_variants must return a list, not 'none'" in found.broken[0].reason


def test_a_broken_plugin_is_warned_of_once_and_strictly_refused(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = load(Package("good", lambda: module(lambda: [Ridge])), Package("bad", _import_error))
    assert [r.getMessage() for r in caplog.records] == [
        "warning: plugin 'plugin' of bad is left out: ImportError: no such library"
    ]
    monkeypatch.setattr(plugins, "plugins", lambda: found)
    runner = CliRunner()
    assert runner.invoke(cli, ["splits", "list"]).exit_code == 0
    strict = runner.invoke(cli, ["--strict-plugins", "splits", "list"])
    assert isinstance(strict.exception, PluginError)
    assert strict.exception.exit_code == 5
    assert "plugin 'plugin' of bad" in str(strict.exception)
    assert "no such library" not in str(strict.exception)  # the warning said so
    by_environment = runner.invoke(cli, ["splits", "list"], env={"AVBENCH_STRICT_PLUGINS": "1"})
    assert isinstance(by_environment.exception, PluginError)


def test_reports_follow_a_run_and_one_that_fails_costs_only_itself() -> None:
    def reports(name: str, hook: Callable[..., object]) -> Package:
        return Package(name, lambda: module(avbench_run_reports=hookimpl(hook)))

    found = load(reports("good", lambda records: [f"{len(records)} runs"]), reports("bad", lambda records: [1 / 0]))
    assert found.run_reports([]) == ["0 runs"]
    assert [b.reason for b in found.broken] == ["ZeroDivisionError: division by zero"]


def test_plugins_are_listed_with_their_hooks_and_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    found = load(brings("polite", "avbench_variants", HALF), Package("bad", _import_error))
    monkeypatch.setattr("avbench.harness.cli.plugins.load", lambda: found)
    rows = json.loads(CliRunner().invoke(cli, ["plugins", "list", "--json"]).output)
    assert rows[0]["hooks"] == ["avbench_variants"]
    assert (rows[1]["distribution"], rows[1]["error"]) == ("bad", "ImportError: no such library")


def test_features_of_a_source_are_found_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    good, lying = SimulatedSource(), SimulatedSource(simulated_features("ucf", seed=1))
    lying.features = replace(lying.features, audio=lying.features.audio + 1)
    for source in (good, lying):
        found = load(brings("features", "avbench_feature_sources", source))
        monkeypatch.setattr(plugins, "plugins", lambda found=found: found)
        sources.load_features.cache_clear()
        track = source.features.track
        assert sources.feature_manifest(track) == source.features.manifest
        if source is good:
            assert sources.load_features(track) is good.features
        else:
            with pytest.raises(DataError, match="content hash"):
                sources.load_features(track)
    sources.load_features.cache_clear()


def test_two_sources_of_one_track_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = load(
        brings("one", "avbench_feature_sources", SimulatedSource()),
        brings("two", "avbench_feature_sources", SimulatedSource()),
    )
    monkeypatch.setattr(plugins, "plugins", lambda: found)
    with pytest.raises(DataError, match="two packages bring these features"):
        sources.foreign_tracks()


@pytest.mark.parametrize("name", ["main", "cls-temporal", "demo", "reserved"])
def test_names_that_numbers_are_printed_on_are_reserved(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    features = replace(simulated_features(), track=Track("ucf", name))
    reserved = ReservedFeatures("reserved", "somebody's features")
    found = load(
        brings("board", "avbench_reserved_features", reserved),
        brings("features", "avbench_feature_sources", SimulatedSource(features)),
    )
    monkeypatch.setattr(plugins, "plugins", lambda: found)
    with pytest.raises(DataError, match=f"ucf/{name}: a package brings features of this name, which is reserved"):
        sources.foreign_tracks()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: replace(f, audio=f.audio.double()), "audio is torch.float64"),
        (lambda f: replace(f, visual=f.visual[:-1]), "visual is torch.float32"),
        (lambda f: replace(f, class_id=f.class_id.flip(0)), "train holds clips of classes that do not belong there"),
        (lambda f: replace(f, audio=f.audio.log()), "audio holds NaN"),
        (lambda f: replace(f, rows={**f.rows, "train": slice(0, 1)}), "rows are not ordered by part"),
        (lambda f: replace(f, track=Track("ucf", "main")), "the feature set calls itself ucf/main"),
    ],
)
def test_features_that_a_run_cannot_trust(change: Callable[[FeatureSet], FeatureSet], reason: str) -> None:
    features = simulated_features()
    with pytest.raises(DataError, match=reason):
        check(change(features), features.track)


def _raise(records: Sequence[RunRecord]) -> list[SitePage]:
    raise RuntimeError(f"{len(records)} records")


def test_a_page_that_fails_costs_only_itself() -> None:
    page = SitePage("extra", "Extra", "<p>more</p>")

    def pages(name: str, hook: Callable[..., object]) -> Package:
        return Package(name, lambda: module(avbench_site_pages=hookimpl(hook)))

    found = load(pages("good", lambda records: [page]), pages("bad", _raise), pages("twice", lambda records: [page]))
    assert not found.broken
    assert found.site_pages([]) == [page]
    assert [b.reason for b in found.broken] == [
        "RuntimeError: 0 records",
        "PluginError: site page 'extra' is already registered",
    ]


@pytest.mark.parametrize("slug", ["../up", "a/b", "", "Upper", "index.html"])
def test_a_page_stays_in_its_folder(slug: str) -> None:
    with pytest.raises(ValueError, match="slug"):
        SitePage(slug, "title", "body")


def test_an_unknown_method_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match=r"unknown method 'rigde'. Did you mean 'ridge'\?"):
        load(Package("good", lambda: module(lambda: [Ridge]))).method("rigde")


def test_the_list_of_packages_to_load_restricts_strangers_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger-1.0.dist-info"
    stranger.mkdir()
    (stranger / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (stranger / "entry_points.txt").write_text("[avbench]\nstrange = stranger_plugin\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def names() -> set[str]:
        return {d.metadata["Name"] for d, _ in plugins.entry_points()}

    assert names() >= {"avbench", "stranger"}
    monkeypatch.setenv(door.ONLY, "")
    assert names() == {"avbench"}
    monkeypatch.setenv(door.ONLY, "other, stranger")
    assert names() == {"avbench", "stranger"}


def test_an_unknown_name_in_the_list_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(door.ONLY, "Avbench_, avbench-mien")
    found = plugins.Plugins()
    for name, error in plugins._strangers():
        found.leave_out(door.ONLY, name, error)
    assert [b.entry_point for b in found.broken] == ["avbench-", "avbench-mien"]
    assert "no package of this name brings anything for avbench; those that do: avbench" in found.broken[1].reason
    monkeypatch.setenv(door.ONLY, " AVbench ")
    assert not plugins._strangers()
    monkeypatch.setenv(door.ONLY, "")
    assert not plugins._strangers()


def test_names_that_differ_in_case_are_one() -> None:
    other = type("Other", (Ridge,), {"info": replace(Ridge.info, slug=Ridge.info.slug.upper())})
    found = load(Package("one", lambda: module(lambda: [Ridge])), Package("two", lambda: module(lambda: [other])))
    assert list(found.methods) == [Ridge.info.slug]
    assert "already registered by one" in found.broken[0].reason
    found = load(Package("one", lambda: module(lambda: [Ridge, other])))
    assert not found.methods
    assert "differ in case only" in found.broken[0].reason


def test_built_in_methods_are_registered_like_a_strangers() -> None:
    found = plugins.plugins()
    assert "avca" in found.methods
    assert found.methods["avca"].distribution == "avbench"
    assert not found.broken


def test_every_hook_has_one_sentence() -> None:
    for name, hook in vars(hookspecs).items():
        if name.startswith("avbench_"):
            assert hook.__doc__
            assert hook.__doc__.strip().endswith("."), name
            assert hook.__doc__.count(".") == 1, name


@pytest.mark.parametrize(
    "command", [["--help"], ["methods", "list"], ["methods", "show", "avca"], ["splits", "list"], ["plugins", "list"]]
)
def test_listings_do_not_import_torch(command: list[str]) -> None:
    code = f"""
import sys
from avbench.harness.cli import main
try:
    main({command!r})
except SystemExit as end:
    assert not end.code
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_entry_point_type_is_the_library_s() -> None:
    assert all(isinstance(e, EntryPoint) for _, e in plugins.entry_points())
