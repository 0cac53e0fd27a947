"""The front door for Python and notebooks: run methods, judge scores of your own, read results as tables.

The command line uses the same functions. Everything loads when it is used: ``import avbench`` imports neither torch
nor pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avbench.harness.contract.data import Classes, Clips, TrainingSet
    from avbench.harness.contract.method import Difference, Method, MethodInfo, Progress
    from avbench.harness.contract.options import EpochOptions, Options, Preset
    from avbench.harness.contract.variants import Variant
    from avbench.harness.errors import AvbenchError, DataError, MethodError, PluginError, RecordError, UsageError
    from avbench.harness.evaluation.calibration import Offset
    from avbench.harness.evaluation.metrics import Metrics
    from avbench.harness.evaluation.two_stages import EpochDone
    from avbench.harness.features.featureset import FeatureSet
    from avbench.harness.features.source import FeatureSource
    from avbench.harness.plugins.commands import Command
    from avbench.harness.plugins.hookspecs import hookimpl
    from avbench.harness.plugins.observers import RunObserver
    from avbench.harness.plugins.site_page import SitePage
    from avbench.harness.records.record import RunRecord
    from avbench.harness.tracks import Track
    from avbench.harness.tuning.outcome import Tuning
    from avbench.methods.learning.batch import Batch, Dims
    from avbench.methods.learning.training import BatchMethod
    from avbench.reading import results
    from avbench.running import run
    from avbench.scoring import calibrate, evaluate, load_features, to_score
    from avbench.tuning import tune

__all__ = [
    "AvbenchError",
    "Batch",
    "BatchMethod",
    "Classes",
    "Clips",
    "Command",
    "DataError",
    "Difference",
    "Dims",
    "EpochDone",
    "EpochOptions",
    "FeatureSet",
    "FeatureSource",
    "Method",
    "MethodError",
    "MethodInfo",
    "Metrics",
    "Offset",
    "Options",
    "PluginError",
    "Preset",
    "Progress",
    "RecordError",
    "RunObserver",
    "RunRecord",
    "SitePage",
    "Track",
    "TrainingSet",
    "Tuning",
    "UsageError",
    "Variant",
    "calibrate",
    "evaluate",
    "hookimpl",
    "load_features",
    "results",
    "run",
    "to_score",
    "tune",
]

_NAMES = {
    "avbench.harness.contract.data": ("Classes", "Clips", "TrainingSet"),
    "avbench.harness.contract.method": ("Difference", "Method", "MethodInfo", "Progress"),
    "avbench.harness.contract.options": ("EpochOptions", "Options", "Preset"),
    "avbench.harness.contract.variants": ("Variant",),
    "avbench.harness.errors": ("AvbenchError", "DataError", "MethodError", "PluginError", "RecordError", "UsageError"),
    "avbench.harness.evaluation.calibration": ("Offset",),
    "avbench.harness.evaluation.metrics": ("Metrics",),
    "avbench.harness.evaluation.two_stages": ("EpochDone",),
    "avbench.harness.features.featureset": ("FeatureSet",),
    "avbench.harness.features.source": ("FeatureSource",),
    "avbench.harness.plugins.commands": ("Command",),
    "avbench.harness.plugins.hookspecs": ("hookimpl",),
    "avbench.harness.plugins.observers": ("RunObserver",),
    "avbench.harness.plugins.site_page": ("SitePage",),
    "avbench.harness.records.record": ("RunRecord",),
    "avbench.harness.tracks": ("Track",),
    "avbench.harness.tuning.outcome": ("Tuning",),
    "avbench.methods.learning.batch": ("Batch", "Dims"),
    "avbench.methods.learning.training": ("BatchMethod",),
    "avbench.reading": ("results",),
    "avbench.running": ("run",),
    "avbench.scoring": ("calibrate", "evaluate", "load_features", "to_score"),
    "avbench.tuning": ("tune",),
}
_PLACES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'avbench' has no attribute {name!r}")
    globals()[name] = found = getattr(import_module(_PLACES[name]), name)
    return found


def __dir__() -> list[str]:
    return list(__all__)
