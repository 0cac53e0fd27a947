"""The option that says whether training steps are compiled."""

from __future__ import annotations

from typing import get_args

import click

from avbench.harness.records.record import Compile

compile_option = click.option(
    "--compile",
    type=click.Choice(get_args(Compile)),
    default="auto",
    show_default=True,
    help="Compile training steps; auto: on CUDA, in long trainings. Recorded.",
)
