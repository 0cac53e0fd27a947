"""Builds the guide, strictly: `python docs build`; `python docs serve` shows it and follows what is written.

Both work in a folder of their own: the pages of this folder, the generated ones, and the packages of the checkout as
they are imported, all by links. Nothing is written into the checkout but the finished site, and nothing is fetched.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from generate import GENERATED
from links import broken_links

DOCS = Path(__file__).absolute().parent
ROOT = DOCS.parent


@contextmanager
def project() -> Iterator[Path]:
    """The folder in which Zensical works, as ``zensical.toml`` expects it."""
    with tempfile.TemporaryDirectory(prefix="avbench-docs-") as temporary:
        folder = Path(temporary).resolve()
        shutil.copy(DOCS / "zensical.toml", folder)  # of a link it would take the folder that the link leads to
        (folder / "written").symlink_to(DOCS, target_is_directory=True)
        for page in DOCS.rglob("*.md"):
            link = folder / "docs" / page.relative_to(DOCS)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(page)
        for name, content in GENERATED.items():
            (folder / "docs" / name).write_text(content(), "utf-8")
        subprocess.run([sys.executable, ROOT / ".ci" / "packages", folder / "packages"], check=True)
        yield folder


def misplaced(folder: Path) -> Iterator[str]:
    """Pages that the navigation lacks, and entries of it without a page."""
    settings = tomllib.loads((folder / "zensical.toml").read_text("utf-8"))
    listed = set(_pages(settings["project"]["nav"]))
    there = {page.relative_to(folder / "docs").as_posix() for page in (folder / "docs").rglob("*.md")}
    yield from (f"{name} is not in the navigation of docs/zensical.toml" for name in sorted(there - listed))
    yield from (f"docs/zensical.toml names {name}, which is not there" for name in sorted(listed - there))


def _pages(nav: Any) -> Iterator[str]:
    match nav:
        case str():
            yield nav
        case list():
            for entry in nav:
                yield from _pages(entry)
        case dict():
            for entry in nav.values():
                yield from _pages(entry)


def zensical(folder: Path, *arguments: str) -> None:
    """Run the generator; end with its exit code if that is not 0."""
    command = [sys.executable, "-m", "zensical", *arguments, "--config-file", str(folder / "zensical.toml")]
    if code := subprocess.run(command, cwd=folder, check=False).returncode:
        sys.exit(code)


@click.group()
def guide() -> None:
    """Build the guide, or show it."""


@guide.command()
@click.option(
    "--site-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=ROOT / "build" / "guide",
    help="Where the pages go. Default: build/guide.",
)
def build(site_dir: Path) -> None:
    """Build the guide. Any warning, broken link or page outside the navigation is an error."""
    if site_dir.exists() and any(site_dir.iterdir()) and not (site_dir / "objects.inv").exists():
        raise click.ClickException(f"{site_dir} holds something else than a guide; name another folder.")
    with project() as folder:
        zensical(folder, "build", "--strict")
        if problems := [*misplaced(folder), *broken_links(folder / "site")]:
            raise click.ClickException("the guide is broken:\n  " + "\n  ".join(problems))
        shutil.rmtree(site_dir, ignore_errors=True)
        shutil.copytree(folder / "site", site_dir)
    click.echo(f"The guide is in {site_dir}")


@guide.command()
@click.option("--address", default="localhost:8000", show_default=True, help="IP address and port.")
def serve(address: str) -> None:
    """Show the guide in a browser and follow changes of written pages; Ctrl-C ends."""
    with project() as folder:
        zensical(folder, "serve", "--dev-addr", address)


if __name__ == "__main__":
    guide()
