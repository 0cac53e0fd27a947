"""``avbench data extract`` from the outside: what is stored, what is refused, and that interruptions leave no trace."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from killed import killed_at
from simulated_videos import made_up_ucf, write_video
from tiny_models import tiny_clap, tiny_clip

from avbench.harness.cli import cli, main
from avbench.harness.extraction.basic import BasicPictures, BasicSound
from avbench.harness.extraction.features import encode_video
from avbench.harness.extraction.messages import Setup, ShardTask
from avbench.harness.features.demo_text import label_vectors
from avbench.harness.features.manifest import Manifest
from avbench.harness.features.store import Store
from avbench.harness.tracks import Track
from avbench.splits import PARTS, load_split

ARCHERY = "v_Archery_g01_c01"
CLASSES = 3
"""Of each of the five parts."""


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A UCF with one video for each of a few classes of each part; not to be changed."""
    folder = tmp_path_factory.mktemp("ucf")
    made_up_ucf(folder, CLASSES)
    return folder


@pytest.fixture(autouse=True)
def worker_at_hand(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's code runs here, but in the tests of processes: starting one takes longer than these videos do."""
    if "processes" in request.fixturenames:
        return
    from avbench.harness.extraction import extract, worker

    def work_off(
        setup: Setup, tasks: Sequence[ShardTask], jobs: int, seconds: float, stored: Callable[[ShardTask], None]
    ) -> None:
        orders = [setup.model_dump_json(), *(task.model_dump_json() for task in tasks)]
        waiting = iter(tasks)
        for news in worker.work(io.StringIO("\n".join(orders))):
            if news.kind == "stored":
                stored(next(waiting))

    monkeypatch.setattr(extract, "work_off", work_off)
    monkeypatch.setattr(worker, "_limit_memory", lambda _: None)


@pytest.fixture
def processes() -> None:
    """Workers are processes of their own, as they are for users."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AVBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def own(made_up: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    shutil.copytree(made_up, tmp_path / "ucf")
    return tmp_path / "ucf"


def arguments(folder: Path, *more: str, encoders: tuple[str, ...] = ("basic",), name: str = "mine") -> list[str]:
    words = ["data", "extract", str(folder / "videos"), "--dataset", "ucf", "--lists", str(folder / "class-split")]
    words += [word for encoder in encoders for word in ("--encoder", encoder)]
    return [*words, "--name", name, "--jobs", "2", *more]


def done(folder: Path, *more: str, encoders: tuple[str, ...] = ("basic",), name: str = "mine") -> tuple[str, Manifest]:
    """What is printed on standard error, and the manifest of the new track."""
    result = CliRunner().invoke(cli, arguments(folder, "--allow-missing", *more, encoders=encoders, name=name))
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stderr, Store().manifest(Track("ucf", name))


def fails(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(list(words))
    error = capsys.readouterr().err
    assert end.value.code == code, error
    assert "Traceback" not in error
    return error


def told(manifest: Manifest) -> dict[str, tuple[bool, tuple[str, ...]]]:
    assert manifest.extraction is not None
    return {video.id: (video.dropped, video.reasons) for video in manifest.extraction.videos}


def reported(report: Path) -> dict[str, tuple[str, str]]:
    """What ``--report`` wrote."""
    with report.open(encoding="utf-8", newline="") as stream:
        return {row["id"]: (row["dropped"], row["reasons"]) for row in csv.DictReader(stream)}


def test_the_track_holds_the_means_over_time(made_up: Path, home: Path, processes: None) -> None:
    _, manifest = done(made_up)
    assert manifest.counts == dict.fromkeys(PARTS, CLASSES)
    assert manifest.extraction is not None
    assert [e.name for e in manifest.extraction.encoders] == ["basic", "basic"]
    assert told(manifest) == {}
    features = Store().load(Track("ucf", "mine"))
    split = load_split("ucf", "main")
    videos = made_up / "videos"
    for row, name in ((0, ARCHERY), (CLASSES, "v_Archery_g02_c01")):
        path = videos / "Archery" / f"{name}.avi"
        found = encode_video(path, BasicPictures(None, "cpu"), BasicSound(None, "cpu"))
        assert features.class_id[row] == split.find("Archery").id
        np.testing.assert_allclose(features.audio[row].numpy(), found.audio.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(features.visual[row].numpy(), found.visual.mean(axis=0), rtol=1e-5)
    np.testing.assert_array_equal(features.vectors.numpy(), label_vectors(split))
    assert json.loads(CliRunner().invoke(cli, ["data", "verify", "--json"]).stdout) == {"ucf/mine": []}
    assert not list((home / "extraction" / "ucf").iterdir()), "nothing is left of the work"


def test_clip_and_clap_with_their_text_towers(made_up: Path, home: Path, tmp_path: Path) -> None:
    """Text vectors of both, by name; the label vector of a class is made of both."""
    weights = (tiny_clip(tmp_path / "tiny-clip"), tiny_clap(tmp_path / "tiny-clap"))
    options = ["--weights", f"clip={weights[0]}", "--weights", f"clap={weights[1]}", "--jobs", "1"]
    _, manifest = done(made_up, *options, "--trained-on", "clap=vggsound,ucf:classes", encoders=("clap", "clip"))
    assert (manifest.audio_dim, manifest.visual_dim, manifest.text_dim) == (20, 12, 32)
    assert {name: text.dim for name, text in manifest.texts.items()} == {"clap": 20, "clip": 12}
    assert manifest.extraction is not None
    clap, clip = manifest.extraction.encoders
    assert (clap.weights, clip.weights) == ("tiny-clap", "tiny-clip")
    assert str(tmp_path) not in manifest.model_dump_json(), "no path of the machine"
    assert clap.weights_sha256 != clip.weights_sha256
    assert [(f.name, f.source, len(f.templates)) for f in manifest.extraction.labels] == [
        ("clap", "clap", 30),
        ("clip", "clip", 48),
    ]
    assert clip.trained_on.seen("ucf") == "not declared"
    assert clap.trained_on.seen("ucf") == "unseen classes"
    assert manifest.seen == "unseen classes"
    features = Store().load(Track("ucf", "mine"))
    both = [features.texts[name].numpy() for name in ("clap", "clip")]
    np.testing.assert_allclose([np.linalg.norm(v, axis=1) for v in both], 1, rtol=1e-5)
    np.testing.assert_allclose(features.vectors.numpy(), np.concatenate(both, axis=1) / np.sqrt(2), atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_steps_over_time(dtype: str, own: Path, home: Path) -> None:
    """All steps of each clip are stored, beside an averaged view that is the track without --temporal."""
    write_video(own / "videos" / "Archery" / f"{ARCHERY}.avi", frames=90, sound="mp3", seed=2)
    (own / "videos" / "BalanceBeam" / "v_BalanceBeam_g01_c01.avi").unlink()
    done(own, name="averaged")
    _, manifest = done(own, "--temporal", "--dtype", dtype)
    features = Store().load(Track("ucf", "mine"))
    assert manifest.time is not None
    assert manifest.extraction is not None
    assert (manifest.time.audio.seconds, manifest.time.visual.seconds) == (0.96, 1.0)
    found = encode_video(
        own / "videos" / "Archery" / f"{ARCHERY}.avi", BasicPictures(None, "cpu"), BasicSound(None, "cpu")
    )
    assert (len(found.visual), len(found.audio)) == (3, 4)
    assert (manifest.time.visual.longest, manifest.time.audio.longest) == (3, 4)
    assert features.offsets is not None
    assert features.offsets.visual[:2].tolist() == [0, 3]
    tolerance = 1e-6 if dtype == "float32" else 1e-2
    np.testing.assert_allclose(features.visual[:3].float().numpy(), found.visual, rtol=tolerance, atol=1e-3)
    np.testing.assert_allclose(features.audio[:4].float().numpy(), found.audio, rtol=tolerance, atol=1e-3)
    view, averaged = Store().load(Track("ucf", "mine.mean")), Store().load(Track("ucf", "averaged"))
    assert view.manifest.extraction == averaged.manifest.extraction == manifest.extraction
    assert len(view.class_id) == len(averaged.class_id) == 5 * CLASSES - 1
    np.testing.assert_allclose(view.visual.numpy(), averaged.visual.numpy(), rtol=tolerance, atol=1e-3)
    if dtype == "float32":
        assert view.manifest.content_hash == averaged.manifest.content_hash
    assert json.loads(CliRunner().invoke(cli, ["data", "verify", "--json"]).stdout) == {
        "ucf/averaged": [],
        "ucf/mine": [],
        "ucf/mine.mean": [],
    }
    described = json.loads(CliRunner().invoke(cli, ["data", "describe", "ucf/mine", "--json"]).stdout)
    assert described["steps"]["visual"] == {"least": 1, "median": 1.0, "most": 3, "seconds": 1.0}
    plain = json.loads(CliRunner().invoke(cli, ["data", "describe", "ucf/averaged", "--json"]).stdout)
    assert plain["steps"] == described["steps"]
    assert [line["clips"] for line in plain["parts"]] == [line["clips"] for line in described["parts"]]


def test_bad_videos_are_listed_with_their_reasons(own: Path, home: Path, tmp_path: Path) -> None:
    videos = own / "videos" / "Archery"
    (videos / f"{ARCHERY}.avi").write_bytes(b"no video")
    write_video(videos / "v_Archery_g02_c01.avi", frames=10, sound=None)
    cut = write_video(videos / "v_Archery_g04_c01.avi", frames=100, sound="mp3")
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 2 // 3])
    shutil.rmtree(own / "videos" / "BalanceBeam")
    report = tmp_path / "report.csv"
    error, manifest = done(own, "--report", str(report))
    found = told(manifest)
    assert found[ARCHERY][0]
    assert found[ARCHERY][1][0].startswith("no video file that can be read")
    assert found["v_Archery_g02_c01"] == (False, ("has no sound: one step of zeros",))
    assert not found["v_Archery_g04_c01"][0]
    assert "used as far as they go" in found["v_Archery_g04_c01"][1][-1]
    assert found["v_BalanceBeam_g01_c01"] == (True, ("no file has its name",))
    assert "videos dropped" in error
    assert manifest.counts["train"] == CLASSES - 2
    assert any(line.startswith("train: 1 clip") for line in manifest.warnings)
    rows = reported(report)
    assert set(rows) == set(found)
    assert rows[ARCHERY][0] == "yes"


def test_the_report_is_written_whatever_comes_of_it(
    own: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where videos lack, where some give nothing, when gone on with, and for a track that is there."""
    from avbench.harness.extraction import extract

    videos, report = own / "videos" / "Archery", tmp_path / "report.csv"
    words = arguments(own, "--report", str(report))
    monkeypatch.setattr(extract, "forgiven", lambda *_, **__: ())  # the lists are small, and not what this is about
    good = (videos / f"{ARCHERY}.avi").read_bytes()
    (videos / f"{ARCHERY}.avi").unlink()
    fails(capsys, 3, *words)
    assert reported(report) == {ARCHERY: ("yes", "no file has its name")}
    (videos / f"{ARCHERY}.avi").write_bytes(b"no video")
    write_video(videos / "v_Archery_g02_c01.avi", frames=10, sound=None)
    for _ in range(2):  # anew, and from shards
        report.unlink()
        fails(capsys, 3, *words)
        assert {video: dropped for video, (dropped, _) in reported(report).items()} == {
            ARCHERY: "yes",
            "v_Archery_g02_c01": "no",
        }
    (videos / f"{ARCHERY}.avi").write_bytes(good)
    assert CliRunner().invoke(cli, words).exit_code == 0
    expected = {"v_Archery_g02_c01": ("no", "has no sound: one step of zeros")}
    assert reported(report) == expected
    report.unlink()
    assert "installed already" in CliRunner().invoke(cli, words).stderr
    assert reported(report) == expected


def test_rows_beyond_the_end_of_a_film_are_listed(own: Path, home: Path, tmp_path: Path) -> None:
    write_video(own / "film.mp4", frames=50)
    whole = {path.stem: str(path.relative_to(own)) for path in own.rglob("*.avi")}
    spans = {ARCHERY: (0.0, 1.0), "v_BalanceBeam_g01_c01": (5.0, 6.0), "v_Archery_g02_c01": (1.0, 3.0)}
    rows = "".join(f"{video},{path},,\n" for video, path in whole.items() if video not in spans)
    rows += "".join(f"{video},film.mp4,{start},{end}\n" for video, (start, end) in spans.items())
    (own / "clips.csv").write_text("id,path,start,end\n" + rows, "utf-8")
    report = tmp_path / "report.csv"
    words = arguments(own, "--allow-missing", "--report", str(report))
    words[2] = str(own / "clips.csv")
    assert CliRunner().invoke(cli, words).exit_code == 0
    assert reported(report) == {
        "v_BalanceBeam_g01_c01": ("yes", "ends after 2.0 s, and the clip starts at 5.0 s"),
        "v_Archery_g02_c01": ("no", "pictures end after 2.0 s, the clip at 3.0 s: used as far as they go"),
    }


@pytest.mark.parametrize(("rule", "count"), [("zeros", CLASSES), ("drop", CLASSES - 1)])
def test_the_rule_for_missing_sound(rule: str, count: int, own: Path, home: Path) -> None:
    write_video(own / "videos" / "Archery" / f"{ARCHERY}.avi", frames=10, sound=None)
    _, manifest = done(own, "--missing-audio", rule)
    assert manifest.counts["train"] == count
    assert manifest.extraction is not None
    assert manifest.extraction.missing_audio == rule
    if rule == "zeros":
        assert not Store().load(Track("ucf", "mine")).audio[0].any()


def test_missing_sound_can_be_refused(
    own: Path, home: Path, capsys: pytest.CaptureFixture[str], processes: None
) -> None:
    write_video(own / "videos" / "Archery" / f"{ARCHERY}.avi", frames=10, sound=None)
    report = own / "report.csv"
    words = arguments(own, "--allow-missing", "--missing-audio", "fail", "--report", str(report))
    assert f"clip {ARCHERY} has no sound" in fails(capsys, 3, *words)
    assert not Store().tracks()
    assert reported(report) == {ARCHERY: ("yes", "has no sound")}


def test_lists_are_verified_first(made_up: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = fails(capsys, 3, *arguments(made_up))
    assert "train: 3 clips, the split has 3,174" in error
    assert not home.joinpath("features").exists()


@pytest.mark.parametrize(
    ("change", "code", "reason"),
    [
        (("--encoder", "basik"), 2, "Did you mean 'basic'"),
        (("--encoder", "clip:audio"), 2, "unknown encoder"),
        (("--encoder", "clip"), 2, "2 encoders (basic:visual, clip:visual) for visual"),
        (("--weights", "clip=/x"), 2, "no encoder of that name is chosen"),
        (("--weights", "basic=/x"), 2, "takes none"),
        (("--trained-on", "basic=everything"), 2, "neither a data set"),
        (("--name", "main"), 2, "reserved"),
        (("--name", "../x"), 2, "names are lower-case letters"),
        (("--lists", "/nowhere"), 3, "no class-split folder"),
        (("--partition", "cls"), 3, "no class-split folder"),
    ],
)
def test_what_is_refused(
    change: tuple[str, str], code: int, reason: str, made_up: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reason in fails(capsys, code, *arguments(made_up, "--allow-missing", *change))
    assert not Store().tracks()


def test_without_the_decoder_it_says_what_to_install(
    made_up: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    assert "pip install 'avbench[videos]'" in fails(capsys, 2, *arguments(made_up, "--allow-missing"))


def test_one_encoder_of_each_modality(made_up: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = arguments(made_up, "--allow-missing", encoders=("basic:visual",))
    assert "no encoder for audio; choose one with --encoder, of basic, clap" in fails(capsys, 2, *words)


def test_no_videos_at_all(made_up: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "class-split").symlink_to(made_up / "class-split")
    assert "not one of the 15 clips" in fails(capsys, 3, *arguments(tmp_path, "--allow-missing"))


def test_a_second_extraction_of_a_track_waits_its_turn(
    made_up: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from avbench.harness.extraction.work import working

    with working(home, Track("ucf", "mine")):
        assert "another process is extracting" in fails(capsys, 3, *arguments(made_up, "--allow-missing"))
    done(made_up)
    again = CliRunner().invoke(cli, arguments(made_up, "--allow-missing"))
    assert (again.exit_code, again.stdout) == (0, "")
    assert again.stderr == "ucf/mine: installed already and left as it is; --force replaces it\n"


def test_only_what_changed_is_done_again(
    own: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A video that gives nothing keeps the track from the store; once it is replaced, its shard alone is made again."""
    from avbench.harness.extraction import extract

    tasks: list[list[str]] = []

    def counted(setup: Any, some: Any, *rest: Any) -> None:
        tasks.append([clip.id for task in some for clip in task.clips])
        genuine(setup, some, *rest)

    genuine = extract.work_off
    monkeypatch.setattr(extract, "work_off", counted)
    monkeypatch.setattr(extract, "forgiven", lambda *_, **__: ())  # the lists are small, and not what this is about
    video = own / "videos" / "Archery" / f"{ARCHERY}.avi"
    good = video.read_bytes()
    video.write_bytes(b"no video")
    assert f"1 videos give no features:\n  {ARCHERY}: no video file" in fails(capsys, 3, *arguments(own))
    video.write_bytes(good)
    assert CliRunner().invoke(cli, arguments(own)).exit_code == 0
    assert [len(some) for some in tasks] == [5 * CLASSES, 1]
    assert tasks[1] == [ARCHERY]


def test_a_slow_clip_is_tried_again_with_more_time(
    own: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a busy machine a clip was given up; more ``--seconds`` changed nothing, until its file was replaced."""
    from avbench.harness.extraction import extract

    tasks: list[list[str]] = []

    def busy(setup: Any, some: Sequence[ShardTask], jobs: int, seconds: float, *rest: Any) -> None:
        tasks.append([clip.id for task in some for clip in task.clips])
        slow = {ARCHERY: f"takes longer than {seconds:g} s"} if seconds < 600 else {}
        own = [[c.model_copy(update={"spoilt": slow.get(c.id)}) for c in task.clips] for task in some]
        spoilt = [t.model_copy(update={"clips": tuple(clips)}) for t, clips in zip(some, own, strict=True)]
        genuine(setup, spoilt, jobs, seconds, *rest)

    genuine = extract.work_off
    monkeypatch.setattr(extract, "work_off", busy)
    monkeypatch.setattr(extract, "forgiven", lambda *_, **__: ())
    for _ in range(2):
        assert f"{ARCHERY}: takes longer than 5 s" in fails(capsys, 3, *arguments(own, "--seconds", "5"))
    assert CliRunner().invoke(cli, arguments(own)).exit_code == 0
    assert [len(some) for some in tasks] == [5 * CLASSES, 1]
    assert tasks[1] == [ARCHERY]


def stored(home: Path) -> dict[str, bytes]:
    """The files of the track; what a killed store leaves behind is none of them, and swept by the store."""
    return {p.name: p.read_bytes() for p in (home / "features" / "ucf").glob("mine.*")}


def shards(home: Path) -> int:
    return len(list(home.glob("extraction/ucf/mine/[0-9]*.safetensors")))


def extracted(words: list[str], home: Path, until: int | None = None) -> int:
    """How a child ends that runs the command, and is killed as soon as it knows of that many shards."""
    from avbench.harness.extraction import extract

    genuine = extract.work_off

    def work_off(setup: Setup, tasks: Any, jobs: int, seconds: float, stored: Callable[[ShardTask], None]) -> None:
        def and_die(task: ShardTask) -> None:
            stored(task)
            if until is not None and shards(home) >= until:
                os.kill(os.getpid(), signal.SIGKILL)

        genuine(setup, tasks, jobs, seconds, and_die)

    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        os.setpgid(0, 0)
        os.environ["AVBENCH_HOME"] = str(home)
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        extract.work_off = work_off
        main(words)
        code = 0
    except SystemExit as end:
        code = int(end.code or 0) if not isinstance(end.code, str) else 1
    finally:
        os._exit(code)


def test_fifty_kills_change_no_byte(made_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before random file operations and gone on with until it is done; then from the start, until 50 kills."""
    from avbench.harness.extraction import plan

    monkeypatch.setattr(plan, "CLIPS_OF_A_SHARD", 1)
    words = arguments(made_up, "--allow-missing")

    def ended(number: int, home: Path) -> bool:
        """Whether the work was done before its file operation of that number."""
        monkeypatch.setenv("AVBENCH_HOME", str(home))

        def work(say: Callable[[str], None]) -> None:
            cli(words, standalone_mode=False)
            say("done")

        return killed_at(number, work, home) == ["done"]

    undisturbed = tmp_path / "undisturbed"
    assert ended(10**9, undisturbed)
    expected = stored(undisturbed)
    chance, kills, rounds = random.Random(0), 0, 0
    points: list[int] = []
    while kills < 50:
        home = tmp_path / f"home-{rounds}"
        rounds += 1
        while not ended(chance.randint(1, 14) if kills < 50 else 10**9, home):
            kills += 1
            points.append(shards(home))
        assert stored(home) == expected
        assert not list(home.glob("extraction/ucf/*"))
    assert len(set(points)) > 3 * CLASSES, "the kills hit many different points"
    assert points.count(5 * CLASSES) >= 5, "also while the track is stored"


def test_kills_of_a_process_with_workers_change_no_byte(
    made_up: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: None
) -> None:
    from avbench.harness.extraction import plan

    monkeypatch.setattr(plan, "CLIPS_OF_A_SHARD", 1)
    words, home, undisturbed = arguments(made_up, "--allow-missing"), tmp_path / "home", tmp_path / "undisturbed"
    assert extracted(words, home, until=3) == -signal.SIGKILL
    assert extracted(words, home, until=shards(home) + 3) == -signal.SIGKILL
    for place in (home, undisturbed):
        assert extracted(words, place) == 0
    assert stored(home) == stored(undisturbed)
    assert not list(home.glob("extraction/ucf/*"))


def test_a_kill_while_storing_leaves_the_shards(made_up: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was extracted is not extracted again when the store could not be written."""
    calls: list[Any] = []
    from avbench.harness.errors import DataError
    from avbench.harness.extraction import extract

    def counted(*given: Any) -> None:
        calls.append(given)
        genuine(*given)

    genuine = extract.work_off
    monkeypatch.setattr(extract, "work_off", counted)
    with monkeypatch.context() as broken:
        broken.setattr(Store, "save", lambda *_, **__: (_ for _ in ()).throw(DataError("disk full")))
        assert CliRunner().invoke(cli, arguments(made_up, "--allow-missing")).exit_code
    done(made_up)
    assert len(calls) == 1
