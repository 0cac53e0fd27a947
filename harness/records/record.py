"""The result record: one JSON per run, versioned, validated at the door. Knows no torch."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)

from avbench.harness.contract.encoder import Seen
from avbench.harness.errors import RecordError
from avbench.harness.tracks import Track
from avbench.harness.untrusted import read_limited, refuse_half_characters

_Model = TypeVar("_Model", bound=BaseModel)

SCHEMA_VERSION: Literal[1] = 1
_INPUT_FILE = re.compile(r".#sha256=[0-9a-f]{64}$")
MAX_RECORD_BYTES = 4 * 2**20
MAX_EPOCHS = 20_000
"""Of a run: with more, its record could become too large to be read."""

Precision = Literal["float32", "tf32", "bfloat16"]
"""Of matrix products: full float32, TensorFloat-32 (CUDA), or bfloat16 by automatic casting."""
FeatureDtype = Literal["float32", "float16", "bfloat16"]
"""How audio and visual features are held in the memory of the device; a method gets float32 all the same."""
Compile = Literal["auto", "on", "off"]
"""Whether training steps are compiled. Not one of the :class:`Numerics`: these choose how exact products and features
are, and are part of what a run is. Compiling rounds in another order, as another number of threads, another device or
seeds in one step do, and whether it is done may hang on the machine. So it is told beside those, and repeated."""
IsolationKind = Literal["none", "process", "sandbox"]
"""Where the method was: in the harness's process, in one of its own, or shut in there."""

Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Text = Annotated[str, Field(max_length=2_000)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Percent = Annotated[float, Field(ge=0, le=100)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]


class Part(BaseModel):
    """Base of every part of a record.

    A field that is not always told has ``exclude_if``, never a serializer function: pydantic makes an error of its own
    of the Ctrl-C that falls into one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Plugin(Part):
    """Where the method's code came from."""

    distribution: Name
    version: Text
    source_hash: Sha256
    """Over the parts of the method's code: its modules and those of its bases, their data, the files that it names."""


class ProtocolVersion(Part):
    name: Name
    version: int = Field(ge=1)


class Numerics(Part):
    """How numbers are held and multiplied. What differs from float32 is an option of a run, never a default."""

    precision: Precision = "float32"
    feature_dtype: FeatureDtype = "float32"

    @property
    def changed(self) -> dict[str, str]:
        """What differs from the default."""
        return {name: str(value) for name, value in self if value != type(self).model_fields[name].default}


class Configuration(Part):
    """Everything that decides a result. Equal configurations are the same run."""

    method: Name
    plugin: Plugin
    options: dict[str, JsonValue]
    """The effective options, budget (epochs, batches) included."""
    dataset: Name
    features: Name
    feature_hash: Sha256
    split_fingerprint: Sha256
    protocol: ProtocolVersion
    seed: int = Field(ge=0, lt=2**32)
    numerics: Numerics = Field(Numerics(), exclude_if=lambda numerics: not numerics.changed)
    """The default ones are left out: a run with them has the identity that it had before there was a choice."""

    @property
    def track(self) -> Track:
        return Track(self.dataset, self.features)

    @property
    def identity(self) -> str:
        """SHA-256 over the canonical JSON: the order of options does not matter, any value does."""
        return hashlib.sha256(canonical_json(self.model_dump(mode="json")).encode()).hexdigest()

    @property
    def row(self) -> str:
        """Canonical JSON of all but the seed: equal for the runs of one row."""
        return canonical_json(self.model_dump(mode="json", exclude={"seed"}))


class Capabilities(Part):
    """What the board must say beside a method's name."""

    inputs: Literal["averaged", "temporal"]
    uses_unseen_names: bool
    generative: bool
    calibrated_stacking: bool = True
    """False: the scores are final and the offset is fixed at 0."""


class ToldDifference(Part):
    """One known difference between a paper and its reference code."""

    topic: Text
    paper: Text
    code: Text
    option: Text | None = None


class ToldOption(Part):
    """One option of a method: its schema in words."""

    name: Text
    type: Text
    default: JsonValue = None
    bounds: Text = ""
    description: Text = ""


class ToldPreset(Part):
    """Values of options for some tracks and protocols; None stands for every one."""

    values: dict[Text, JsonValue]
    dataset: Text | None = None
    features: Text | None = None
    protocol: Text | None = None


class About(Part):
    """What a method says about itself, for a reader who has not installed it. Records of earlier versions say less."""

    title: Text
    summary: Text
    citation: Text
    year: int | None = None
    bibtex: Annotated[str, Field(max_length=20_000)] = ""
    where: Text = ""
    """Where its package can be had: an address."""
    texts: Annotated[list[Text], Field(max_length=100)] = []
    """The text vectors that it reads by name, where a track has several kinds per class."""
    differences: Annotated[list[ToldDifference], Field(max_length=200)] = []
    notes: Annotated[list[Text], Field(max_length=200)] = []
    options: Annotated[list[ToldOption], Field(max_length=500)] = []
    presets: Annotated[list[ToldPreset], Field(max_length=500)] = []
    """Later ones win."""
    variant: Annotated[dict[Text, JsonValue], Field(max_length=500)] = {}
    """What the variant of the run sets on its track under its protocol."""


class Tuned(Part):
    """The search that the options come from, as the file says that it left. Who sets them by hand says nothing."""

    method: Name
    study: Name
    study_hash: Sha256
    """Over what was searched: method, code, features, protocol, spaces, fixed options and number of seeds."""
    tracks: Annotated[list[Text], Field(min_length=1, max_length=1_000)]
    options: Annotated[dict[Name, JsonValue], Field(max_length=500)]
    """The best values of what was searched, but for those that are null. A run with others does not come from here."""
    trials: int = Field(ge=1, le=10**9)
    """Tried by then: done, pruned and failed ones."""
    objective: Text
    """What was made as large as could be."""
    value: Percent
    """Of the best trial, which is a maximum over trials."""


class Metrics(Part):
    """Mean class accuracies in percent and the area under the seen-unseen curve."""

    S: Percent
    U: Percent
    HM: Percent
    ZSL: Percent
    AUSUC: Percent


class ValidationEpoch(Part):
    """Stage-1 validation after one epoch: the best offset and what it gives."""

    S: Percent
    U: Percent
    HM: Percent
    offset: float


class Outcome(Part):
    """What a finished run found."""

    metrics: Metrics
    """On test, with the offset of stage 1."""
    offset: float
    """Calibrated stacking offset, chosen on validation in stage 1."""
    branch_offsets: dict[Name, float] = {}
    """The optima that were averaged into the offset, where the protocol says so."""
    epochs: int = Field(ge=1)
    """Epochs of stage 2: the number that stage 1 chose."""
    validation: list[ValidationEpoch] = Field(max_length=100_000)
    parameters: int = Field(ge=0, le=10**15)
    """Trained parameters."""
    evidence: Sha256
    """Hash of the evidence file."""


class Failure(Part):
    """Why a run has no outcome."""

    type: Text
    message: str = Field(max_length=20_000)
    traceback: str = Field(max_length=200_000)


class Environment(Part):
    """Where a run took place."""

    avbench: Text
    python: Text
    torch: Text
    platform: Text
    device: Text
    threads: int = Field(ge=1)
    git_commit: Text | None = None
    git_dirty: bool | None = None
    unknown: list[Text] = Field([], exclude_if=lambda unknown: not unknown)
    """What could not be found out, and why: nothing that only describes a run may cost it. Where all is known, nothing
    is said of it: such records are those of earlier versions."""


class Measured(Part):
    """What differs from one repetition to the next: times and memory.

    What is as it was before there was a choice is left out: such records are those of earlier versions.
    """

    started: Text
    """UTC, ISO 8601."""
    seconds_stage_1: Seconds = 0.0
    seconds_stage_2: Seconds = 0.0
    seconds: Seconds = 0.0
    peak_memory_bytes: int = Field(0, ge=0, le=10**18)
    """Of the process on CPU, of the allocator on CUDA; where the method had a process of its own, of both together,
    what they share counted twice."""
    runs_at_once: int = Field(1, ge=1, le=1_000)
    """Runs that shared the machine, as ``--jobs`` asked: times then tell less, and memory on CUDA is that of all."""
    seeds_at_once: int = Field(1, ge=1, le=1_000, exclude_if=lambda seeds: seeds == 1)
    """Runs of other seeds, with this one, that took each step together: times and memory are those of all."""
    compiled: bool = Field(False, exclude_if=lambda compiled: not compiled)
    """Whether training steps were compiled; times then hold that of compiling them."""
    isolation: IsolationKind = Field("none", exclude_if=lambda isolation: isolation == "none")


class RunRecord(Part):
    """One run: configuration, environment, and its outcome or failure."""

    schema_version: Literal[1] = SCHEMA_VERSION
    identity: Sha256
    configuration: Configuration
    code: Annotated[dict[Text, Text], Field(max_length=10_000)] = {}
    """What the source hash was made from: part -> SHA-256 of its content, or the version of another distribution.
    Records made before it was written down have none."""
    variant: Text | None = None
    """Name of the variant that set the options, where one was asked for."""
    simulated: bool
    """The features are simulated: the result says nothing about the real track."""
    capabilities: Capabilities
    encoders_met: Seen = "not declared"
    """What the encoders of the features had met before this track, by declaration."""
    warnings: list[Text] = []
    about: About | None = None
    """Of the method; None in records of earlier versions."""
    tuned: Tuned | None = None
    """Where the options come from, when they come from ``avbench tune``."""
    features_source: Text = ""
    """Where the features come from, in the words of who stored them; empty in records made before it was kept."""
    environment: Environment
    measured: Measured
    outcome: Outcome | None = None
    failure: Failure | None = None

    @property
    def finished(self) -> bool:
        return self.outcome is not None

    @property
    def own_files(self) -> tuple[str, ...]:
        """The files beside its package that the method read: those that it declares, and those that options name."""
        declared = (part.removeprefix("file ") for part in self.code if part.startswith("file "))
        values = (v for v in self.configuration.options.values() if isinstance(v, str))
        given = (value.rpartition("#sha256=")[0] for value in values if _INPUT_FILE.search(value))
        return tuple(Path(path).name for path in (*declared, *given))

    @property
    def digest(self) -> str:
        """SHA-256 over all that the record says. A field that a later version adds leaves it as it is."""
        return hashlib.sha256(canonical_json(self.model_dump(mode="json", exclude_defaults=True)).encode()).hexdigest()

    @model_validator(mode="after")
    def _consistent(self) -> RunRecord:
        if self.identity != self.configuration.identity:
            raise ValueError("identity does not follow from the configuration")
        if (self.outcome is None) == (self.failure is None):
            raise ValueError("a record holds either an outcome or a failure")
        return self

    def to_json(self) -> str:
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces; NaN and infinity are refused with ValueError."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def hash_of_code(code: Mapping[str, str]) -> str:
    """SHA-256 over the parts of a method's code and their hashes: the source hash."""
    return hashlib.sha256(canonical_json(dict(code)).encode()).hexdigest()


def read_record(path: Path) -> RunRecord:
    """Read and validate one record. Raises :class:`RecordError` that names the file and what is wrong with it."""
    return decode_record(read_limited(path, MAX_RECORD_BYTES), str(path))


def decode_record(content: bytes, where: str) -> RunRecord:
    """Validate the bytes of a record file. Raises :class:`RecordError` that names ``where``."""
    try:
        data = json.loads(content.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{where}: not readable as JSON ({error})") from None
    return parse_record(data, where)


def parse_record(data: Any, where: str) -> RunRecord:
    """Validate decoded JSON as a record, after migration from older schema versions."""
    if not isinstance(data, dict):
        raise RecordError(f"{where}: a record is a JSON object, this is {type(data).__name__}")
    return of_schema(RunRecord, data, SCHEMA_VERSION, where, "record")


def of_schema(model: type[_Model], data: Any, newest: int, where: str, what: str) -> _Model:
    """Validate decoded JSON. Raises :class:`RecordError` with ``where`` and the first fault, or for a newer version."""
    version = data.get("schema_version") if isinstance(data, dict) else None
    if isinstance(version, int) and version > newest:
        raise RecordError(f"{where}: schema version {version} is newer than {newest}; upgrade avbench")
    try:
        refuse_half_characters(data)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{where}: {error}") from None
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or what
        raise RecordError(f"{where}: {place}: {first['msg']} ({error.error_count()} problems in all)") from None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number that a record may hold")
