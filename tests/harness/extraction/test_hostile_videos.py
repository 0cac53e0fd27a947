"""Videos, folders and tables of strangers: nothing outside the folder is read, memory and time are bounded."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from time import perf_counter
from typing import NoReturn

import pytest
from simulated_videos import write_video

from avbench.harness.errors import DataError, PluginError
from avbench.harness.extraction.basic import BasicPictures, BasicSound
from avbench.harness.extraction.container import BadVideoError, opened
from avbench.harness.extraction.layouts import find_videos
from avbench.harness.extraction.messages import ClipTask, EncoderChoice, Setup, ShardTask
from avbench.harness.extraction.pool import work_off
from avbench.harness.extraction.shards import ClipNotes, shard_notes
from avbench.harness.features.draft import ListedClips
from avbench.splits import load_split

MEMORY = 2**30


def through_a_worker(folder: Path, *paths: Path, memory: int = MEMORY, seconds: float = 60.0) -> dict[str, ClipNotes]:
    """What is told of videos that a worker of its own has decoded."""
    basic = [EncoderChoice(key=f"basic:{modality}") for modality in ("visual", "audio")]
    setup = Setup(frames=basic[0], sound=basic[1], device="cpu", missing_audio="zeros", memory=memory)
    clips = tuple(ClipTask(id=path.name, path=path, end=3600) for path in paths)
    task = ShardTask(number=0, path=folder / "shard.safetensors", key="k", clips=clips)
    work_off(setup, [task], 1, seconds, lambda _: None)
    notes = shard_notes(task.path, "k")
    assert notes is not None
    return {note.id: note for note in notes}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("videos") / "a.mp4", codec="libx264")


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:5,\n{0}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{0}'\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
    '<Representation id="1" mimeType="video/mp4"><BaseURL>{0}</BaseURL></Representation></AdaptationSet></Period>'
    "</MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "m3u": "{0}\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".avi"])
def test_a_playlist_opens_nothing(kind: str, suffix: str, whole: Path, tmp_path: Path) -> None:
    """Neither the file nor the address that it names."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        for target in (str(whole), f"http://127.0.0.1:{server.getsockname()[1]}/a.mp4"):
            path = tmp_path / f"a{suffix}"
            path.write_text(PLAYLISTS[kind].format(target), "utf-8")
            with pytest.raises(BadVideoError, match="no video file that can be read"), opened(path):
                pass
        with pytest.raises(TimeoutError):
            server.accept()


def test_only_regular_files_are_opened(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "link.mp4").symlink_to(whole)
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()
    for name, reason in (("link", "cannot be opened"), ("pipe", "not a regular"), ("folder", "not a regular")):
        with pytest.raises(BadVideoError, match=reason), opened(tmp_path / f"{name}.mp4"):
            pass


def test_names_in_a_folder_lead_nowhere_else(whole: Path, tmp_path: Path) -> None:
    """Links to files and folders are passed over and counted."""
    split = load_split("ucf", "main")
    ids = tuple(f"v_Archery_g01_c0{n}" for n in range(1, 5))
    clips = [ListedClips("train", split.find("Archery"), ids)]
    folder = tmp_path / "videos"
    write_video(folder / "Archery" / f"{ids[0]}.avi", frames=2, sound=None)
    (folder / f"{ids[1]}.avi").symlink_to(whole)
    (folder / "linked").symlink_to(whole.parent)
    os.mkfifo(folder / f"{ids[2]}.avi")
    places = find_videos(folder, "ucf", clips)
    assert set(places.found) == {ids[0]}
    assert places.links == 2


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../secret.mp4", "leads out of"),
        ("/etc/passwd", "leads out of"),
        ("a/../../secret.mp4", "leads out of"),
        ("linked/a.mp4", "leads through one"),
        ("link.mp4", "is a link"),
        ("", "leads out of"),
        ("a\0b.mp4", "leads out of"),
    ],
)
def test_a_table_leads_nowhere_else(path: str, reason: str, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    (tmp_path / "secret.mp4").write_bytes(whole.read_bytes())
    (folder / "link.mp4").symlink_to(whole)
    (folder / "linked").symlink_to(whole.parent)
    table = folder / "table.csv"
    table.write_text(f"id,path\nx,{path}\n", "utf-8")
    clips = [ListedClips("train", load_split("ucf", "main").find("Archery"), ("x",))]
    with pytest.raises(DataError, match=reason):
        find_videos(table, "ucf", clips)


def patched(whole: bytes, atom: bytes, offset: int, value: int) -> bytes:
    """An MP4 with a 32-bit number after the name of an atom replaced."""
    place = whole.index(atom) + 4 + offset
    return whole[:place] + struct.pack(">I", value) + whole[place + 4 :]


def test_a_header_that_claims_a_billion_frames(whole: Path, tmp_path: Path) -> None:
    """The count of frames, of times and their sizes: no memory is given for what is only claimed."""
    content = whole.read_bytes()
    many = 10**9
    samples = patched(patched(content, b"stsz", 4, 1), b"stsz", 8, many)
    times = patched(patched(content, b"stts", 4, 1), b"stts", 8, many)
    both = patched(patched(samples, b"stts", 4, 1), b"stts", 8, many)
    paths = [tmp_path / f"{name}.mp4" for name in ("samples", "times", "both")]
    for path, changed in zip(paths, (samples, times, both), strict=True):
        path.write_bytes(changed)
    start = perf_counter()
    notes = through_a_worker(tmp_path, *paths, whole)
    assert perf_counter() - start < 60
    assert notes["samples.mp4"].dropped
    assert notes["both.mp4"].dropped
    assert notes["a.mp4"] == ClipNotes("a.mp4"), "the worker goes on"


def test_a_gigapixel_frame(whole: Path, tmp_path: Path) -> None:
    """A JPEG frame that claims 65,500 x 65,500 pixels is refused by its claim."""
    plain = write_video(tmp_path / "plain.avi", frames=3, codec="mjpeg", pixels="yuvj420p", sound=None)
    content = bytearray(plain.read_bytes())
    place = -1
    while (place := content.find(b"\xff\xc0\x00\x11\x08", place + 1)) >= 0:
        content[place + 5 : place + 9] = struct.pack(">HH", 65_500, 65_500)
    path = tmp_path / "giga.avi"
    path.write_bytes(content)
    notes = through_a_worker(tmp_path, path, plain, whole)
    assert notes["giga.avi"].dropped
    assert not notes["plain.avi"].dropped


def test_what_needs_too_much_memory_is_dropped(tmp_path: Path) -> None:
    large = write_video(tmp_path / "large.mp4", frames=1, width=7680, height=4320, sound=None)
    small = write_video(tmp_path / "small.mp4", frames=2, codec="libx264", sound=None)
    notes = through_a_worker(tmp_path, large, small, memory=48 * 2**20)
    assert notes["large.mp4"].dropped
    assert not notes["small.mp4"].dropped
    assert not through_a_worker(tmp_path, large)["large.mp4"].dropped


def test_what_takes_too_long_is_dropped(whole: Path, tmp_path: Path) -> None:
    """Two frames an hour apart: the first is shown, and taken, all the time."""
    slow = write_video(tmp_path / "slow.mkv", frames=2, times=[0, 3_590_000], codec="libx264", sound=None)
    notes = through_a_worker(tmp_path, slow, whole, seconds=0.3)
    assert notes["slow.mkv"] == ClipNotes("slow.mkv", True, ("takes longer than 0.3 s",))
    assert "a.mp4" in notes  # it had its turn, and is taken where there is time
    (tmp_path / "again").mkdir()
    assert through_a_worker(tmp_path / "again", whole, seconds=600)["a.mp4"] == ClipNotes("a.mp4")


def test_what_decoding_raises_costs_one_video_and_an_encoder_that_fails_is_named(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from avbench.harness.extraction import features, worker

    clip, sound = ClipTask(id="a", path=whole, end=3600), BasicSound(None, "cpu")
    with monkeypatch.context() as broken:
        broken.setattr(features, "decode", lambda *_: 1 // 0)
        notes = worker.clip_steps(clip, BasicPictures(None, "cpu"), sound, "zeros").notes
    assert notes == ClipNotes("a", True, ("cannot be decoded (ZeroDivisionError: integer division or modulo by zero)",))

    class Failing(BasicPictures):
        def encode(self, steps: object) -> NoReturn:
            raise ValueError("wrong device")

    with pytest.raises(PluginError, match="encoder 'basic' failed: ValueError: wrong device"):
        worker.clip_steps(clip, Failing(None, "cpu"), sound, "zeros")


def test_times_beyond_reason_are_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", frames=3, times=[0, 1000, 4_000_000], codec="libx264", sound=None)
    assert "time stamps beyond" in through_a_worker(tmp_path, path)["a.mkv"].reasons[0]


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 5000, b"RIFF\xff\xff\xff\xffAVI ", os.urandom(5000), b"\x1aE\xdf\xa3"]
)
def test_rubbish_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    path.write_bytes(content)
    assert through_a_worker(tmp_path, path)["a.avi"].dropped
