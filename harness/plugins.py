"""The plugin door: entry points of group ``avbench``, loaded one by one, and the registry of methods they bring."""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import Distribution, EntryPoint, distributions

import pluggy

from avbench.harness import hookspecs
from avbench.harness.errors import MethodError, unknown
from avbench.harness.method import Method, MethodInfo
from avbench.harness.variants import Variant

GROUP = "avbench"
ONLY = "AVBENCH_LOAD_PLUGINS"


@dataclass(frozen=True)
class Broken:
    """A plugin that did not load: which distribution, which entry point, and why."""

    distribution: str
    entry_point: str
    reason: str
    traceback: str = field(repr=False, default="")


@dataclass(frozen=True)
class Registered:
    """A method and where it came from."""

    method: type[Method]
    distribution: str
    version: str

    @property
    def info(self) -> MethodInfo:
        return self.method.info


@dataclass(frozen=True)
class Plugins:
    """Everything that came through the door."""

    manager: pluggy.PluginManager
    methods: Mapping[str, Registered]
    broken: tuple[Broken, ...]
    variants: tuple[Variant, ...] = ()

    def method(self, slug: str) -> Registered:
        """A method by its slug; raises :class:`UsageError` with a suggestion for an unknown one."""
        if slug not in self.methods:
            raise unknown("method", slug, self.methods)
        return self.methods[slug]

    def variants_of(self, slug: str) -> tuple[Variant, ...]:
        """The variants of a method, once for each place where they were printed."""
        return tuple(v for v in self.variants if v.method == slug)

    def variant(self, slug: str, name: str) -> Variant:
        """A variant of a method by its name; raises :class:`UsageError` with a suggestion for an unknown one."""
        known = {v.name: v for v in self.variants_of(slug)}
        if name not in known:
            raise unknown(f"{slug} variant", name, known)
        return known[name]


@cache
def plugins() -> Plugins:
    """Load all plugins once per process."""
    return load_plugins(_entry_points())


def load_plugins(entry_points: list[tuple[Distribution, EntryPoint]]) -> Plugins:
    """Load entry points one by one. One that fails is named in ``broken`` and costs nothing else."""
    manager = pluggy.PluginManager("avbench")
    manager.add_hookspecs(hookspecs)
    methods: dict[str, Registered] = {}
    variants: list[Variant] = []
    broken: list[Broken] = []
    for distribution, entry_point in entry_points:
        name = distribution.metadata["Name"]
        try:
            module = entry_point.load()
            manager.register(module, name=f"{name}:{entry_point.name}")
            manager.check_pending()
            for method in getattr(module, "avbench_methods", list)():
                slug = _slug(method)
                if slug in methods:
                    raise MethodError(f"method {slug!r} is already registered by {methods[slug].distribution}")
                methods[slug] = Registered(method, name, distribution.version)
            variants += _agreeing(getattr(module, "avbench_variants", list)(), variants)
        except (Exception, SystemExit) as error:
            if manager.has_plugin(f"{name}:{entry_point.name}"):
                manager.unregister(name=f"{name}:{entry_point.name}")
            broken.append(Broken(name, entry_point.name, f"{type(error).__name__}: {error}", traceback.format_exc()))
    return Plugins(manager, dict(sorted(methods.items())), tuple(broken), tuple(variants))


def _slug(method: object) -> str:
    if not (isinstance(method, type) and issubclass(method, Method)):
        raise MethodError(f"avbench_methods must return subclasses of Method, not {method!r}")
    if not isinstance(getattr(method, "info", None), MethodInfo):
        raise MethodError(f"{method.__name__}.info is not a MethodInfo")
    return method.info.slug


def _agreeing(new: list[Variant], known: list[Variant]) -> list[Variant]:
    """The new variants, if none has the name of another variant of its method but other options."""
    options = {(v.method, v.name): v.options for v in known}
    for variant in new:
        if not isinstance(variant, Variant):
            raise MethodError(f"avbench_variants must return a list of Variant, not {variant!r}")
        if options.setdefault((variant.method, variant.name), variant.options) != variant.options:
            raise MethodError(f"variant {variant.name!r} of method {variant.method!r} is given twice, differently")
    return new


def _entry_points() -> list[tuple[Distribution, EntryPoint]]:
    """Entry points of the group by distribution name; ``AVBENCH_LOAD_PLUGINS=a,b`` restricts the distributions."""
    only = os.environ.get(ONLY)
    wanted = None if only is None else {name.strip().lower() for name in only.split(",")} | {"avbench"}
    found = {
        (d.metadata["Name"], e.name): (d, e)
        for d in distributions()
        for e in d.entry_points
        if e.group == GROUP and (wanted is None or d.metadata["Name"].lower() in wanted)
    }
    return [found[key] for key in sorted(found, key=lambda key: (key[0] != "avbench", key))]
