"""Stage 1 by itself: training and validation, on features without test clips. Stores nothing. Imports torch late."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avbench.harness.evaluation.compiler import Compiler, tell_uncompiled
from avbench.harness.evaluation.precision import make_deterministic
from avbench.harness.evaluation.protocol import PROTOCOLS
from avbench.harness.evaluation.two_stages import Choice, EpochListener, run_stage_1
from avbench.harness.plugins.registry import plugins
from avbench.harness.plugins.sources import planned_features
from avbench.harness.records.planned import PlannedRun
from avbench.harness.running.compiling import compiler_of
from avbench.harness.running.numerics import products
from avbench.harness.running.runs import epochs_of

if TYPE_CHECKING:
    import torch

    from avbench.harness.features.featureset import FeatureSet
    from avbench.harness.records.record import Configuration


class Bench:
    """Does stage 1 of runs on one device. The features of each track are loaded once and held without test clips."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._held: dict[tuple[str, str], FeatureSet] = {}

    def stage_1(self, run: PlannedRun, listener: EpochListener = lambda _: None) -> Choice:
        """What stage 1 of a run chooses: the same numbers, to the bit, as in the whole run done alone.

        Raises :class:`MethodError` when the method breaks its contract, :class:`DataError` for features that are gone.
        """
        c = run.configuration
        method = plugins().method(c.method).method
        options = method.Options.model_validate(c.options)
        features = self._features(c)
        make_deterministic()

        def chosen(compiler: Compiler | None) -> Choice:
            with products(c.numerics, self.device):
                return run_stage_1(
                    lambda: method(options),
                    features,
                    PROTOCOLS[c.protocol.name],
                    epochs=epochs_of(options),
                    seed=c.seed,
                    listener=listener,
                    compiler=compiler,
                )

        if (compiler := compiler_of([run], self.device)) is None:
            return chosen(None)
        try:
            return chosen(compiler)
        except Exception as error:
            compiler.note([error])
            if not compiler.failure:
                raise
        tell_uncompiled(compiler.failure)
        return chosen(None)

    def _features(self, c: Configuration) -> FeatureSet:
        import torch

        key = (c.feature_hash, c.numerics.feature_dtype)
        if key not in self._held:
            clips = planned_features(c.track, c.feature_hash).of_stage_1()
            self._held[key] = clips.to(self.device, getattr(torch, c.numerics.feature_dtype))
        return self._held[key]
