"""``avbench splits``: which classes and clips train and test, and which label vectors the published rule mixes up."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from tabulate import tabulate

from avbench.harness.cli.lazy import LazyGroup
from avbench.harness.errors import UsageError
from avbench.splits import DATASETS, PARTITIONS, PARTS, PartFacts, Split, SplitClass, SplitError, load_split

UNKNOWN = "?"

_partition_option = click.option(
    "--partition", default="main", show_default=True, metavar="main|cls", help="Class partition."
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@contextmanager
def _usage_errors() -> Iterator[None]:
    try:
        yield
    except SplitError as error:
        raise UsageError(str(error)) from error


@click.group(cls=LazyGroup, place="splits")
def splits() -> None:
    """List, show and audit split definitions."""


@splits.command("list")
@_json_option
def list_splits(as_json: bool) -> None:
    """One row per data set and class partition: classes used, seen and unseen in the test, clips per part."""
    rows = [_summary(load_split(dataset, partition)) for dataset in DATASETS for partition in PARTITIONS]
    if as_json:
        _print_json(rows)
        return
    columns = ["dataset", "partition", "classes", "seen", "unseen"]
    table = [[*(row[name] for name in columns), *row["videos"].values()] for row in rows]
    _print_table(table, [*columns, *PARTS])


@splits.command()
@click.argument("dataset")
@_partition_option
@click.option("--part", metavar="PART", help=f"Only the classes of one part: {', '.join(PARTS)} or stage_2_train.")
@_json_option
def show(dataset: str, partition: str, part: str | None, as_json: bool) -> None:
    """Parts and classes of a data set, with the text whose vector a class gets as published where it is not its own."""
    with _usage_errors():
        split = load_split(dataset, partition)
        classes = split.classes_of(part) if part else [c for c in split.classes if c.role != "unused"]
    facts = [split.parts[part]] if part else list(split.parts.values())
    unused = [c.name for c in split.classes if c.role == "unused"]
    if as_json:
        detail = {"parts": [vars(f) for f in facts], "classes": [_detail(split, c) for c in classes], "unused": unused}
        _print_json({**_summary(split), **detail})
        return
    click.echo(f"{split.dataset}/{split.partition}, fingerprint {split.fingerprint}\n")
    _print_table([_facts_row(f) for f in facts], ["part", "classes", "videos", "sha-256 of the video list"])
    columns = [part] if part else list(PARTS)
    table = [
        [c.id, c.name, c.prompt, c.role, *(c.videos[column] for column in columns), _wrong_prompt(split, c)]
        for c in classes
    ]
    click.echo()
    _print_table(table, ["id", "class", "prompt", "role", *columns, "vector as published"])
    if unused:
        click.echo(f"\nNot used: {len(unused)} of the {len(split.classes)} classes of the source data set.")


@splits.command()
@click.argument("dataset")
@_partition_option
@_json_option
def audit(dataset: str, partition: str, as_json: bool) -> None:
    """Classes that get another class's label vector under the as-published rule, and whose vector it is."""
    with _usage_errors():
        split = load_split(dataset, partition)
    groups = {"all source classes": split.classes, **{part: split.classes_of(part) for part in split.parts}}
    counts = [{"part": name, **_displaced_counts(split, classes)} for name, classes in groups.items()]
    pairs = [_pair(c, split.vector_owner(c)) for c in split.classes if split.vector_owner(c) is not c]
    if as_json:
        _print_json({"dataset": split.dataset, "partition": split.partition, "parts": counts, "displaced": pairs})
        return
    click.echo(
        f"{split.dataset}/{split.partition}: classes with another class's label vector under the as-published rule,\n"
        "and by whose vector: of a trained class, of a test-unseen class, of a class that is not used.\n"
    )
    _print_table([list(row.values()) for row in counts], ["part", "classes", "displaced", "trained", "test", "unused"])
    click.echo()
    headers = ["id", "class", "role", "own prompt", "vector as published", "of class", "its role"]
    _print_table([list(pair.values()) for pair in pairs], headers)


def _summary(split: Split) -> dict[str, Any]:
    return {
        "dataset": split.dataset,
        "partition": split.partition,
        "classes": sum(c.role != "unused" for c in split.classes),
        "seen": split.parts["test_seen"].classes,
        "unseen": split.parts["test_unseen"].classes,
        "videos": {part: split.parts[part].videos for part in PARTS},
        "source_classes": len(split.classes),
        "fingerprint": split.fingerprint,
    }


def _detail(split: Split, c: SplitClass) -> dict[str, Any]:
    return {**vars(c), "vector_as_published": split.vector_owner(c).prompt}


def _facts_row(facts: PartFacts) -> list[object]:
    return [facts.part, facts.classes, facts.videos, facts.digest or "the list is not public; the count is the paper's"]


def _wrong_prompt(split: Split, c: SplitClass) -> str:
    owner = split.vector_owner(c)
    return "" if owner is c else owner.prompt


def _displaced_counts(split: Split, classes: Sequence[SplitClass]) -> dict[str, int]:
    owners = [split.vector_owner(c) for c in classes if split.vector_owner(c) is not c]
    roles = Counter(owner.role for owner in owners)
    return {
        "classes": len(classes),
        "displaced": len(owners),
        "vector_of_trained": roles["train"] + roles["val_unseen"],
        "vector_of_test_unseen": roles["test_unseen"],
        "vector_of_unused": roles["unused"],
    }


def _pair(c: SplitClass, owner: SplitClass) -> dict[str, Any]:
    return {
        "id": c.id,
        "class": c.name,
        "role": c.role,
        "prompt": c.prompt,
        "vector_as_published": owner.prompt,
        "vector_owner": owner.name,
        "vector_owner_role": owner.role,
    }


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=1))


def _print_table(rows: Sequence[Sequence[object]], headers: list[str]) -> None:
    click.echo(tabulate(rows, headers=headers, missingval=UNKNOWN))
