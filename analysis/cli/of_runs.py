"""``avbench analyse confusion | epochs | offsets | sensitivity``: what records and evidence tell, without the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from avbench.analysis.analysis import Analysis
from avbench.analysis.cli.options import analysis_command, named_runs, runs_argument
from avbench.harness.cli.selection import filter_options, read_folder, results_option, select
from avbench.harness.errors import UsageError

if TYPE_CHECKING:
    from avbench.harness.records.record import Outcome, RunRecord
    from avbench.harness.records.results import ResultsFolder


@analysis_command
@runs_argument
@click.option("--generalised", is_flag=True, help="All test clips over all classes, at the offset of the run.")
@results_option
def confusion(runs: Sequence[str], generalised: bool, folder: ResultsFolder) -> Analysis:
    """Confusion matrices of the unseen test clips over the unseen classes, a panel for each run."""
    from avbench.analysis.measures import confusion as measure
    from avbench.analysis.subject import run_name
    from avbench.harness.evaluation.evidence import TEST
    from avbench.harness.records.verification import find_split

    records = _sound(folder, runs)
    if len({record.configuration.split_fingerprint for record in records}) > 1:
        raise UsageError("matrices beside each other are of the same classes: name runs of one split")
    split = find_split(records[0])
    assert split is not None
    found, seen = {}, None
    for record in records:
        table = folder.evidence(record)[TEST]
        if generalised:
            seen = table.seen_classes.size
            found[run_name(record)] = measure.generalised(table, _outcome(record).offset, split.classes)
        else:
            found[run_name(record)] = measure.zero_shot(table, split.classes)
    return measure.analyse(found, seen, _simulated(records))


@analysis_command
@runs_argument
@results_option
def epochs(runs: Sequence[str], folder: ResultsFolder) -> Analysis:
    """Validation HM over the epochs of stage 1, and which of them was chosen."""
    from avbench.analysis.measures import epochs as measure
    from avbench.analysis.subject import run_name

    records = _sound(folder, runs)
    return measure.analyse({run_name(r): _outcome(r) for r in records}, _simulated(records))


@analysis_command
@runs_argument
@results_option
def offsets(runs: Sequence[str], folder: ResultsFolder) -> Analysis:
    """HM over every calibrated stacking offset, on validation and on the test, and the offset that was chosen."""
    from avbench.analysis.measures import offsets as measure
    from avbench.analysis.subject import run_name

    records = _sound(folder, runs)
    of_runs = {
        run_name(r): measure.Calibrated(folder.evidence(r), _outcome(r).offset, allow_empty=bool(r.warnings))
        for r in records
    }
    return measure.analyse(of_runs, _simulated(records))


@analysis_command
@click.argument("option")
@click.option("-p", "fixed", multiple=True, metavar="OPTION=VALUE", help="Only runs with this value of another option.")
@filter_options
@results_option
def sensitivity(
    option: str,
    fixed: Sequence[str],
    folder: ResultsFolder,
    **wanted: Sequence[str],
) -> Analysis:
    """HM over the values of OPTION, mean and deviation over seeds, from runs that differ in nothing else.

    'avbench run ... -p OPTION=VALUE,VALUE --seeds N' makes such a grid.
    """
    from avbench.analysis.measures import sensitivity as measure
    from avbench.harness.cli.given import parse_given
    from avbench.leaderboard.cli.results import sound_of

    chosen = select(read_folder(folder).records, **wanted)
    values = {name: given[0] for name, given in parse_given(fixed).items()}
    return measure.analyse(sound_of(chosen, folder).records, option, values)


def _sound(folder: ResultsFolder, names: Sequence[str]) -> list[RunRecord]:
    """The named runs. Raises :class:`UsageError` for failed ones, :class:`RecordError` for what does not verify."""
    from avbench.analysis.subject import require_sound

    records = named_runs(folder, names)
    for record in records:
        require_sound(record, folder)
    return records


def _outcome(record: RunRecord) -> Outcome:
    assert record.outcome is not None
    return record.outcome


def _simulated(records: Sequence[RunRecord]) -> bool:
    return any(record.simulated for record in records)
