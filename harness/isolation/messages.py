"""What judge and worker say to each other: small typed messages. Tensors travel beside them, in shared memory.

The worker is a stranger: what it says is validated against these types before anything is done with it. It can say
that an epoch or a fit is done, that scores lie where they were asked for, what the method counts, and that it failed.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

MOST_BRANCHES = 8
MOST_MESSAGE, MOST_TRACEBACK = 20_000, 200_000
"""Characters of what a method raises."""
FROM_WORKER_BYTES = 2**21
"""Of a message of the worker."""
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


class Begin(Message):
    """Once, first: what to load, and within which limits."""

    say: Literal["begin"] = "begin"
    module: str
    """The module that the entry point names."""
    slug: str
    options: dict[str, Any]
    device: str
    threads: int
    precision: Literal["float32", "tf32", "bfloat16"]
    memory: int
    """Bytes."""
    processes: int
    """Most processes and threads of this user, those that were there before included."""
    sandboxed: bool


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


FromJudge = Annotated[Begin | Make | Fit | Candidates | Score | Heard | Count, Field(discriminator="say")]

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


class Failed(Message):
    """The method broke its contract, or raised."""

    say: Literal["failed"] = "failed"
    message: str = Field(max_length=MOST_MESSAGE)
    traceback: str = Field(max_length=MOST_TRACEBACK)


FromWorker = Annotated[Ready | EpochDone | Fitted | Scored | Counted | Failed, Field(discriminator="say")]

FROM_JUDGE: TypeAdapter[Any] = TypeAdapter(FromJudge)
FROM_WORKER: TypeAdapter[Any] = TypeAdapter(FromWorker)
