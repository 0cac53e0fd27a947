"""The plugin door: entry points of group ``avbench``, loaded one by one, and what they bring."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import Distribution, EntryPoint, distributions
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pluggy

from avbench.harness.contract.method import Method, MethodInfo
from avbench.harness.contract.variants import Variant
from avbench.harness.errors import MethodError, PluginError, unknown
from avbench.harness.plugins import hookspecs
from avbench.harness.plugins.commands import GROUP as COMMANDS
from avbench.harness.plugins.door import ONLY, Broken, canonical, left_out, may_enter, wanted
from avbench.harness.plugins.observers import RunObserver

if TYPE_CHECKING:
    from avbench.harness.contract.encoder import Encoder
    from avbench.harness.features.reserved import ReservedFeatures
    from avbench.harness.features.source import FeatureSource
    from avbench.harness.plugins.site_page import SitePage
    from avbench.harness.records.record import RunRecord

GROUP = "avbench"
ENCODER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
LOOSE = "loose"
"""Stands for the distribution of a class that no package brings."""


@dataclass(frozen=True)
class Loaded:
    """A plugin that came through the door, and the hooks that it implements."""

    distribution: str
    version: str
    entry_point: str
    module: ModuleType
    hooks: tuple[str, ...]

    def call(self, hook: str, **arguments: Any) -> list[Any]:
        """What the plugin returns from a hook; nothing where it does not implement it."""
        if hook not in self.hooks:
            return []
        answer = getattr(self.module, hook)(**arguments)
        if not isinstance(answer, list | tuple):
            raise PluginError(f"{hook} must return a list, not {answer!r}")
        return list(answer)


@dataclass(frozen=True)
class Registered:
    """A method and where it came from."""

    method: type[Method]
    distribution: str
    version: str
    module: str = ""
    """The module that the entry point names."""
    modules: tuple[str, ...] = ()
    """Of a method that was described and not loaded: the modules that its code starts from."""

    @property
    def info(self) -> MethodInfo:
        return self.method.info

    @property
    def built_in(self) -> bool:
        """Whether it is one of avbench's own."""
        return self.distribution == "avbench" and self.method.__module__.startswith("avbench.methods.")

    @property
    def loose(self) -> bool:
        """The class came from no installed package, but from a notebook or a script."""
        return self.distribution == LOOSE


@dataclass(frozen=True)
class RegisteredEncoder:
    """An encoder and where it came from."""

    encoder: type[Encoder]
    distribution: str
    version: str


@dataclass
class Plugins:
    """Everything that came through the door. ``broken`` grows when a plugin fails later on."""

    loaded: list[Loaded] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    methods: dict[str, Registered] = field(default_factory=dict)
    variants: list[Variant] = field(default_factory=list)
    feature_sources: list[FeatureSource] = field(default_factory=list)
    observers: dict[str, type[RunObserver]] = field(default_factory=dict)
    encoders: dict[str, RegisteredEncoder] = field(default_factory=dict)
    """By ``name:modality``."""

    def admit(self, method: type[Method]) -> Registered:
        """The entry of a class; one that no package brings is known from now on, in this process.

        Raises :class:`MethodError` for a class that is no method, or has the slug of a package's method.
        """
        known = self.methods.get(_slug(method))
        if known is not None and (known.method is method or not known.loose):
            if known.method is not method:
                raise MethodError(f"method {method.info.slug!r} is the name of a method of {known.distribution}")
            return known
        self.methods[method.info.slug] = Registered(method, LOOSE, "0")
        return self.methods[method.info.slug]

    def admit_described(self, described: Iterable[Registered], variants: Iterable[Variant]) -> None:
        """Take in what was described of a plugin, or nothing.

        Raises :class:`MethodError` for slugs and variants that cannot be taken.
        """
        methods = _new_methods(described, self.methods)
        self.variants += _agreeing(list(variants), self.variants)
        self.methods |= methods

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

    def observer(self, name: str) -> type[RunObserver]:
        """A class of observers by name; raises :class:`UsageError` with a suggestion for an unknown one."""
        if name not in self.observers:
            raise unknown("observer", name, self.observers)
        return self.observers[name]

    def reserved(self, features: str) -> ReservedFeatures | None:
        """What is said of the name of a feature set by the plugin that reserves it; None for a free name."""
        from avbench.harness.features.reserved import ReservedFeatures

        for plugin in self.loaded:
            try:
                found = plugin.call("avbench_reserved_features")
                _instances("avbench_reserved_features", found, ReservedFeatures)
            except (Exception, SystemExit) as error:
                self.leave_out(plugin.distribution, plugin.entry_point, error)
                continue
            for reserved in found:
                if isinstance(reserved, ReservedFeatures) and reserved.name == features:
                    return reserved
        return None

    def run_reports(self, records: Sequence[RunRecord]) -> list[str]:
        """What all plugins have to say at the end of ``avbench run``. One that fails is named in ``broken``."""
        texts: list[str] = []
        for plugin in self.loaded:
            try:
                new = plugin.call("avbench_run_reports", records=records)
                _instances("avbench_run_reports", new, str)
            except (Exception, SystemExit) as error:
                self.leave_out(plugin.distribution, plugin.entry_point, error)
            else:
                texts += new
        return texts

    def site_pages(self, records: Sequence[RunRecord]) -> list[SitePage]:
        """The pages of all plugins. One that fails is named in ``broken`` and costs only its own pages."""
        pages: dict[str, SitePage] = {}
        for plugin in self.loaded:
            try:
                new = _pages(plugin.call("avbench_site_pages", records=records), pages)
            except (Exception, SystemExit) as error:
                self.leave_out(plugin.distribution, plugin.entry_point, error)
            else:
                pages |= new
        return list(pages.values())

    def leave_out(self, distribution: str, entry_point: str, error: BaseException) -> None:
        """Name a plugin that failed, once."""
        self.broken.append(left_out(distribution, entry_point, error))

    def require_sound(self, commands: Sequence[Broken] = ()) -> None:
        """Raise :class:`PluginError` when any plugin or command failed. Why was said when it was left out."""
        if broken := [*self.broken, *commands]:
            names = ", ".join(f"plugin {b.entry_point!r} of {b.distribution}" for b in broken)
            raise PluginError(f"failed: {names}; repair or uninstall it, or go on without --strict-plugins")


@cache
def plugins() -> Plugins:
    """Load all plugins once per process."""
    found = load_plugins(entry_points())
    for name, error in _strangers():
        found.leave_out(ONLY, name, error)
    return found


def load_plugins(entry_points: Iterable[tuple[Distribution, EntryPoint]]) -> Plugins:
    """Load entry points one by one. One that fails is named in ``broken`` and costs nothing else."""
    found = Plugins()
    for distribution, entry_point in entry_points:
        name = distribution.metadata["Name"]
        try:
            plugin = _load(distribution, entry_point)
            _admit(plugin, found)
        except (Exception, SystemExit) as error:
            found.leave_out(name, entry_point.name, error)
    found.methods = dict(sorted(found.methods.items()))
    return found


def _load(distribution: Distribution, entry_point: EntryPoint) -> Loaded:
    """Import a plugin. An implementation of a hook that does not exist is an error."""
    module = entry_point.load()
    manager = pluggy.PluginManager("avbench")
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    manager.check_pending()
    hooks = tuple(sorted(caller.name for caller in manager.get_hookcallers(module) or ()))
    return Loaded(distribution.metadata["Name"], distribution.version, entry_point.name, module, hooks)


def _admit(plugin: Loaded, found: Plugins) -> None:
    """Take in all that a plugin brings, or nothing. Raises :class:`PluginError` for what cannot be taken."""
    classes = plugin.call("avbench_methods")
    methods = _new_methods(
        (Registered(method, plugin.distribution, plugin.version, plugin.module.__name__) for method in classes),
        found.methods,
    )
    variants = _agreeing(plugin.call("avbench_variants"), found.variants)
    sources = plugin.call("avbench_feature_sources")
    if sources:
        from avbench.harness.features.source import FeatureSource

        _instances("avbench_feature_sources", sources, FeatureSource)
    observers = _new("observer", plugin.call("avbench_run_observers"), _observer_name, found.observers)
    encoders = {
        name: RegisteredEncoder(encoder, plugin.distribution, plugin.version)
        for name, encoder in _new("encoder", plugin.call("avbench_encoders"), _encoder_name, found.encoders).items()
    }
    found.methods |= methods
    found.variants += variants
    found.feature_sources += sources
    found.observers |= observers
    found.encoders |= encoders
    found.loaded.append(plugin)


def _new_methods(new: Iterable[Registered], known: Mapping[str, Registered]) -> dict[str, Registered]:
    """The new methods by slug. Raises :class:`MethodError` for slugs that are taken, or alike but for case."""
    methods = {_slug(registered.method): registered for registered in new}
    owners = {slug.casefold(): registered.distribution for slug, registered in known.items()}
    for slug, registered in methods.items():  # a name is a folder, also where systems know no case
        if (owner := owners.setdefault(slug.casefold(), registered.distribution)) != registered.distribution:
            raise MethodError(f"method {slug!r} is already registered by {owner}")
    if len({slug.casefold() for slug in methods}) < len(methods):
        raise MethodError(f"methods {', '.join(sorted(methods))}: two differ in case only")
    return methods


def _slug(method: object) -> str:
    if not (isinstance(method, type) and issubclass(method, Method)):
        raise MethodError(f"avbench_methods must return subclasses of Method, not {method!r}")
    if not isinstance(getattr(method, "info", None), MethodInfo):
        raise MethodError(f"{method.__name__}.info is not a MethodInfo")
    if not isinstance(method.info.slug, str) or not _SLUG.fullmatch(method.info.slug):
        raise MethodError(
            f"{method.__name__}.info.slug is {method.info.slug!r}: it names folders and pages, so it is made of ASCII "
            "letters, digits, '.', '_' and '-', begins with a letter or digit, and has at most 100 of them"
        )
    if method.info.inputs not in ("averaged", "temporal"):
        raise MethodError(f"{method.__name__}.info.inputs is {method.info.inputs!r}, not averaged or temporal")
    return method.info.slug


def _agreeing(new: list[Any], known: list[Variant]) -> list[Variant]:
    """The new variants, if none has the name of another variant of its method but other options."""
    _instances("avbench_variants", new, Variant)
    options = {(v.method, v.name): (v.options, v.presets) for v in known}
    for variant in new:
        given = variant.options, variant.presets
        if options.setdefault((variant.method, variant.name), given) != given:
            raise MethodError(f"variant {variant.name!r} of method {variant.method!r} is given twice, differently")
    return new


def _observer_name(observer: object) -> str:
    if not (isinstance(observer, type) and issubclass(observer, RunObserver)):
        raise PluginError(f"avbench_run_observers must return subclasses of RunObserver, not {observer!r}")
    return observer.name


def _encoder_name(encoder: object) -> str:
    from avbench.harness.contract.encoder import FrameEncoder, SoundEncoder

    if not (isinstance(encoder, type) and issubclass(encoder, FrameEncoder | SoundEncoder)):
        raise PluginError(f"avbench_encoders must return subclasses of FrameEncoder or SoundEncoder, not {encoder!r}")
    if not ENCODER_NAME.fullmatch(getattr(encoder, "name", "")):
        raise PluginError(f"{encoder.__name__}.name must be lower-case letters, digits, '-' and '_'")
    return f"{encoder.name}:{encoder.modality}"


def _pages(new: list[Any], known: Mapping[str, SitePage]) -> dict[str, SitePage]:
    from avbench.harness.plugins.site_page import SitePage

    _instances("avbench_site_pages", new, SitePage)
    return _new("site page", new, lambda page: str(page.slug), known)


def _instances(hook: str, values: list[Any], kind: type) -> None:
    for value in values:
        if not isinstance(value, kind):
            raise PluginError(f"{hook} must return a list of {kind.__name__}, not {value!r}")


def _new(what: str, values: list[Any], name: Callable[[Any], str], known: Mapping[str, Any]) -> dict[str, Any]:
    """The values by name, if no other has that name."""
    named: dict[str, Any] = {}
    for value in values:
        if (key := name(value)) in named or key in known:
            raise PluginError(f"{what} {key!r} is already registered")
        named[key] = value
    return named


def _strangers() -> list[tuple[str, PluginError]]:
    """The names in ``AVBENCH_LOAD_PLUGINS`` that no installed package has, and what is wrong with each."""
    if not wanted():
        return []
    ours = {
        canonical(d.metadata["Name"] or "")
        for d in distributions()
        if any(e.group in (GROUP, COMMANDS) for e in d.entry_points)
    }
    reason = f"no package of this name brings anything for avbench; those that do: {', '.join(sorted(ours))}"
    return [(name, PluginError(reason)) for name in sorted(wanted() - ours)]


def entry_points() -> list[tuple[Distribution, EntryPoint]]:
    """Entry points of the group by distribution name; ``AVBENCH_LOAD_PLUGINS=a,b`` restricts the distributions.

    Of two distributions with one name, the first on the path counts, as for imports.
    """
    first: dict[str, tuple[str, Distribution]] = {}
    for distribution in distributions():
        if name := distribution.metadata["Name"]:  # a half-removed distribution has none
            first.setdefault(canonical(name), (name, distribution))
    found = [
        (name, e.name, d, e)
        for name, d in first.values()
        if may_enter(name)
        for e in d.entry_points
        if e.group == GROUP
    ]
    return [(d, e) for _, _, d, e in sorted(found, key=lambda f: (f[0] != "avbench", f[0], f[1]))]
