"""The built-in encoders: basic against the obvious way, CLIP and CLAP against transformers' own pipelines."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from simulated_videos import tone, write_video
from tiny_models import tiny_clap, tiny_clip

from avbench.harness.errors import DataError, UsageError
from avbench.harness.extraction.basic import BasicPictures, BasicSound, mel_filters
from avbench.harness.extraction.clap import ClapSound
from avbench.harness.extraction.clip import ClipPictures
from avbench.harness.extraction.features import encode_video
from avbench.harness.extraction.templates import label_vectors, picture_templates, sound_templates
from avbench.harness.extraction.weights import find_weights
from avbench.splits import load_split


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module", params=[False, True], ids=["unfused", "fused"])
def clap_folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    return tiny_clap(tmp_path_factory.mktemp("clap"), fusion=request.param)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "a.mp4", frames=90, width=80, codec="libx264", seed=5)


def test_basic_pictures_by_the_obvious_way() -> None:
    generator = np.random.default_rng(0)
    step = generator.integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    colours = np.zeros((3, 16))
    for channel in range(3):
        for value in step[..., channel].ravel():
            colours[channel, value // 16] += 1
    grey = step @ np.array([0.299, 0.587, 0.114], np.float32)
    angles, motion = np.zeros((4, 4, 8)), np.zeros(16)
    for frame in grey:
        for row in range(62):
            for column in range(62):
                down = float(frame[row + 2, column + 1] - frame[row, column + 1])
                right = float(frame[row + 1, column + 2] - frame[row + 1, column])
                angle = math.floor(math.atan2(down, right) / (2 * math.pi) * 8) % 8
                angles[row * 4 // 62, column * 4 // 62, angle] += math.hypot(down, right)
    for before, after in pairwise(grey):
        for change in np.abs(after - before).ravel():
            motion[min(15, int(change / 4))] += 1
    expected = [np.sqrt(part / part.sum()).ravel() for part in (*colours, angles, motion)]
    found = BasicPictures(None, "cpu").encode([step])
    assert found.shape == (1, BasicPictures.width)
    np.testing.assert_allclose(found[0], np.concatenate(expected), atol=1e-3)


def test_basic_sound_by_the_obvious_way() -> None:
    sound = tone(0.96, 16_000, 1)
    spectra = []
    for begin in range(0, len(sound) - 400 + 1, 200):
        window = sound[begin : begin + 400] * np.hanning(400)
        power = [abs(np.sum(window * np.exp(-2j * np.pi * k * np.arange(400) / 400))) ** 2 for k in range(201)]
        spectra.append(np.log(np.array(power) @ mel_filters(16_000) + 1e-6))
    expected = np.concatenate([np.mean(spectra, axis=0), np.std(spectra, axis=0)])
    np.testing.assert_allclose(BasicSound(None, "cpu").encode([sound])[0], expected, atol=1e-3)


def test_mel_filters_peak_where_the_mel_scale_is_even() -> None:
    filters = mel_filters(16_000)
    assert filters.shape == (201, 64)
    assert (filters.max(axis=0) > 0).all()
    peaks = 2595 * np.log10(1 + filters.argmax(axis=0) * 40 / 700)
    assert np.abs(np.diff(peaks) - np.diff(peaks).mean()).max() < 80


class SavingSound(BasicSound):
    """Gives the same array for every batch, filled anew."""

    _own: np.ndarray | None = None

    def encode(self, steps: Sequence[np.ndarray]) -> np.ndarray:
        found = super().encode(steps)
        if self._own is None or len(self._own) != len(found):
            self._own = np.empty_like(found)
        self._own[:] = found
        return self._own


def test_an_encoder_may_use_its_array_again(tmp_path: Path) -> None:
    path = write_video(tmp_path / "long.mp4", frames=160, rate=5)  # 32 s: two batches of sound and some more
    plain = encode_video(path, BasicPictures(None, "cpu"), BasicSound(None, "cpu")).audio
    assert len(plain) > 32
    assert np.array_equal(encode_video(path, BasicPictures(None, "cpu"), SavingSound(None, "cpu")).audio, plain)


def test_clip_is_transformers_own_pipeline(clip_folder: Path, video: Path) -> None:
    """On the frames shown at 0.5, 1.5 and 2.5 seconds, as PIL images, through the model's own processor."""
    import torch
    from transformers import CLIPModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    with av.open(str(video)) as container:
        frames = [frame.to_image() for frame in container.decode(video=0)]
    images = [frames[int(25 * second)] for second in (0.5, 1.5, 2.5, 3.5)]
    inputs = CLIPImageProcessorPil.from_pretrained(clip_folder)(images=images, return_tensors="pt")
    with torch.inference_mode():
        expected = CLIPModel.from_pretrained(clip_folder).eval().get_image_features(**inputs).pooler_output.numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    encoder = ClipPictures(find_weights(str(clip_folder)), "cpu")
    found = encode_video(video, encoder, BasicSound(None, "cpu")).visual
    assert found.shape == (4, 12)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_clap_is_transformers_own_pipeline(clap_folder: Path, video: Path) -> None:
    """On seconds of sound, each alone; the last is shorter and filled as the feature extractor does."""
    import torch
    from transformers import ClapFeatureExtractor, ClapModel

    extractor, model = ClapFeatureExtractor.from_pretrained(clap_folder), ClapModel.from_pretrained(clap_folder).eval()
    resampler = av.AudioResampler(format="flt", layout="mono", rate=16_000)
    with av.open(str(video)) as container:
        parts = [p.to_ndarray()[0] for f in [*container.decode(audio=0), None] for p in resampler.resample(f)]
    sound = np.concatenate(parts)
    steps = [sound[begin : begin + 16_000] for begin in range(0, len(sound), 16_000)]
    assert 8_000 <= len(steps[-1]) < 16_000
    expected = []
    with torch.inference_mode():
        for step in steps:
            inputs = extractor(step, sampling_rate=16_000, return_tensors="pt")
            expected.append(model.get_audio_features(**inputs).pooler_output[0].numpy())
    found = encode_video(video, BasicPictures(None, "cpu"), ClapSound(find_weights(str(clap_folder)), "cpu")).audio
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_label_vectors_of_clip(clip_folder: Path) -> None:
    """Each class: the mean over sentences, one by one through the tower, of unit vectors; scaled to unit norm."""
    import torch
    from transformers import CLIPModel, CLIPTokenizer

    split = load_split("ucf", "main")
    model, tokenizer = CLIPModel.from_pretrained(clip_folder).eval(), CLIPTokenizer.from_pretrained(clip_folder)
    found = label_vectors(ClipPictures(find_weights(str(clip_folder)), "cpu"), split)
    assert found.shape == (101, 12)
    for c in (split.classes[0], split.classes[57]):
        vectors = []
        for template in picture_templates("ucf"):
            with torch.inference_mode():
                inputs = tokenizer(template.replace("{}", c.prompt), return_tensors="pt")
                vectors.append(model.get_text_features(**inputs).pooler_output[0].double().numpy())
        mean = np.mean([v / np.linalg.norm(v) for v in vectors], axis=0)
        np.testing.assert_allclose(found[c.id], mean / np.linalg.norm(mean), atol=1e-5)


def test_label_vectors_of_clap(clap_folder: Path) -> None:
    import torch
    from transformers import ClapModel, RobertaTokenizer

    split = load_split("ucf", "main")
    model, tokenizer = ClapModel.from_pretrained(clap_folder).eval(), RobertaTokenizer.from_pretrained(clap_folder)
    found = label_vectors(ClapSound(find_weights(str(clap_folder)), "cpu"), split)
    c = split.classes[3]
    with torch.inference_mode():
        vectors = [
            model.get_text_features(**tokenizer(t.replace("{}", c.prompt), return_tensors="pt")).pooler_output[0]
            for t in sound_templates("ucf")
        ]
    mean = np.mean([v.double().numpy() for v in vectors], axis=0)
    np.testing.assert_allclose(found[c.id], mean / np.linalg.norm(mean), atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 1e-4, "the tower tells classes apart"


def test_the_templates_of_clipclap() -> None:
    """48 and 30 of actions, 8 and 9 of sounds: the numbers of its scripts."""
    assert [len(set(picture_templates(d))) for d in ("ucf", "activitynet", "vggsound")] == [48, 48, 8]
    assert [len(set(sound_templates(d))) for d in ("ucf", "activitynet", "vggsound")] == [30, 30, 9]
    assert "a demonstration of the person practicing {}" in picture_templates("ucf")
    assert all(t.count("{}") == 1 for d in ("ucf", "vggsound") for t in picture_templates(d) + sound_templates(d))


def test_pickled_weights_are_never_loaded(clip_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(clip_folder, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"no \.safetensors file"):
        find_weights(str(folder))


def test_weights_by_name_need_a_commit() -> None:
    for where in ("openai/clip-vit-base-patch32", "openai/clip-vit-base-patch32@main", "no/such/folder"):
        with pytest.raises(UsageError, match="pinned commit"):
            find_weights(where)


def test_weights_by_name_are_fetched_at_that_commit(clip_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub is asked for plain files only."""
    import huggingface_hub

    asked = []

    def snapshot_download(name: str, *, revision: str, allow_patterns: list[str]) -> str:
        asked.append((name, revision, tuple(allow_patterns)))
        return str(clip_folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    weights = find_weights(f"someone/model@{'a' * 40}")
    assert (weights.name, weights.revision) == ("someone/model", "a" * 40)
    assert asked == [("someone/model", "a" * 40, ("*.safetensors", "*.json", "*.txt"))]


def test_weights_of_another_family_are_refused(clip_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="family 'clip', not 'clap'"):
        ClapSound(find_weights(str(clip_folder)), "cpu")


def test_weights_that_lack_a_tensor_are_refused(clip_folder: Path, tmp_path: Path) -> None:
    """Transformers would draw it at random."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "lacking"
    shutil.copytree(clip_folder, folder)
    tensors = load_file(folder / "model.safetensors")
    del tensors["visual_projection.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"lack 1 tensors, such as visual_projection\.weight"):
        ClipPictures(find_weights(str(folder)), "cpu")


def test_broken_weights_are_refused(clip_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(clip_folder, folder)
    (folder / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(DataError, match="cannot be loaded"):
        ClipPictures(find_weights(str(folder)), "cpu")
