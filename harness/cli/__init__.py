"""The command line: one file per noun, loaded only when it is called."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from avbench.harness.cli.lazy import LazyGroup
from avbench.harness.cli.signals import Ended, heard
from avbench.harness.errors import AvbenchError
from avbench.harness.plugins.commands import Command, plugin_commands

COMMANDS = (
    Command("run", "avbench.harness.cli.run:run", "Train and evaluate methods under the fixed protocol."),
    Command("tune", "avbench.harness.cli.tune:tune", "Search the options of a method on validation alone."),
    Command("jobs", "avbench.harness.cli.jobs:jobs", "List and cancel jobs on a cluster, show their logs."),
    Command("methods", "avbench.harness.cli.methods:methods", "List, show, make and check methods."),
    Command("data", "avbench.harness.cli.data:data", "Import, verify and remove features."),
    Command("splits", "avbench.harness.cli.splits:splits", "List and show split definitions."),
    Command("results", "avbench.harness.cli.results:results", "List, show and tabulate results."),
    Command("plugins", "avbench.harness.cli.plugins:plugins", "List plugins."),
    Command("doctor", "avbench.harness.cli.doctor:doctor", "Check the installation and say what to do next."),
)


@click.group(cls=LazyGroup, place="", built_in=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--strict-plugins",
    is_flag=True,
    envvar="AVBENCH_STRICT_PLUGINS",
    help="Fail when any plugin fails, instead of leaving it out with a warning.",
)
@click.version_option(package_name="avbench")
def cli(strict_plugins: bool) -> None:
    """The fair, fast, reproducible leaderboard for audio-visual generalised zero-shot learning."""
    if strict_plugins:
        _require_sound_plugins()


@cli.result_callback()
def _after(_result: object, strict_plugins: bool) -> None:
    if strict_plugins:  # a plugin may also fail later than when it is loaded
        _require_sound_plugins()


def _require_sound_plugins() -> None:
    from avbench.harness.plugins.registry import plugins

    plugins().require_sound(plugin_commands().broken)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 usage, 3 data, 4 record, 5 plugin.

    130: Ctrl-C, 143: SIGTERM, 129: SIGHUP.
    """
    try:
        with heard():
            cli.main(args=arguments, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except AvbenchError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort) as error:
        click.echo("interrupted; finished work is kept", err=True)
        cause = error.__cause__ if isinstance(error, click.Abort) else error  # click makes its own of an interrupt
        sys.exit(cause.exit_code if isinstance(cause, Ended) else 130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:  # a full disk, a folder that may not be written to
        click.echo(f"error: {error.filename or 'system'}: {error.strerror or error}", err=True)
        sys.exit(AvbenchError.exit_code)
