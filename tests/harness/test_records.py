"""Record schema and identity."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_results import configuration_of, record_of, simulated_run

from avbench.harness.contract.options import EpochOptions, Preset
from avbench.harness.errors import RecordError
from avbench.harness.plugins.about import _told, presets_of
from avbench.harness.records.record import (
    About,
    Configuration,
    Numerics,
    Part,
    canonical_json,
    decode_record,
    parse_record,
    read_record,
)
from avbench.harness.tracks import Track

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
options = st.dictionaries(st.text(min_size=1, max_size=20), scalars, min_size=1, max_size=8)


def configuration(**changes: Any) -> Configuration:
    record, _ = simulated_run()
    return Configuration.model_validate({**record.configuration.model_dump(), **changes})


@given(options, st.randoms())
def test_the_order_of_options_does_not_matter(values: dict[str, Any], random: Any) -> None:
    names = list(values)
    random.shuffle(names)
    shuffled = {name: values[name] for name in names}
    assert configuration(options=values).identity == configuration(options=shuffled).identity


@given(options, st.data())
def test_any_changed_option_matters(values: dict[str, Any], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(values)))
    other = data.draw(scalars.filter(lambda v: canonical_json(v) != canonical_json(values[name])))
    assert configuration(options=values).identity != configuration(options={**values, name: other}).identity


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "other"},
        {"seed": 1},
        {"dataset": "activitynet"},
        {"features": "cls"},
        {"feature_hash": "0" * 64},
        {"split_fingerprint": "0" * 64},
        {"protocol": {"name": "as-published", "version": 1}},
        {"protocol": {"name": "aligned", "version": 2}},
        {"plugin": {"distribution": "avbench", "version": "9", "source_hash": "0" * 64}},
        {"plugin": {"distribution": "avbench", "version": "1", "source_hash": "1" * 64}},
    ],
)
def test_everything_that_decides_a_result_matters(changes: dict[str, Any]) -> None:
    base = {"plugin": {"distribution": "avbench", "version": "1", "source_hash": "0" * 64}}
    assert configuration(**base).identity != configuration(**{**base, **changes}).identity


def test_round_trip(tmp_path: Path) -> None:
    record, _ = simulated_run()
    path = tmp_path / "record.json"
    path.write_text(record.to_json(), "utf-8")
    assert read_record(path) == record


texts = st.text(max_size=4) | st.lists(st.sampled_from(["a", "\0", "\ud800", "\udc00", "é"]), max_size=3).map("".join)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


ABOUT = {"title": "T", "summary": "", "citation": ""}
STUDY = {"method": "m", "study": "s", "study_hash": "0" * 64, "tracks": ["t"], "trials": 1, "objective": "", "value": 1}


@given(json_values, texts, st.sampled_from(["presets", "options", "variant", "tuned", "code", "warnings"]))
def test_what_is_accepted_can_be_written_and_comes_back_the_same(value: Any, name: str, place: str) -> None:
    data = {
        "presets": {"about": {**ABOUT, "presets": [{"values": {name: value}}]}},
        "options": {"about": {**ABOUT, "options": [{"name": name, "type": "", "default": value}]}},
        "variant": {"about": {**ABOUT, "variant": {name: value}}},
        "tuned": {"tuned": {**STUDY, "options": {"a": value}}},
        "code": {"code": {name: name}},
        "warnings": {"warnings": [name]},
    }[place]
    said = json.dumps(data, ensure_ascii=False)
    if re.search("[\ud800-\udfff]", said):
        with pytest.raises(RecordError, match="half a character"):
            parse_record(data | {"schema_version": 1}, "here")
        return
    try:
        text = parse_record(broken(**data), "here").to_json()
    except RecordError:  # NaN and the like
        assert "NaN" in said or "Infinity" in said
    else:
        assert decode_record(text.encode(), "here").to_json() == text


def broken(**changes: Any) -> dict[str, Any]:
    record, _ = simulated_run()
    return {**record.model_dump(mode="json"), **changes}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "JSON object"),
        (broken(schema_version=99), "newer"),
        (broken(schema_version=0), "schema_version"),
        (broken(identity="0" * 64), "identity"),
        (broken(surprise=1), "surprise"),
        (broken(outcome=None), "outcome or a failure"),
        (broken(variant="x" * 10_000), "variant"),
    ],
)
def test_what_is_not_a_record_is_refused(data: Any, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        parse_record(data, "here")


@pytest.mark.parametrize("value", [-1, 100.001, float("nan"), float("inf"), "50%", None])
def test_impossible_metrics_are_refused(value: Any) -> None:
    data = broken()
    data["outcome"]["metrics"]["HM"] = value
    with pytest.raises(RecordError, match="HM"):
        parse_record(data, "here")


@pytest.mark.parametrize(
    "content", ["", "{", '{"identity": NaN}', "[" * 100_000, '"\ud800"'.encode("utf-8", "surrogatepass")]
)
def test_unreadable_files_are_named(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RecordError, match=r"bad\.json"):
        read_record(path)


def test_a_missing_or_huge_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"none\.json"):
        read_record(tmp_path / "none.json")
    huge = tmp_path / "huge.json"
    huge.write_text(json.dumps("x" * 2**22))
    with pytest.raises(RecordError, match="larger than"):
        read_record(huge)


def test_the_files_that_a_method_reads_beside_its_package_are_told() -> None:
    plain = record_of(configuration_of("avca", Track("ucf", "main"), "aligned", 0))
    assert plain.own_files == ()
    options = {**plain.configuration.options, "teacher": f"/home/me/teacher.pt#sha256={'a' * 64}", "text": "a#sha256=b"}
    changed = plain.configuration.model_copy(update={"options": options})
    record = plain.model_copy(update={"configuration": changed, "code": {"file data/weights.pt": "0" * 64, "mod": "1"}})
    assert record.own_files == ("weights.pt", "teacher.pt")


def parts(kind: type[Part] = Part) -> Iterator[type[Part]]:
    for below in kind.__subclasses__():
        yield below
        yield from parts(below)


def test_ctrl_c_while_a_record_is_written_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: Numerics) -> None:
        raise KeyboardInterrupt

    record, _ = simulated_run()
    monkeypatch.setattr(Numerics, "changed", property(interrupted))
    with pytest.raises(KeyboardInterrupt):
        record.model_dump(mode="json")
    made = {part.__name__: part.__pydantic_decorators__ for part in parts()}
    assert len(made) > 10
    assert [name for name, by in made.items() if by.model_serializers or by.field_serializers] == []


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("measured", "isolation", "process"),
        ("measured", "seeds_at_once", 3),
        ("measured", "compiled", True),
        ("environment", "unknown", ["threads"]),
    ],
)
def test_what_was_always_so_is_not_told(part: str, field: str, value: Any) -> None:
    record, _ = simulated_run()
    told = record.model_dump(mode="json")[part]
    assert field not in told
    content = record.model_dump(mode="json") | {part: {**told, field: value}}
    assert parse_record(content, "here").model_dump(mode="json")[part] == content[part]


def test_what_a_package_tells_of_itself_costs_no_run() -> None:
    """Presets of other tracks are read by nobody before they are told."""

    class Odd(EpochOptions):
        presets = (
            Preset({"x": [{"y": "\ud800"}], "z": float("inf"), "\ud800": 1, "w": {"\udfff": 1}}, dataset="vggsound"),
        )

    told = About(title="", summary="", citation="", presets=[_told(preset) for preset in presets_of(Odd)])
    record, _ = simulated_run(about=told)
    assert parse_record(json.loads(record.to_json()), "here") == record
