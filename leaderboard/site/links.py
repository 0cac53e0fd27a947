"""Where everything lives on the site. Names in records are letters, digits, dots, dashes and underscores only; keys of
methods may hold a tilde."""

from __future__ import annotations

from avbench.harness.records.record import RunRecord
from avbench.leaderboard.boards import Board, RerunRow

DEMO = "demo.html"


def board(b: Board) -> str:
    """The page of a board; all boards on simulated features share one page."""
    return DEMO if b.simulated else f"{board_stem(b)}.html"


def board_stem(b: Board) -> str:
    """The path of a board's files, without suffix."""
    root = "demo" if b.simulated else "boards"
    return f"{root}/{b.track.dataset}/{b.track.features}/{b.protocol}-v{b.protocol_version}"


def board_of_run(record: RunRecord) -> str:
    """The page of the board that a run stands on."""
    c = record.configuration
    if record.simulated or c.track.simulated:
        return DEMO
    return f"boards/{c.dataset}/{c.features}/{c.protocol.name}-v{c.protocol.version}.html"


def row_anchor(row: RerunRow) -> str:
    """The id of a re-run row on its board."""
    return f"row-{row_key(row)}"


def claim_anchor(number: int) -> str:
    """The id of a printed row on its board; the first has number 1."""
    return f"claim-{number}"


def printed_anchor(number: int) -> str:
    """The id of a printed row on the page of its paper; the first has number 1."""
    return f"printed-{number}"


def compare(b: Board) -> str:
    """The page that compares rows of a track."""
    return f"{compare_root(b)}.html"


def compare_root(b: Board) -> str:
    """The folder of the numbers that it shows."""
    return f"{'demo/' if b.simulated else ''}compare/{b.track.dataset}/{b.track.features}"


def row_key(row: RerunRow) -> str:
    """What names a row where rows are compared."""
    return row.group[:16]


def run(record: RunRecord) -> str:
    return f"runs/{record.identity[:20]}.html"


def run_file(record: RunRecord, suffix: str) -> str:
    """A file beside the page of a run, such as ``runs/<identity>.json``."""
    return f"runs/{record.identity[:20]}{suffix}"


def method(key: str) -> str:
    """See :func:`avbench.leaderboard.claims.method_key`."""
    return f"methods/{key}.html"


def dataset(name: str) -> str:
    return f"datasets/{name}.html"


def paper(slug: str) -> str:
    return f"papers/{slug}.html"
