"""``avbench leaderboard build``: results in, a folder of HTML out. Same input, same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from importlib.metadata import version
from pathlib import Path

from avbench.harness.atomic import begun_folder
from avbench.harness.errors import UsageError
from avbench.harness.records.reproduction import Required
from avbench.harness.records.results import ResultsFolder
from avbench.leaderboard.site import exports, feed
from avbench.leaderboard.site.exchange import recover, take_place
from avbench.leaderboard.site.files import MANIFEST, Manifest, hashes, write
from avbench.leaderboard.site.gate import judge_for_site, withhold
from avbench.leaderboard.site.model import Site, site_of
from avbench.leaderboard.site.page import File, Page
from avbench.leaderboard.site.pages import (
    averages,
    badges,
    boards,
    compare,
    datasets,
    defects,
    demo,
    downloads,
    faq,
    home,
    methods,
    more,
    papers,
    rejected,
    search,
    submit,
)
from avbench.leaderboard.site.plots.preview import preview

ASSETS = ("site.css", "theme.js", "dom.js", "plot.js", "search.js", "compare.js", "site.js")


def build_site(
    folder: ResultsFolder,
    out: Path,
    *,
    processes: int = 2,
    url: str | None = None,
    project: str | None = None,
    require: Required | None = None,
) -> Site:
    """Build the site of a results folder into ``out``, which must be new, empty or an earlier build.

    ``url``: where the site will be published, for the feed of changes and what pages tell of themselves. ``project``:
    where the project is, for its links. ``require``: only rows that were reproduced so. A folder that does not exist
    counts as empty: then the site shows what papers print. Raises :class:`UsageError` for a folder that holds something
    else.
    """
    recover(out)
    if out.is_symlink() or (out.exists() and not (out.is_dir() and _ours(out))):
        raise UsageError(f"{out} exists and was not made by 'avbench leaderboard build'; name another folder")
    with begun_folder(out) as temporary:
        staging = temporary / "site"
        staging.mkdir()
        gate = judge_for_site(folder, staging, processes, url)
        site = site_of(withhold(gate, require, folder, staging) if require else gate, require)
        for item in _everything(site, url, project):
            write(staging, item, url)
        manifest = Manifest(
            avbench=version("avbench"),
            records=len(site.gate.sound),
            failed=len(site.gate.failed),
            rejected=len(site.gate.rejected),
            updated=site.updated,
            files=hashes(staging),
        )
        write(staging, File(MANIFEST, manifest.model_dump_json(indent=1) + "\n"))
        take_place(staging, out)
    return site


def _everything(site: Site, url: str | None, project: str | None) -> Iterator[Page | File]:
    for name in ASSETS:
        yield File(f"assets/{name}", (resources.files("avbench.leaderboard.site") / "assets" / name).read_text("utf-8"))
    if url:  # a picture is told by its whole address
        yield File("assets/preview.png", preview())
    yield File(".nojekyll", "")
    rooms = (home, boards, averages, compare, demo, methods, datasets, papers, defects, rejected, downloads, faq, more)
    for room in (*rooms, search):
        yield from room.pages(site)
    yield from badges.pages(site, url)
    yield from submit.pages(project)
    yield from exports.files(site)
    yield from feed.files(site, url)


def _ours(folder: Path) -> bool:
    return (folder / MANIFEST).is_file() or not any(folder.iterdir())
