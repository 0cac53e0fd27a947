"""``avbench leaderboard build | serve | publish``: the static site of all results."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click
from click.core import ParameterSource

from avbench.harness.cli.lazy import LazyGroup
from avbench.harness.cli.selection import results_option
from avbench.harness.errors import UsageError
from avbench.harness.printable import printable
from avbench.harness.records.reproduction import Required
from avbench.harness.records.results import ResultsFolder

_site_option = click.option(
    "--site",
    default="site",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the site.",
)


@click.group(cls=LazyGroup, place="leaderboard")
def leaderboard() -> None:
    """Build, look at and publish the leaderboard."""


@leaderboard.command()
@results_option
@_site_option
@click.option("--jobs", default=2, show_default=True, type=click.IntRange(1, 256), help="Parallel processes.")
@click.option("--url", help="Where the site will be published; makes the links of its feed absolute.")
@click.option("--project", help="Address of the project; makes links to it and to its documentation.")
@click.option(
    "--require",
    type=click.Choice(get_args(Required)),
    help="Only rows with a run that was repeated, or repeated blind, and none that was not reproduced.",
)
def build(
    folder: ResultsFolder, site: Path, jobs: int, url: str | None, project: str | None, require: Required | None
) -> None:
    """Recompute every record from its evidence and write the site. The same input gives the same bytes.

    Records that do not verify are named, listed on the site with the reason, and stay off the boards. Those that
    contradict each other are named too; they stay, with a mark.
    """
    from avbench.leaderboard.site import build_site

    for option, address in (("--url", url), ("--project", project)):
        if address is not None and not address.startswith(("https://", "http://")):
            raise UsageError(f"{option} {address!r}: an address starts with https://")
    source = click.get_current_context().get_parameter_source("folder")
    if source is not ParameterSource.DEFAULT and not folder.root.is_dir():  # a site of printed numbers alone is wanted
        raise UsageError(f"no folder {folder.root}: leave out --results for a site of printed numbers alone")
    built = build_site(folder, site, processes=jobs, url=url, project=project, require=require)
    for rejected in built.gate.rejected:
        click.echo(f"left out: {printable(rejected.where)}: {printable('; '.join(rejected.reasons), 500)}", err=True)
    for dispute in built.gate.disputes:
        click.echo(f"in conflict: {printable(dispute.in_words(), 500)}", err=True)
    if built.gate.withheld:
        click.echo(f"{len(built.gate.withheld)} runs are not what --require {require} asks; the site lists them apart")
    click.echo(
        f"{site / 'index.html'}: {len(built.gate.sound)} runs on {len(built.boards)} boards, "
        f"{len(built.gate.rejected)} records left out, {len(built.gate.failed)} failed runs"
    )


@leaderboard.command()
@_site_option
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
def serve(site: Path, port: int) -> None:
    """Serve a built site on this machine until Ctrl-C. The pages also open from the disk, without a server."""
    from avbench.leaderboard.site import serve_site

    serve_site(site, port, lambda url: click.echo(f"{url} (Ctrl-C ends)"))


@leaderboard.command()
@click.argument("remote")
@_site_option
@click.option("--branch", default="gh-pages", show_default=True, help="Branch that holds nothing but the site.")
@click.option("--allow-rejected", is_flag=True, help="Publish although records were left out.")
def publish(remote: str, site: Path, branch: str, allow_rejected: bool) -> None:
    """Push a built site to a branch of REMOTE, a git remote, URL or path, as the branch's only commit.

    Refused: a folder that is not as it was built, a build that left records out, a branch with other content.
    """
    from avbench.leaderboard.site import publish_site

    published = publish_site(site, remote, branch, allow_rejected=allow_rejected)
    what = "published" if published.changed else "up to date"
    click.echo(f"{branch} of {remote}: {what} ({published.commit[:12]})")
