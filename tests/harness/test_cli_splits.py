"""``avbench splits`` from the outside."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from click.testing import CliRunner

from avbench.harness.cli import cli, main
from avbench.splits import DATASETS, PARTITIONS, PARTS, load_split


def _output(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["splits", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def _json(*arguments: str) -> Any:
    return json.loads(_output(*arguments, "--json"))


def test_list_has_a_row_per_data_set_and_partition() -> None:
    table = [line.split() for line in _output("list").splitlines()]
    assert table[0] == ["dataset", "partition", "classes", "seen", "unseen", *PARTS]
    assert [row[:2] for row in table[2:]] == [[d, p] for d in DATASETS for p in PARTITIONS]
    assert table[3] == ["ucf", "cls", "48", "42", "6", "3174", "353", "1467", "555", "845"]
    listed = _json("list")
    assert [
        list(map(str, [row["classes"], row["seen"], row["unseen"], *row["videos"].values()])) for row in listed
    ] == [row[2:] for row in table[2:]]
    assert [row["fingerprint"] for row in listed] == [
        load_split(d, p).fingerprint for d in DATASETS for p in PARTITIONS
    ]


def test_show_names_the_wrong_vector_only_where_it_is_wrong() -> None:
    lines = _output("show", "ucf").splitlines()
    (displaced,) = (line for line in lines if " ShavingBeard " in line)
    assert displaced.endswith("Shotput")
    (right,) = (line for line in lines if " ApplyLipstick " in line)
    assert right.split()[-1] == "0"
    assert lines[-1] == "Not used: 50 of the 101 classes of the source data set."


def test_show_one_part() -> None:
    shown = _json("show", "activitynet", "--partition", "cls", "--part", "test_unseen")
    split = load_split("activitynet", "cls")
    assert [c["id"] for c in shown["classes"]] == [c.id for c in split.classes_of("test_unseen")]
    assert [facts["digest"] for facts in shown["parts"]] == [split.parts["test_unseen"].digest]
    assert shown["unused"] == ["Brushingteeth", "Knitting"]
    (omelette,) = (c for c in shown["classes"] if c["name"] == "Makinganomelette")
    assert (omelette["prompt"], omelette["vector_as_published"]) == ("Making an omelette", "Making a sandwich")
    assert "Archery" not in _output("show", "activitynet", "--partition", "cls", "--part", "test_unseen")


def test_show_marks_what_no_public_list_says() -> None:
    assert "the list is not public; the count is the paper's" in _output("show", "vggsound", "--part", "train")
    assert {c["videos"]["train"] for c in _json("show", "vggsound", "--part", "train")["classes"]} == {None}


def test_audit_counts_and_pairs() -> None:
    audit = _json("audit", "vggsound")
    counts = {row.pop("part"): row for row in audit["parts"]}
    assert counts["all source classes"]["displaced"] == len(audit["displaced"]) == 205
    assert counts["test_unseen"] == {
        "classes": 69,
        "displaced": 42,
        "vector_of_trained": 31,
        "vector_of_test_unseen": 9,
        "vector_of_unused": 2,
    }
    table = _output("audit", "activitynet")
    assert ["test_unseen", "50", "1", "1", "0", "0"] in [line.split() for line in table.splitlines()]
    assert re.search(r"Making an omelette +Making a sandwich +Makingasandwich", table)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "ufc"], "unknown data set 'ufc'. Did you mean 'ucf'?"),
        (["show", "ucf", "--partition", "mian"], "unknown class partition 'mian'. Did you mean 'main'?"),
        (["show", "ucf", "--part", "tset_seen"], "unknown part 'tset_seen'. Did you mean 'test_seen'?"),
        (["audit", "vgsound"], "unknown data set 'vgsound'. Did you mean 'vggsound'?"),
    ],
)
def test_a_misspelt_name_is_a_usage_error(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["splits", *arguments])
    assert exited.value.code == 2
    assert message in capsys.readouterr().err


def test_listing_imports_neither_torch_nor_pandas() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from avbench.harness.cli import cli; "
        "assert CliRunner().invoke(cli, ['splits', 'list']).exit_code == 0; "
        "print(*{'torch', 'pandas', 'numpy'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
