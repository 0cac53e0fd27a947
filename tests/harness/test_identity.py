"""What decides a result is part of its identity: code wherever it lies, data files, files as options, features."""

from __future__ import annotations

import compileall
import importlib
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from avbench.harness.contract.input_file import UNREAD, InputFile
from avbench.harness.contract.options import Options
from avbench.harness.errors import MethodError, UsageError
from avbench.harness.plugins import source_hash as hashing
from avbench.harness.plugins import sources
from avbench.harness.plugins.registry import Registered, plugins
from avbench.harness.plugins.source_hash import code_of, source_hash
from avbench.harness.records.record import hash_of_code
from avbench.harness.tracks import Track

METHOD = """
from avbench.harness.contract.method import Method, MethodInfo
class Mine({base}):
    info = MethodInfo(slug="mine", title="Mine", year=2026, summary="s", citation="c", files={files!r})
    def fit(self, train, progress): ...
    def predict(self, clips, classes): ...
    def state(self): return {{}}
    def load_state(self, state): ...
"""


class World:
    """Packages on the path, as they lie in files. ``edit`` and ask again: what a new process would find."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.monkeypatch = root, monkeypatch
        self.before = set(sys.modules)
        monkeypatch.syspath_prepend(str(root))

    def write(self, name: str, content: str | bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def forget(self) -> None:
        for name in set(sys.modules) - self.before:
            if not name.startswith(("torch", "numpy", "avbench")):
                del sys.modules[name]
        importlib.invalidate_caches()
        for cached in (code_of, hashing.modules_of, hashing._listed):
            cached.cache_clear()

    def registered(self, module: str) -> Registered:
        self.forget()
        return Registered(importlib.import_module(module).Mine, "mine", "1.0")

    def hash(self, module: str) -> str:
        return source_hash(self.registered(module))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    made = World(tmp_path, monkeypatch)
    yield made
    made.forget()


def method(imports: str = "", base: str = "Method", files: tuple[str, ...] = ()) -> str:
    return imports + METHOD.format(base=base, files=files)


LAYOUTS: dict[str, tuple[str, dict[str, str], str]] = {
    "helper of a single module": (
        "mine_mod",
        {"mine_mod.py": method("from mine_helper import SCALE\n")},
        "mine_helper.py",
    ),
    "module of a sibling package": (
        "mypkg.methods.net",
        {
            "mypkg/__init__.py": "",
            "mypkg/methods/__init__.py": "",
            "mypkg/methods/net.py": method("from mypkg.layers import SCALE\n"),
        },
        "mypkg/layers.py",
    ),
    "relative import of the package above": (
        "mypkg.methods.net",
        {
            "mypkg/__init__.py": "",
            "mypkg/methods/__init__.py": "",
            "mypkg/methods/net.py": method("from ..layers import SCALE\n"),
        },
        "mypkg/layers.py",
    ),
    "module of a base class": (
        "mypkg.net",
        {
            "mypkg/__init__.py": "",
            "mypkg/net.py": method("from otherpkg.base import Base\n", base="Base"),
            "otherpkg/__init__.py": "",
            "otherpkg/base.py": "from avbench.harness.contract.method import Method\nfrom otherpkg.scale import SCALE\n"
            "class Base(Method): ...\n",
        },
        "otherpkg/scale.py",
    ),
    "the package itself": (
        "mypkg.net",
        {"mypkg/net.py": method()},
        "mypkg/__init__.py",
    ),
    "module loaded by its name": (
        "mypkg.net",
        {
            "mypkg/__init__.py": "",
            "mypkg/net.py": method('import importlib\nimportlib.import_module("mypkg." + "hidden")\n'),
        },
        "mypkg/hidden.py",
    ),
    "module of the options": (
        "mypkg.net",
        {
            "mypkg/__init__.py": "",
            "mypkg/net.py": method("import theoptions\n") + "    Options = theoptions.Mine\n",
            "theoptions.py": "from avbench.harness.contract.options import Options\nimport thescale\n"
            "class Mine(Options): ...\n",
        },
        "thescale.py",
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_edit_of_any_code_that_is_reached_is_another_identity(world: World, layout: str) -> None:
    module, files, edited = LAYOUTS[layout]
    for name, content in files.items():
        world.write(name, content)
    world.write(edited, "SCALE = 1.0\n")
    before = world.hash(module)
    assert world.hash(module) == before
    world.write(edited, "SCALE = -1.0\n")
    assert world.hash(module) != before


WAYS: dict[str, str] = {
    "an alias": "from importlib import import_module as load\nload('mypkg.hidden')\n",
    "load_module": "from importlib.machinery import SourceFileLoader\n"
    "SourceFileLoader('h', __file__.replace('net.py', 'hidden.py')).load_module()\n",
    "an alias of the loader": "from importlib.machinery import SourceFileLoader as S\nimport types\n"
    "m = types.ModuleType('h')\nS('h', __file__.replace('net.py', 'hidden.py')).exec_module(m)\n",
    "a star": "from mypkg.layers import *\n",
    "resolve_name": "import pkgutil\npkgutil.resolve_name('mypkg.hidden')\n",
    "iter_modules": "import mypkg, pkgutil\n[i.module_finder.find_spec(i.name).loader.load_module() "
    "for i in pkgutil.iter_modules(mypkg.__path__) if i.name == 'hidden']\n",
    "what is built in": "__builtins__['__imp' + 'ort__']('mypkg.hidden')\n",
    "the text of a file": "text = open(__file__.replace('net.py', 'hidden.py')).read()\n",
    "a pickle": "import pickle\npickle.loads(b'cmypkg.hidden\\nSCALE\\n.')\n",
    "no identifier": "import runpy\nrunpy.run_path(__file__.replace('net.py', 'to.run.py'))\n",
}


@pytest.mark.parametrize("way", WAYS)
def test_no_way_to_load_a_module_of_its_package_goes_unseen(world: World, way: str) -> None:
    hashes = []
    for scale in ("1.0", "-1.0"):
        for name in ("hidden", "to.run", "layers/conv"):
            world.write(f"mypkg/{name}.py", f"SCALE = {scale}\n")
        world.write("mypkg/__init__.py", "")
        world.write("mypkg/layers/__init__.py", "__all__ = ['conv']\n")
        world.write("mypkg/net.py", method(WAYS[way]))
        hashes.append(world.hash("mypkg.net"))
    assert hashes[0] != hashes[1]


def distribution(world: World, *files: str) -> None:
    """Make all that was written a distribution that lists ``files``."""
    world.write("mine-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    world.write("mine-1.0.dist-info/RECORD", "".join(f"{file},,\n" for file in files))
    owners = {name.partition("/")[0].removesuffix(".py"): ["mine"] for name in files if name.endswith(".py")}
    world.monkeypatch.setattr(hashing, "_all_owners", lambda: owners)


@pytest.mark.parametrize("second", ["mine_second.py", "mine_space/second.py", "mine_data.txt", "mine_start.pth"])
def test_all_that_a_distribution_lists_counts(world: World, second: str) -> None:
    world.write("mine_mod.py", method("from importlib import import_module as load\n"))
    distribution(world, "mine_mod.py", second)
    hashes = []
    for scale in ("1.0", "-1.0"):
        world.write(second, f"# {scale}\n")
        hashes.append(world.hash("mine_mod"))
    assert hashes[0] != hashes[1]


def test_a_search_path_in_another_spelling_is_no_other_identity(world: World) -> None:
    world.write("mine_mod.py", method())
    distribution(world, "mine_mod.py")
    before = world.hash("mine_mod")
    world.monkeypatch.chdir(world.root)
    world.monkeypatch.syspath_prepend("")  # as Python itself does for -c
    assert world.hash("mine_mod") == before


def test_the_sources_of_a_checkout_that_are_not_installed_do_not_count(world: World) -> None:
    world.write("mine_mod.py", method())
    world.write("mine.egg-info/PKG-INFO", "Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    world.write("mine.egg-info/SOURCES.txt", "setup.py\nmine_mod.py\n")
    world.write("setup.py", "one = 1\n")
    before = world.hash("mine_mod")
    world.write("setup.py", "one = 2\n")
    assert world.hash("mine_mod") == before


def test_an_editable_install_has_the_identity_of_any_other(world: World) -> None:
    world.write("mypkg/__init__.py", "")
    world.write("mypkg/net.py", method())
    distribution(world, "mypkg/__init__.py", "mypkg/net.py")
    before = world.hash("mypkg.net")
    world.write("mine-1.0.dist-info/direct_url.json", '{"url": "file:///x", "dir_info": {"editable": true}}')
    world.write("__editable___mine_finder.py", "")
    world.write("__editable__.mine.pth", "/x")
    world.write("mine-1.0.dist-info/RECORD", "__editable___mine_finder.py,,\n__editable__.mine.pth,,\n")
    assert world.hash("mypkg.net") == before


def test_a_namespace_package_of_several_counts_what_is_its_own(world: World) -> None:
    world.write("space/mine/net.py", method())
    world.write("space/theirs.py", "")
    distribution(world, "space/mine/net.py")
    world.write("theirs-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    world.write("theirs-1.0.dist-info/RECORD", "space/theirs.py,,\n")
    world.monkeypatch.setattr(hashing, "_all_owners", lambda: {"space": ["mine", "theirs"]})
    before = world.hash("space.mine.net")
    world.write("space/theirs.py", "SCALE = 2\n")
    assert world.hash("space.mine.net") == before


@pytest.mark.parametrize("name", ["teacher.pth", "hidden.pyc", "broken.py"])
def test_every_file_of_a_package_counts(world: World, name: str) -> None:
    world.write("mypkg/__init__.py", "")
    world.write("mypkg/net.py", method())
    world.write(f"mypkg/{name}", b"is not Python")
    before = world.hash("mypkg.net")
    world.write(f"mypkg/{name}", b"is no Python either")
    assert world.hash("mypkg.net") != before


def test_packages_of_one_name_in_two_namespaces_count_both(world: World) -> None:
    for space in ("one", "two"):
        world.write(f"{space}/core/__init__.py", "")
        world.write(f"{space}/core/scale.npz", b"one")
    world.write("one/core/net.py", method("import two.core\n"))
    seen = {world.hash("one.core.net")}
    for space in ("one", "two"):
        world.write(f"{space}/core/scale.npz", b"two")
        seen.add(world.hash("one.core.net"))
    assert len(seen) == 3


def test_a_class_that_derives_from_a_built_in_method_includes_its_modules(world: World) -> None:
    world.write("mine_mod.py", method("from avbench.methods.avca import AVCA\n", base="AVCA"))
    parts = code_of(world.registered("mine_mod"))
    assert {"mine_mod", "avbench.methods.avca", "avbench.methods.learning.training"} <= parts.keys()
    assert not any(name.startswith("avbench.harness") for name in parts)


def test_package_data_counts_and_bytecode_does_not(world: World) -> None:
    world.write("mypkg/__init__.py", "")
    world.write("mypkg/net.py", method())
    world.write("mypkg/weights/teacher.npz", b"knowledge")
    before = world.hash("mypkg.net")
    world.write("mypkg/__pycache__/more.pyc", b"no matter")
    assert world.hash("mypkg.net") == before
    world.write("mypkg/weights/teacher.npz", b"noise....")
    assert world.hash("mypkg.net") != before


@pytest.mark.parametrize("name", ["beside.npz", "folder", "{root}/elsewhere.npz"])
def test_files_that_a_method_names_count(world: World, name: str) -> None:
    name = name.format(root=world.root / "far")
    target = f"{name}/a.npz" if name == "folder" else name
    world.write("mine_mod.py", method(files=(name,)))
    with pytest.raises(MethodError, match="cannot be read, but decides results"):
        world.hash("mine_mod")
    world.write(target, b"one")
    before = world.hash("mine_mod")
    world.write(target, b"two")
    assert world.hash("mine_mod") != before


def test_another_distribution_counts_by_its_version(world: World) -> None:
    world.write("mine_mod.py", method("import pytest, torch, numpy\n"))
    parts = dict(code_of(world.registered("mine_mod")))
    assert parts.pop("pytest") == version("pytest")
    assert set(parts) == {"mine_mod"}  # what avbench itself requires does not count


def _bytecode_only(world: World) -> str:
    world.write("mine_mod.py", method())
    compileall.compile_dir(world.root, quiet=1, legacy=True)
    (world.root / "mine_mod.py").unlink()
    return "mine_mod"


def _bytecode_helper(world: World) -> str:
    world.write("mine_helper.py", "SCALE = 1\n")
    compileall.compile_dir(world.root, quiet=1, legacy=True)
    (world.root / "mine_helper.py").unlink()
    world.write("mine_mod.py", method("import mine_helper\n"))
    return "mine_mod"


def _in_memory(world: World) -> str:
    world.write(
        "mine_mod.py",
        method("import sys, types\nsys.modules['mine_made'] = types.ModuleType('mine_made')\nimport mine_made\n"),
    )
    return "mine_mod"


def _executed_text(world: World) -> str:
    text = "def predict(self, clips, classes): ..."
    world.write(
        "mine_mod.py", method() + f"space = {{}}\nexec({text!r}, globals(), space)\nMine.predict = space['predict']\n"
    )
    return "mine_mod"


@pytest.mark.parametrize("make", [_bytecode_only, _bytecode_helper, _in_memory, _executed_text])
def test_code_that_cannot_be_identified_is_refused(world: World, make: Callable[[World], str]) -> None:
    module = make(world)
    with pytest.raises(MethodError, match=r"no source|made in memory"):
        world.hash(module)


def test_a_class_that_lies_about_its_module_is_found_where_its_functions_are(world: World) -> None:
    world.write("mine_mod.py", method("import mine_helper\n") + "Mine.__module__ = 'torch.nn'\n")
    world.write("mine_helper.py", "SCALE = 1\n")
    assert {"mine_mod", "mine_helper"} <= code_of(world.registered("mine_mod")).keys()


def test_the_hash_is_made_once_for_each_method_and_without_a_look_at_all_distributions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Planning many runs is cheap; for avbench's own methods no metadata of other packages is read."""
    from avbench.harness.plugins import source_hash as module

    code_of.cache_clear()
    monkeypatch.setattr(module, "packages_distributions", None)
    read: list[Path] = []
    content = module._content
    monkeypatch.setattr(module, "_content", lambda path: (read.append(path), content(path))[1])
    registered = plugins().method("avca")
    hashes = {source_hash(registered) for _ in range(2000)}
    assert hashes == {hash_of_code(code_of(registered))}
    assert len(read) == len(set(read)) == len(code_of(registered))
    code_of.cache_clear()


class FileOptions(Options):
    teacher: InputFile | None = Field(None, description="Weights to start from.")


def test_an_option_that_is_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    track, path = Track("ucf", "demo"), tmp_path / "teacher.npz"
    path.write_bytes(b"one")
    first = FileOptions.effective(track, "aligned", {"teacher": str(path)})
    assert isinstance(first, FileOptions)
    assert first.teacher is not None
    assert first.teacher.path == path
    written = first.model_dump(mode="json")
    assert FileOptions.model_validate(written) == first
    path.write_bytes(b"two")
    assert FileOptions.effective(track, "aligned", {"teacher": str(path)}).model_dump(mode="json") != written
    with pytest.raises(ValueError, match="has changed"):
        FileOptions.model_validate(written)
    path.unlink()
    assert FileOptions.model_validate(written, context={UNREAD: True}).model_dump(mode="json") == written
    with pytest.raises(UsageError, match=r"option teacher.*cannot be read"):
        FileOptions.effective(track, "aligned", {"teacher": str(path)})
    assert FileOptions.model_json_schema()["properties"]["teacher"]["anyOf"][0]["format"] == "file-path"


def test_features_that_changed_since_the_plan_are_not_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    track = Track("ucf", "demo")
    sources.load_features.cache_clear()
    planned = sources.feature_manifest(track).content_hash
    assert sources.planned_features(track, planned) is sources.load_features(track)
    with pytest.raises(Exception, match="have changed since this run was planned"):
        sources.planned_features(track, "0" * 64)


def test_the_module_of_the_entry_point_counts_where_a_factory_makes_the_class(world: World) -> None:
    world.write("mkpkg/__init__.py", "")
    world.write("mkpkg/core.py", method())
    hashes = []
    for scale in ("1.0", "-1.0"):
        world.write("mkpkg/entry.py", f"from mkpkg.core import Mine\nMine.SCALE = {scale}\n")
        hashes.append(source_hash(replace(world.registered("mkpkg.core"), module="mkpkg.entry")))
    assert hashes[0] != hashes[1]


def test_data_in_a_package_of_the_distribution_that_nobody_imports_count(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "_all_owners", lambda: {"mkpkg": ["mine"], "mkdata": ["mine"], "others": ["theirs"]})
    world.write("mkpkg/__init__.py", "")
    world.write("mkpkg/net.py", method())
    for package in ("mkdata", "others"):
        world.write(f"{package}/__init__.py", "")
        world.write(f"{package}/tables/scale.npz", b"one")
    before = world.hash("mkpkg.net")
    world.write("others/tables/scale.npz", b"two")
    assert world.hash("mkpkg.net") == before
    world.write("mkdata/tables/scale.npz", b"two")
    assert world.hash("mkpkg.net") != before


@pytest.mark.parametrize("what", ["data", "a module", "a named folder"])
def test_what_a_link_leads_to_counts(world: World, what: str) -> None:
    """Case: data on a large disk, and a link to its folder in the package."""
    files = ("weights",) if what == "a named folder" else ()
    world.write("mypkg/__init__.py", "")
    world.write(
        "mypkg/net.py", method("import importlib\nimportlib.import_module('mypkg.su' + 'b.hidden')\n", files=files)
    )
    world.write("disk/hidden.py", "")
    world.write("disk/teacher.txt", "1")
    (world.root / "mypkg/sub").symlink_to("../disk")
    (world.root / "mypkg/weights").mkdir()
    (world.root / "mypkg/weights/far").symlink_to(world.root / "disk")
    (world.root / "disk/again").symlink_to("..")  # a circle
    before = world.hash("mypkg.net")
    world.write("disk/hidden.py" if what == "a module" else "disk/teacher.txt", "X = 2")
    assert world.hash("mypkg.net") != before


def test_scripts_below_folders_that_are_no_packages_count(world: World) -> None:
    """Case: ``mypkg/tools/dev/x.py``, with an ``__init__.py`` in ``mypkg`` alone."""
    world.write("mypkg/__init__.py", "")
    world.write("mypkg/net.py", method())
    world.write("mypkg/tools/dev/x.py", "")
    before = world.hash("mypkg.net")
    world.write("mypkg/tools/dev/x.py", "X = 2")
    assert world.hash("mypkg.net") != before
