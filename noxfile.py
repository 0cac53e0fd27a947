"""The tasks of a developer: `nox --list` names them, `nox --session style` runs one.

Nox and not a justfile: it comes from the same registry as everything else here, and it makes the environments of
several Pythons itself. What a task does stands in `.ci/`, where continuous integration finds it too.
"""

import nox

PYTHONS = nox.project.python_versions(nox.project.load_toml("pyproject.toml"))

nox.options.default_venv_backend = "none"  # the active environment, but for `pythons`
nox.options.sessions = ["style", "types", "imports", "guide"]


@nox.session
def style(session: nox.Session) -> None:
    """Check style and form (ruff)."""
    session.run(".ci/style", external=True)


@nox.session
def form(session: nox.Session) -> None:
    """Mend style and form where ruff can."""
    session.run("ruff", "check", "--fix", ".", external=True)
    session.run("ruff", "format", ".", external=True)


@nox.session
def types(session: nox.Session) -> None:
    """Check types (mypy, strict)."""
    session.run(".ci/types", external=True)


@nox.session
def imports(session: nox.Session) -> None:
    """Check who imports whom (import-linter)."""
    session.run(".ci/imports", external=True)


@nox.session
def guide(session: nox.Session) -> None:
    """Build the guide, strictly."""
    session.run(".ci/guide", external=True)


@nox.session
def serve(session: nox.Session) -> None:
    """Show the guide in a browser and follow what is written."""
    session.run("python", "docs", "serve", *session.posargs, external=True)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests; arguments after `--` go to pytest instead: `nox -s tests -- tests/docs -x`."""
    session.run(*(["pytest", *session.posargs] if session.posargs else [".ci/tests"]), external=True)


@nox.session
def everything(session: nox.Session) -> None:
    """Run all of continuous integration in an environment of its own."""
    session.run(".ci/run", external=True)


@nox.session(python=PYTHONS, venv_backend="venv")
def pythons(session: nox.Session) -> None:
    """Run the tests on every supported Python that is installed: `nox -s pythons-3.13` on one."""
    session.run(".ci/install", external=True)
    session.run(".ci/tests", external=True)
