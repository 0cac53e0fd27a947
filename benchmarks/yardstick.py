"""AVCA as its card describes it, in the plain way: the yardstick of `benchmarks/two_stage.py`.

One clip pair at a time from a Dataset, a DataLoader, modules of torch.nn called once per half of a pair, losses one by
one, Adam and ReduceLROnPlateau as PyTorch has them, a validation loss over as many batches as were trained on, and the
repeated sweep over offsets. Nothing is slowed down on purpose; nothing is done to be fast. It shares no code with
avbench's methods. The guide tells the protocol (How a number is made).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from time import perf_counter

import torch
from sweep import Numbers, mean_class_accuracy, repeated_sweep
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler

TEXT, HIDDEN, TOKEN, COMMON, HEADS = 300, 512, 300, 64, 3
Pair = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
"""Audio, video and label vector of the positive clip, then of the negative one."""


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters of AVCA; the defaults are those of UCF main."""

    audio: int = 512
    video: int = 512
    dropout_encoder: float = 0.2
    dropout_projection: float = 0.3
    dropout_decoder: float = 0.5
    momentum: float = 0.1
    """Of the second batch norm of encoders and projections."""
    extra_passes: bool = True
    """The cycle pass and the repeated positive pass, which move running statistics only."""
    learning_rate: float = 1e-3
    weight_decay: float = 1e-5
    batch_size: int = 256
    batches: int = 500
    """Per epoch."""
    epochs: int = 50


@dataclass(frozen=True)
class Part:
    """Clips (N, D) with their class ids (N,)."""

    audio: Tensor
    video: Tensor
    labels: Tensor

    def __add__(self, other: Part) -> Part:
        return Part(*(torch.cat(pair) for pair in zip(vars(self).values(), vars(other).values(), strict=True)))


@dataclass(frozen=True)
class Data:
    """Everything a two-stage run needs. ``vectors``: a label vector per class id."""

    train: Part
    val_seen: Part
    val_unseen: Part
    test_seen: Part
    test_unseen: Part
    vectors: Tensor


@dataclass(frozen=True)
class Outcome:
    """What a run gave: the test metrics at the chosen offset, the number of epochs chosen, and what it took."""

    test: Numbers
    epochs: int
    seconds: tuple[float, float]
    loss_passes: float
    """Seconds of it in the validation loss."""


class ClipPairs(Dataset[Pair]):
    """A clip, and a random clip of another class."""

    def __init__(self, part: Part, vectors: Tensor) -> None:
        self.part = part
        self.vectors = vectors
        self.labels = part.labels.tolist()
        self.members: dict[int, list[int]] = {}
        for row, label in enumerate(self.labels):
            self.members.setdefault(label, []).append(row)
        self.classes = list(self.members)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Pair:
        label = negative = self.labels[index]
        while negative == label:
            negative = random.choice(self.classes)
        other = random.choice(self.members[negative])
        audio, video = self.part.audio, self.part.video
        return audio[index], video[index], self.vectors[label], audio[other], video[other], self.vectors[negative]

    def loader(self, batches: int, size: int) -> DataLoader[Pair]:
        """Class uniform, then clip uniform within its class, with replacement."""
        weights = [1 / len(self.members[label]) for label in self.labels]
        return DataLoader(self, batch_size=size, sampler=WeightedRandomSampler(weights, batches * size))


def block(inputs: int, outputs: int, dropout: float, momentum: float = 0.1) -> list[nn.Module]:
    return [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs, momentum=momentum), nn.ReLU(), nn.Dropout(dropout)]


class Attention(nn.Module):
    """The pre-norm transformer layer over the two tokens (B, 2, 300)."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(TOKEN)
        self.query_key_value = nn.Linear(TOKEN, 3 * TOKEN, bias=False)
        self.out = nn.Sequential(nn.Linear(TOKEN, TOKEN), nn.Dropout(dropout))
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(TOKEN),
            nn.Linear(TOKEN, 64),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(64, TOKEN),
            nn.Dropout(dropout),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        size = len(tokens)
        parts = self.query_key_value(self.norm(tokens)).chunk(3, dim=-1)
        q, k, v = (part.view(size, 2, HEADS, TOKEN // HEADS).transpose(1, 2) for part in parts)
        weights = torch.softmax(q @ k.transpose(2, 3) / (TOKEN // HEADS) ** 0.5, dim=-1)
        tokens = tokens + self.out((weights @ v).transpose(1, 2).reshape(size, 2, TOKEN))
        out: Tensor = tokens + self.feed_forward(tokens)
        return out


class PlainAVCA(nn.Module):
    """AVCA's network."""

    def __init__(self, s: Settings) -> None:
        super().__init__()

        def encoder(inputs: int) -> nn.Sequential:
            first = block(inputs, HIDDEN, s.dropout_encoder)
            return nn.Sequential(*first, *block(HIDDEN, TOKEN, s.dropout_encoder, s.momentum))

        def projection() -> nn.Sequential:
            first = block(TOKEN, HIDDEN, s.dropout_projection)
            return nn.Sequential(*first, *block(HIDDEN, COMMON, s.dropout_projection, s.momentum))

        self.encode_audio, self.encode_video = encoder(s.audio), encoder(s.video)
        self.register_buffer("positions", torch.randn(2, TOKEN))
        self.attention = Attention(s.dropout_encoder)
        self.project_audio, self.project_video = projection(), projection()
        self.project_text = nn.Sequential(*block(TEXT, COMMON, s.dropout_decoder))
        self.decode = nn.Sequential(*block(COMMON, TEXT, s.dropout_decoder))
        self.rebuild_audio = nn.Sequential(*block(COMMON, TOKEN, s.dropout_decoder))
        self.rebuild_video = nn.Sequential(*block(COMMON, TOKEN, s.dropout_decoder))
        self.extra_passes = s.extra_passes
        self.triplet = nn.TripletMarginLoss(margin=1.0)
        self.mse = nn.MSELoss()

    def encode(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        return self.encode_audio(audio), self.encode_video(video)

    def project(self, phi_a: Tensor, phi_v: Tensor) -> tuple[Tensor, Tensor]:
        attended = self.attention(torch.stack([phi_a, phi_v], dim=1) + self.get_buffer("positions"))
        return self.project_audio(phi_a + attended[:, 0]), self.project_video(phi_v + attended[:, 1])

    def forward(self, audio: Tensor, video: Tensor, text: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings of clips and of label vectors in the common space: theta_a, theta_v, theta_w."""
        return *self.project(*self.encode(audio, video)), self.project_text(text)

    def loss(self, pair: Pair) -> Tensor:
        """The five losses of section 3, with the calls in the order of section 2."""
        a_pos, v_pos, w_pos, a_neg, v_neg, w_neg = pair
        phi_a, phi_v = self.encode(a_pos, v_pos)
        phi_a_neg, phi_v_neg = self.encode(a_neg, v_neg)
        theta_a, theta_v = self.project(phi_a, phi_v)
        theta_a_neg, theta_v_neg = self.project(phi_a_neg, phi_v_neg)
        theta_w, theta_w_neg = self.project_text(w_pos), self.project_text(w_neg)
        rho_w, _ = self.decode(theta_w), self.decode(theta_w_neg)
        rho_a, rho_a_neg = self.decode(theta_a), self.decode(theta_a_neg)
        rho_v, rho_v_neg = self.decode(theta_v), self.decode(theta_v_neg)
        back_a, back_v = self.rebuild_audio(theta_a), self.rebuild_video(theta_v)
        if self.extra_passes:
            with torch.no_grad():
                self.project_audio(back_a)
                self.project_video(back_v)

        t, mse = self.triplet, self.mse
        l_t = t(theta_a, theta_w, theta_a_neg) + t(theta_v, theta_w, theta_v_neg)
        l_t = l_t + t(theta_w, theta_a, theta_w_neg) + t(theta_w, theta_v, theta_w_neg)
        l_w = t(theta_w, theta_a, theta_a_neg) + t(theta_w, theta_v, theta_v_neg)
        l_w = l_w + t(theta_a, theta_w, theta_w_neg) + t(theta_v, theta_w, theta_w_neg)
        l_ct = t(rho_w, rho_a, rho_a_neg) + t(rho_w, rho_v, rho_v_neg)
        l_rec = mse(rho_a, w_pos) + mse(rho_v, w_pos) + mse(rho_w, w_pos)
        l_r = mse(back_v, phi_v) + mse(back_a, phi_a) + mse(theta_v, theta_w) + mse(theta_a, theta_w)
        total: Tensor = l_t + l_rec + l_ct + l_w + l_r
        return total


def train_epoch(model: PlainAVCA, loader: DataLoader[Pair], optimiser: torch.optim.Optimizer) -> float:
    """The mean loss."""
    model.train()
    total = 0.0
    for pair in loader:
        optimiser.zero_grad()
        loss = model.loss(pair)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        total += loss.item()
        if model.extra_passes:
            with torch.no_grad():
                model(*pair[:3])
    return total / len(loader)


@torch.no_grad()
def mean_loss(model: PlainAVCA, loader: DataLoader[Pair]) -> float:
    model.eval()
    return sum(model.loss(pair).item() for pair in loader) / len(loader)


@torch.no_grad()
def evaluate(model: PlainAVCA, seen: Part, unseen: Part, vectors: Tensor, offset: float | None = None) -> Numbers:
    """Metrics of the visual branch at an offset, by default the best one of the grid."""
    model.eval()
    both = seen + unseen
    classes = both.labels.unique()
    _, theta_v, theta_w = model(both.audio, both.video, vectors[classes])
    is_seen, columns = torch.isin(classes, seen.labels), torch.searchsorted(classes, both.labels)

    def scores() -> Tensor:
        return -torch.cdist(theta_v, theta_w)

    if offset is None:
        return repeated_sweep(scores, is_seen, columns)
    predicted = (scores() - offset * is_seen.float()).argmax(1)
    restricted = scores().masked_fill(is_seen, -torch.inf).argmax(1)
    seen_columns, unseen_columns = is_seen.nonzero().flatten(), (~is_seen).nonzero().flatten()
    s, u = (mean_class_accuracy(predicted, columns, members) for members in (seen_columns, unseen_columns))
    return offset, s, u, 2 * s * u / (s + u) if s + u else 0.0, mean_class_accuracy(restricted, columns, unseen_columns)


def train(
    model: PlainAVCA, part: Part, data: Data, s: Settings, epochs: int, loss_passes: list[float]
) -> Iterator[Numbers]:
    """Train, and give the validation metrics after each epoch. ``loss_passes`` gets the seconds of each."""
    loader = ClipPairs(part, data.vectors).loader(s.batches, s.batch_size)
    validation = ClipPairs(data.val_seen + data.val_unseen, data.vectors).loader(s.batches, s.batch_size)
    optimiser = torch.optim.Adam(model.parameters(), lr=s.learning_rate, weight_decay=s.weight_decay)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, mode="max", factor=0.1, patience=3)
    for _ in range(epochs):
        train_epoch(model, loader, optimiser)
        begun = perf_counter()
        mean_loss(model, validation)
        loss_passes.append(perf_counter() - begun)
        found = evaluate(model, data.val_seen, data.val_unseen, data.vectors)
        schedule.step(found[3])
        yield found


def run(data: Data, s: Settings, seed: int) -> Outcome:
    """Both stages, each of ``s.epochs``, and the test with the snapshot of the second after the chosen epochs."""
    start, loss_passes = perf_counter(), list[float]()
    torch.manual_seed(seed)
    random.seed(seed)
    history = list(train(PlainAVCA(s), data.train, data, s, s.epochs, loss_passes))
    best = max(range(len(history)), key=lambda epoch: history[epoch][3])
    offset = history[best][0]
    middle = perf_counter()

    torch.manual_seed(seed)
    random.seed(seed)
    model = PlainAVCA(s)
    everything = data.train + data.val_seen + data.val_unseen
    for epoch, _ in enumerate(train(model, everything, data, s, s.epochs, loss_passes)):
        if epoch == best:
            snapshot = deepcopy(model.state_dict())
    model.load_state_dict(snapshot)
    test = evaluate(model, data.test_seen, data.test_unseen, data.vectors, offset)
    return Outcome(test, best + 1, (middle - start, perf_counter() - middle), sum(loss_passes))
