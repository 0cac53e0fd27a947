"""What of the printed tables can be run here: in words, and as rows of data. Every printed row is accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

from avbench.harness.printable import printable
from avbench.leaderboard.reproduction.conditions import Conditions
from avbench.leaderboard.reproduction.plan import Prospect, Trial
from avbench.leaderboard.reproduction.printed import PrintedTable

Found = Sequence[tuple[PrintedTable, Sequence[Prospect]]]


def tables_text(found: Found) -> str:
    """One line per table: how many of its numbers' places (a row on a track) can be run, and what the rest lacks."""
    lines = []
    for table, prospects in found:
        states = Counter(prospect.state for prospect in prospects)
        counted = [str(states[state] or "") for state in ("reachable", "needs features", "out of reach")]
        why = f"no accuracies: see '{table.entry.instead}'" if table.entry.instead else _lacking(prospects)
        lines.append([table.paper, table.entry.table, table.entry.title, str(len(prospects) or ""), *counted, why])
    heads = ["paper", "table", "", "places", "reachable", "need\nfeatures", "out of\nreach", "lacking"]
    align = ["left"] * 3 + ["right"] * 4 + ["left"]
    grid = tabulate(lines, headers=heads, tablefmt="simple", colalign=align, disable_numparse=True)
    return f"{grid}\n\nA place is a printed row on one track. Row by row: name a paper, or --json."


def places_text(table: PrintedTable, prospects: Sequence[Prospect]) -> str:
    """One line per printed row and track: what is run, or why nothing is."""
    if table.entry.instead:
        return f"{table.name}: {table.entry.title}. No accuracies: see '{table.entry.instead}'"
    lines = [
        [p.claim.row, str(p.claim.track), _run(p), p.state, printable("; ".join(p.remarks), 100)] for p in prospects
    ]
    heads = ["row", "printed on", "run as", "", ""]
    grid = tabulate(lines, headers=heads, tablefmt="simple", disable_numparse=True)
    return f"{table.name}: {table.entry.title}\n\n{grid}"


def trials_text(table: PrintedTable, made: Sequence[Trial], finished: set[str], conditions: Conditions) -> str:
    """One line per printed row and track: its runs, and how many of them are finished (``finished``: identities)."""
    lines = []
    for trial in made:
        prospect = trial.prospect
        there = sum(run.configuration.identity in finished for run in trial.runs)
        state = f"{_counted(trial.runs)}, {there} finished already" if trial.runs else printable(prospect.reason, 200)
        lines.append([trial.claim.row, str(prospect.track or trial.claim.track), _run(prospect), state])
    head = [f"{table.name}: {table.entry.title}", *conditions.in_words(made)]
    grid = tabulate(lines, headers=["row", "track", "run as", ""], tablefmt="simple", disable_numparse=True)
    return "\n".join([*head, "", grid])


def places_json(found: Found) -> list[dict[str, Any]]:
    """One object per printed row and track, and one per table without accuracies."""
    rows: list[dict[str, Any]] = []
    for table, prospects in found:
        place = {"paper": table.paper, "table": table.entry.table}
        if table.entry.instead:
            rows.append({**place, "title": table.entry.title, "instead": table.entry.instead})
        for prospect in prospects:
            recipe = prospect.recipe
            rows.append(
                {
                    **place,
                    "row": prospect.claim.row,
                    "track": str(prospect.claim.track),
                    "state": prospect.state,
                    "reason": prospect.reason,
                    "method": recipe and recipe.method,
                    "variant": recipe and recipe.variant,
                    "run_on": prospect.track and str(prospect.track),
                    "remarks": list(prospect.remarks),
                }
            )
    return rows


def trials_json(table: PrintedTable, made: Sequence[Trial], finished: set[str]) -> list[dict[str, Any]]:
    """One object per run that a printed row needs."""
    return [
        {
            "paper": table.paper,
            "table": table.entry.table,
            "row": trial.claim.row,
            "run": str(run),
            "identity": run.configuration.identity,
            "options": run.configuration.options,
            "share_of_steps": trial.share,
            "finished": run.configuration.identity in finished,
        }
        for trial in made
        for run in trial.runs
    ]


def _counted(runs: Sequence[object]) -> str:
    return f"{len(runs)} run{'' if len(runs) == 1 else 's'}"


def _run(prospect: Prospect) -> str:
    recipe = prospect.recipe
    return " ".join(filter(None, (recipe.method, recipe.variant))) if recipe else ""


def _lacking(prospects: Sequence[Prospect]) -> str:
    """The features that are not installed, by their names, and other reasons."""
    features = sorted({p.claim.features for p in prospects if p.state == "needs features"})
    reasons = dict.fromkeys(p.reason for p in prospects if p.state == "out of reach")
    said = ([f"features {', '.join(features)}"] if features else []) + list(reasons)
    return printable("; ".join(said), 70)
