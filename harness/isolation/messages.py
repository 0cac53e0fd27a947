"""What judge and worker say to each other: small typed messages. Tensors travel beside them, in shared memory.

The worker is a stranger: what it says is validated against these types before anything is done with it. It can say
that an epoch or a fit is done, that scores lie where they were asked for, what the method counts, and that it failed.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from avbench.harness.contract.method import MethodInfo
from avbench.harness.contract.variants import Variant

MOST_BRANCHES = 8
MOST_MESSAGE, MOST_TRACEBACK = 20_000, 200_000
"""Characters of what a method raises."""
FROM_WORKER_BYTES, FROM_JUDGE_BYTES = 2**21, 2**26
"""Of a message at most."""
DType = Literal["float32", "float16", "bfloat16", "int64", "bool"]


class Message(BaseModel):
    """Base of all messages."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Placed(Message):
    """Where a tensor lies in a piece of shared memory."""

    dtype: DType
    shape: tuple[int, ...]
    begin: int
    """Bytes before it."""


Layout = dict[str, Placed]
"""Tensors in one piece of shared memory, by name."""


class Named(Message):
    """The names of classes; their vectors lie in the memory that comes with the message."""

    names: tuple[str, ...]
    prompts: tuple[str, ...]


# What the judge says. It is trusted.


class First(Message):
    """Once, first: what to load, and within which limits."""

    module: str
    """The module that the entry point names."""
    slug: str
    """Of the method, or the name of a distribution that is to be described."""
    device: str = "cpu"
    memory: int
    """Bytes."""
    processes: int
    """Most processes and threads of this user, those that were there before included."""
    sandboxed: bool


class Begin(First):
    """For a run of one method."""

    say: Literal["begin"] = "begin"
    options: dict[str, Any]
    threads: int
    precision: Literal["float32", "tf32", "bfloat16"]


class Describe(First):
    """For what a package brings, instead of a run."""

    say: Literal["describe"] = "describe"


class Effective(Message):
    """Say the effective options of a method on a track, after it was described."""

    say: Literal["effective"] = "effective"
    slug: str
    dataset: str
    features: str
    protocol: str
    given: dict[str, Any]


class Make(Message):
    """A fresh instance takes the place of the last."""

    say: Literal["make"] = "make"


class Fit(Message):
    """Seed every generator and fit. With it comes the memory of the training set."""

    say: Literal["fit"] = "fit"
    epochs: int
    seed: int
    classes: Named
    unseen: Named | None
    steps: tuple[float, float] | None
    """Seconds of an audio and a visual step, of clips over time."""
    layout: Layout


class Candidates(Message):
    """The classes of the evaluation that follows, and their memory. Each starts from the same random state."""

    say: Literal["candidates"] = "candidates"
    classes: Named
    layout: Layout


class Score(Message):
    """Score clips over the candidates. With it come the memory of the clips and that for the scores."""

    say: Literal["score"] = "score"
    branches: bool
    steps: tuple[float, float] | None
    layout: Layout


class Heard(Message):
    """The validation HM in percent after an epoch: go on."""

    say: Literal["heard"] = "heard"
    hm: float


class Count(Message):
    """Say what the method counts."""

    say: Literal["count"] = "count"


FromJudge = Annotated[
    Begin | Describe | Effective | Make | Fit | Candidates | Score | Heard | Count, Field(discriminator="say")
]

# What the worker says.


class Ready(Message):
    """What was asked for is done: the method is loaded, or made."""

    say: Literal["ready"] = "ready"


class EpochDone(Message):
    """An epoch is trained; scores may be asked for until the judge goes on."""

    say: Literal["epoch"] = "epoch"


class Fitted(Message):
    """The fit is over."""

    say: Literal["fitted"] = "fitted"


class Scored(Message):
    """The scores lie in the memory that was sent, (clips, classes) float32 each, one after the other."""

    say: Literal["scored"] = "scored"
    branches: tuple[Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,99})?$")], ...] = Field(
        max_length=MOST_BRANCHES
    )
    """Their names: "" for the combined scores."""


class Counted(Message):
    """What the method counts."""

    say: Literal["counted"] = "counted"
    parameters: int = Field(ge=0, le=10**15)
    peak_memory_bytes: int = Field(ge=0, le=10**18)
    """Of the worker on the CPU, of its allocator on CUDA."""


class Facts(Message):
    """A method, as its package describes it."""

    info: MethodInfo
    module: str
    """Of its class."""
    modules: tuple[str, ...]
    """Those that its code starts from: of its class, of its options and of their bases."""
    options: dict[str, Literal["value", "file"]]
    """The names of its options; which of them are of the type InputFile."""
    in_epochs: bool
    takes_few_bits: bool


class Described(Message):
    """All that a package brings of methods."""

    say: Literal["described"] = "described"
    methods: tuple[Facts, ...] = Field(max_length=1_000)
    variants: tuple[Variant, ...] = Field(max_length=10_000)


class Values(Message):
    """Effective options."""

    say: Literal["values"] = "values"
    options: dict[str, Any]


class Failed(Message):
    """The method broke its contract, or raised."""

    say: Literal["failed"] = "failed"
    message: str = Field(max_length=MOST_MESSAGE)
    traceback: str = Field(max_length=MOST_TRACEBACK)


FromWorker = Annotated[
    Described | Values | Ready | EpochDone | Fitted | Scored | Counted | Failed, Field(discriminator="say")
]

FROM_JUDGE: TypeAdapter[Any] = TypeAdapter(FromJudge)
FROM_WORKER: TypeAdapter[Any] = TypeAdapter(FromWorker)
