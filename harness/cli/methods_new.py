"""``avbench methods new``: an installable package with a method of one's own."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from avbench.harness.plugins.registry import plugins


@click.command()
@click.argument("name")
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Folder to write the package into; by default the current one.",
)
@click.option(
    "--kind",
    type=click.Choice(("averaged", "temporal")),
    default="averaged",
    show_default=True,
    help="Features that the method reads: averaged, or over time.",
)
def new(name: str, into: Path, kind: str) -> None:
    """Write a package with a method called NAME that already trains and passes its tests: change it into yours.

    The package is a new folder avbench-NAME. An existing one is never touched.
    """
    from avbench.harness.scaffold.package import Package

    package = Package.named(name, taken=plugins().methods, over_time=kind == "temporal")
    folder = package.write(into)
    click.echo(f"Wrote {folder}. Your method is {folder / 'src' / package.module / 'method.py'}. Next:\n")
    click.echo(f"  pip install -e {shlex.quote(str(folder))}")
    click.echo(f"  avbench methods check {package.slug}")
    features = " --features demo-temporal" if package.over_time else ""
    click.echo(f"  avbench run --method {package.slug} --all-datasets{features}")
