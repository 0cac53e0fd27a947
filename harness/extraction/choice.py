"""Which encoders a track is made with: one of frames and one of sound, by name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from avbench.harness.contract.encoder import Encoder, FrameEncoder, SoundEncoder, TrainedOn
from avbench.harness.errors import UsageError, unknown
from avbench.harness.extraction.messages import EncoderChoice
from avbench.harness.extraction.plan import encoder_facts
from avbench.harness.extraction.weights import find_weights
from avbench.harness.features.provenance import EncoderFacts
from avbench.harness.plugins.reach import reachable
from avbench.harness.plugins.registry import Plugins, RegisteredEncoder
from avbench.harness.records.record import hash_of_code


@dataclass(frozen=True)
class Chosen:
    """An encoder, with its weights, as it is told to workers and as the manifest names it."""

    choice: EncoderChoice
    encoder: FrameEncoder | SoundEncoder
    facts: EncoderFacts
    source_hash: str


def choose(
    names: Sequence[str],
    weights: Mapping[str, str],
    trained_on: Mapping[str, TrainedOn],
    device: str,
    plugins: Plugins,
) -> tuple[Chosen, ...]:
    """The encoders of these names, in their order, ready to encode: one of each modality.

    A name stands for all encoders that have it; ``name:audio`` and ``name:visual`` for one. Raises
    :class:`UsageError` for an unknown name, for two of one modality or none, and for weights or declarations of
    encoders that are not chosen.
    """
    known = plugins.encoders
    keys: list[str] = []
    for name in names:
        found = [key for key in known if name in (key, key.partition(":")[0])]
        if not found:
            raise unknown("encoder", name, sorted({k.partition(":")[0] for k in known}))
        keys += [key for key in found if key not in keys]
    for modality in ("audio", "visual"):
        of_it = [key for key in keys if key.endswith(f":{modality}")]
        if len(of_it) != 1:
            others = ", ".join(k.partition(":")[0] for k in known if k.endswith(f":{modality}"))
            what = "no encoder" if not of_it else f"{len(of_it)} encoders ({', '.join(of_it)})"
            raise UsageError(
                f"{what} for {modality}; choose one with --encoder, of {others}; NAME:{modality} is one alone"
            )
    names_chosen = {key.partition(":")[0] for key in keys}
    for option, given in (("--weights", weights), ("--trained-on", trained_on)):
        if strange := sorted(given.keys() - names_chosen):
            raise UsageError(
                f"{option} {strange[0]}: no encoder of that name is chosen ({', '.join(sorted(names_chosen))})"
            )
    return tuple(_ready(key, known[key], weights, trained_on, device) for key in keys)


def _ready(
    key: str,
    registered: RegisteredEncoder,
    weights: Mapping[str, str],
    trained_on: Mapping[str, TrainedOn],
    device: str,
) -> Chosen:
    kind = registered.encoder
    where = weights.get(kind.name)
    if where is not None and not kind.takes_weights:
        raise UsageError(f"--weights {kind.name}: this encoder takes none")
    found = find_weights(where) if where is not None else None
    try:
        encoder = kind(found, device)
    except ImportError as error:
        raise UsageError(f"encoder {kind.name!r} needs 'pip install avbench[encoders]' ({error})") from None
    assert isinstance(encoder, FrameEncoder | SoundEncoder)
    facts = encoder_facts(registered, encoder, found, trained_on.get(kind.name))
    return Chosen(EncoderChoice(key=key, weights=found), encoder, facts, _source_hash(kind))


def _source_hash(kind: type[Encoder]) -> str:
    """SHA-256 over the modules of the encoder's own package that it can reach, and those of this room."""
    room, top = "avbench.harness.extraction", kind.__module__.partition(".")[0]

    def own(name: str) -> bool:
        return name.startswith(room) or (top != "avbench" and name.partition(".")[0] == top)

    modules, _ = reachable({kind.__module__, f"{room}.worker"}, own)
    return hash_of_code({name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in modules.items()})
