"""A run's fitted model again, from the state beside its record, with the features that it was tested on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from avbench.harness.errors import MethodError, UsageError
from avbench.harness.evaluation.protocol import PROTOCOLS
from avbench.harness.plugins.registry import plugins
from avbench.harness.plugins.source_hash import source_hash
from avbench.harness.plugins.sources import planned_features
from avbench.harness.records.record import RunRecord
from avbench.harness.records.results import ResultsFolder
from avbench.harness.records.states import load_state

if TYPE_CHECKING:
    from avbench.harness.contract.method import Method
    from avbench.harness.evaluation.stages import StageData


@dataclass(frozen=True)
class Fitted:
    """A fitted method and stage 2 of its run, on the CPU."""

    method: Method
    stage: StageData


def fitted(record: RunRecord, folder: ResultsFolder) -> Fitted:
    """Restore the model of a finished run.

    Raises :class:`UsageError` where no state was kept or the installed method is of other code than the run,
    :class:`RecordError` for a state of another run, :class:`DataError` where the features have changed.
    """
    from avbench.harness.evaluation.stages import stage_data

    c = record.configuration
    name = f"run {record.identity[:12]}"
    registered = plugins().method(c.method)
    if not record.finished:
        raise UsageError(f"{name}: it failed, so there is no fitted model")
    if source_hash(registered) != c.plugin.source_hash:
        raise UsageError(
            f"{name}: it is of other code than the installed {c.method} of {registered.distribution}, which cannot "
            "read its fitted state; repeat the run with --save-states"
        )
    state = load_state(folder, record)
    method = registered.method(registered.method.Options.model_validate(c.options))
    try:
        method.load_state(state)
    except MethodError:
        raise
    except Exception as error:
        raise MethodError(f"{c.method}.load_state raised {type(error).__name__}: {error}") from error
    features = planned_features(c.track, c.feature_hash)
    return Fitted(method, stage_data(features, PROTOCOLS[c.protocol.name].on(c.track), stage=2))
