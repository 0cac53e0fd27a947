"""``avbench results reproduce``: repeat runs, blind, and say what comes of it."""

from __future__ import annotations

import getpass
import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import click

from avbench.harness.cli.isolation import isolation_options
from avbench.harness.cli.selection import describe, filter_options, find_run, read_folder, results_option, select
from avbench.harness.errors import RecordError, UsageError
from avbench.harness.isolation.choice import Isolation
from avbench.harness.printable import printable
from avbench.harness.records.record import RunRecord
from avbench.harness.records.reproduction import Reproduction
from avbench.harness.records.results import ResultsFolder
from avbench.harness.running.spin import SHORT_SPIN

SEEDS = 2**63


@click.command()
@click.argument("identities", nargs=-1, metavar="[RUN]...")
@click.option(
    "--from",
    "submission",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Only runs of this submission file, once it is accepted.",
)
@click.option("--sample", type=click.IntRange(1), help="Only so many of the chosen runs, drawn by chance.")
@click.option(
    "--seed",
    type=click.IntRange(0, SEEDS - 1),
    help="Of the draw, to repeat it. [default: one that nobody can guess, which is printed]",
)
@isolation_options("sandbox")
@click.option("--device", help="auto, cpu, cuda or cuda:<number>. [default: the kind that each record names]")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1, 256), help="Runs at once.")
@click.option("--by", help="Who says so, for the board. [default: your name on this machine]")
@click.option(
    "--into",
    default="reproductions",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the repetitions themselves.",
)
@click.option("--fresh", is_flag=True, help="Also runs that were repeated under this isolation before.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON.")
@results_option
@filter_options
def reproduce(
    identities: Sequence[str],
    submission: Path | None,
    sample: int | None,
    seed: int | None,
    isolation: Isolation,
    device: str | None,
    jobs: int,
    by: str | None,
    into: Path,
    fresh: bool,
    as_json: bool,
    folder: ResultsFolder,
    **wanted: Sequence[str],
) -> None:
    """Repeat runs in a folder of their own and judge each: same bits, within the noise of seeds, or not reproduced.

    RUN is the start of an identity; without any, all finished runs that the other options leave. The very code and
    the very features of the record must be installed. The verdict is filed beside the run and stands on the board.

    Exit codes: 0 all reproduced, 1 some not.
    """
    from avbench.harness.isolation.strangers import describe_strangers
    from avbench.harness.plugins.declared import said_by_methods
    from avbench.harness.records.gate import judge_folder

    describe_strangers(isolation, folder.root, into)
    if seed is not None and sample is None:
        raise UsageError("--seed is that of a draw: give --sample N too")
    apart = into.resolve()
    if apart == folder.root.resolve() or folder.root.resolve() in apart.parents:
        raise UsageError(f"--into {into}: repetitions do not lie where results do; name another folder")
    records = read_folder(folder).records
    if identities:
        chosen = [find_run(records, prefix) for prefix in dict.fromkeys(identities)]
    else:
        chosen = select(records, **wanted)
        chosen = [record for record in chosen if record.finished]
    if submission is not None:
        chosen = _of_submission(submission, chosen, records)
    if sample is not None:
        chosen = _sample(chosen, sample, seed)
    verdicts = judge_folder(folder, records, said_by_methods)
    for record in chosen:
        if reasons := verdicts.reasons[record.identity] or ([] if record.finished else ["it failed"]):
            raise RecordError(f"{describe(record)}: there is nothing to repeat: {printable('; '.join(reasons), 500)}")
    if not chosen:
        raise UsageError("no finished run is left to repeat; 'avbench results list' shows what there is")
    found = [] if fresh else [(r, told) for r in chosen if (told := _known(r, folder, isolation))]
    known = {record.identity for record, _ in found}
    todo = [record for record in chosen if record.identity not in known]
    if found:
        click.echo(f"{len(found)} of {len(chosen)} were repeated before; --fresh repeats them again", err=True)
    sound = [r for r in records if not verdicts.reasons[r.identity]]
    found += _repeat(todo, sound, folder, ResultsFolder(into.absolute()), isolation, device, jobs, by or _name())
    _tell(found, as_json)
    if any(told.verdict == "not reproduced" for _, told in found):
        raise SystemExit(1)


def _of_submission(file: Path, chosen: Sequence[RunRecord], records: Sequence[RunRecord]) -> list[RunRecord]:
    """The chosen runs that a submission holds. Raises :class:`UsageError` where it was not accepted yet."""
    from avbench.harness.records.submission import submitted

    there = {record.identity: record for record in records}
    sent = submitted(file)
    if missing := [record for record in sent if there.get(record.identity) != record]:
        raise UsageError(
            f"{file}: {len(missing)} of its {len(sent)} runs are not among the results, such as "
            f"{describe(missing[0])}; 'avbench results accept' files them"
        )
    wanted = {record.identity for record in sent}
    return [record for record in chosen if record.identity in wanted]


def _sample(chosen: Sequence[RunRecord], count: int, seed: int | None) -> list[RunRecord]:
    from avbench.harness.records.draw import draw

    seed = secrets.randbelow(SEEDS) if seed is None else seed
    drawn = draw(chosen, count, seed)
    click.echo(f"{len(drawn)} of {len(chosen)} runs drawn; --seed {seed} draws them again", err=True)
    return drawn


def _known(record: RunRecord, folder: ResultsFolder, isolation: Isolation) -> Reproduction | None:
    """What a repetition under this isolation came to before, of those that count."""
    from avbench.harness.records.finding import sorted_out
    from avbench.harness.records.reproduction import decisive

    told, _ = sorted_out(folder.reproductions(record), record)
    return decisive(one for one in told if one.isolation == isolation.kind)


def _repeat(
    todo: Sequence[RunRecord],
    sound: Sequence[RunRecord],
    folder: ResultsFolder,
    into: ResultsFolder,
    isolation: Isolation,
    device: str | None,
    jobs: int,
    by: str,
) -> list[tuple[RunRecord, Reproduction]]:
    """Repeat runs, with what all sound ones say of the noise of seeds."""
    os.environ.setdefault(*SHORT_SPIN)
    from avbench.harness.cli.progress import RunProgress
    from avbench.harness.running.repeatable import repetitions_of
    from avbench.harness.running.reproduction import Repeater, hm_of_rows

    planned = repetitions_of(todo)
    repeater = Repeater(folder, into, by, isolation, device, jobs)
    found = []
    with RunProgress([str(run) for run in planned]) as progress:
        runs = list(zip(todo, planned, strict=True))
        for index, repeated, verdict in repeater.reproduce(runs, hm_of_rows(sound), progress.epoch):
            progress.finished(index, repeated)
            found.append((todo[index], verdict))
    return found


def _tell(found: Sequence[tuple[RunRecord, Reproduction]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([told.model_dump(mode="json") for _, told in found], indent=1))
        return
    for record, told in found:
        click.echo(f"{record.identity[:8]}  {describe(record)}: {printable(told.in_words(), 500)}")
    good = sum(told.verdict != "not reproduced" for _, told in found)
    click.echo(f"{good} of {len(found)} runs reproduced{' blind' if all(told.blind for _, told in found) else ''}")


def _name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        return f"user {os.getuid()}"
