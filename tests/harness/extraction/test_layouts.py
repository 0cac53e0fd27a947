"""Where videos are found: the layouts of the three data sets, and tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from genuine_archive import FOLDERS, ROOT, needs_archive

from avbench.harness.errors import DataError
from avbench.harness.extraction.layouts import Place, find_videos
from avbench.harness.extraction.lists import read_lists
from avbench.harness.features.draft import ListedClips, differences
from avbench.splits import PARTS, load_split


def found(folder: Path, dataset: str, clip: str, *files: str, owner: str | None = None) -> str | None:
    """The file that is taken for a clip, of those in a folder."""
    split = load_split(dataset, "main")
    for file in files:
        path = folder / "videos" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    clips = [ListedClips("train", split.find(owner) if owner else split.classes_of("train")[0], (clip,))]
    place = find_videos(folder / "videos", dataset, clips).found.get(clip)
    return place and str(place.path.relative_to((folder / "videos").resolve()))


UCF = "v_HandstandPushups_g01_c02"


@pytest.mark.parametrize(
    ("dataset", "clip", "file"),
    [
        ("ucf", UCF, f"{UCF}.avi"),
        ("ucf", UCF, f"HandstandPushups/{UCF}.avi"),
        ("ucf", UCF, "HandstandPushups/v_HandStandPushups_g01_c02.avi"),
        ("ucf", UCF, f"UCF-101/HandstandPushups/{UCF}.mp4"),
        ("activitynet", "38ZxXyECPPU_1", "v_38ZxXyECPPU_1.mp4"),
        ("activitynet", "38ZxXyECPPU_1", "Capoeira/v_38ZxXyECPPU_1.mkv"),
        ("activitynet", "38ZxXyECPPU_1", "38ZxXyECPPU_1.webm"),
        ("vggsound", "-0iEMffOYwo_000005", "-0iEMffOYwo_000005.mp4"),
        ("vggsound", "-0iEMffOYwo_000005", "-0iEMffOYwo_5.mp4"),
        ("vggsound", "-0iEMffOYwo_000005", "playing oboe/-0iEMffOYwo_5_15.MP4"),
        ("vggsound", "a_12345_789_000030", "a_12345_789_30.mp4"),
        ("vggsound", "0123456_123_000000", "0123456_123_000000_000010.mp4"),
    ],
)
def test_the_layouts_of_the_data_sets(dataset: str, clip: str, file: str, tmp_path: Path) -> None:
    others = ["notes.txt", "v_other.mp4", "0iEMffOYwo_000005.mp4", "-0iEMffOYwo_000055.mp4", "v_38ZxXyECPPU_11.mp4"]
    assert found(tmp_path, dataset, clip, file, *others) == file


def test_names_count_exactly_where_case_tells_clips_apart(tmp_path: Path) -> None:
    assert found(tmp_path, "vggsound", "-0iEMffOYwo_000005", "-0iemffoywo_000005.mp4") is None
    assert found(tmp_path, "activitynet", "38ZxXyECPPU_1", "v_38zxXyECPPU_1.mp4") is None


def test_of_two_files_that_of_the_class_is_taken(tmp_path: Path) -> None:
    files = ("Archery/v_Archery_g01_c01.avi", "copies/v_Archery_g01_c01.avi")
    assert found(tmp_path, "ucf", "v_Archery_g01_c01", *files, owner="Archery") == files[0]
    with pytest.raises(DataError, match="2 files have its name"):
        found(tmp_path / "b", "ucf", "v_Archery_g01_c01", "a/v_Archery_g01_c01.avi", files[1], owner="Archery")


def test_a_table(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "one.mp4").touch()
    table = tmp_path / "table.csv"
    table.write_text("id,path,start,end\nx,films/one.mp4,,\ny,films/one.mp4,2.5,12\nother,../away,,\n", "utf-8")
    clips = [ListedClips("train", load_split("ucf", "main").find("Archery"), ("x", "y", "z"))]
    path = tmp_path / "films" / "one.mp4"
    assert find_videos(table, "ucf", clips).found == {"x": Place(path), "y": Place(path, 2.5, 12.0)}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("id,file\nx,a\n", "columns id and path"),
        ("id,path\nx,a\nx,b\n", "occurs twice"),
        ("id,path,start,end\nx,a,5,5\n", "ends before it starts"),
        ("id,path,start\nx,a,soon\n", "no time in seconds"),
        ("id,path,start\nx,a,-1\n", "no time in seconds"),
        ("id,path,end\nx,a,nan\n", "no time in seconds"),
        ("id,path,start_time,end_time\nx,a,5,15\n", "has the column start_time, end_time"),
        ("id,path,Start,End\nx,a,5,15\n", "has the column Start, End"),
        ("id,path, start, end\nx,a,5,15\n", "has the column"),
        ("id,path,start\nx,a,5,15\n", "line 2: has more cells"),
        ("\0\xff", "columns id and path"),
    ],
)
def test_a_broken_table_is_refused(content: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(content, "utf-8")
    clips = [ListedClips("train", load_split("ucf", "main").find("Archery"), ("x",))]
    with pytest.raises(DataError, match=reason):
        find_videos(tmp_path / "table.csv", "ucf", clips)


@needs_archive
@pytest.mark.parametrize("partition", ["main", "cls"])
@pytest.mark.parametrize("dataset", ["ucf", "activitynet"])
def test_the_genuine_lists_are_those_of_the_split(dataset: str, partition: str) -> None:
    split = load_split(dataset, partition)
    groups = read_lists(ROOT / FOLDERS[dataset], split)
    assert differences(split, groups, "lists") == []
    assert read_lists(ROOT / FOLDERS[dataset] / "class-split", split) == groups


@needs_archive
def test_a_list_that_is_not_public_is_named() -> None:
    with pytest.raises(DataError, match=r"stage_1_train\.csv"):
        read_lists(ROOT / "VGGSound", load_split("vggsound", "main"))


def lists(folder: Path, change: dict[str, str]) -> Path:
    """A small class-split folder, with other contents of some files."""
    from simulated_videos import write_lists

    write_lists(folder, load_split("ucf", "main"), 1)
    for name, content in change.items():
        (folder / "main_split" / name).write_text(content, "utf-8")
    return folder


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("stage_1_train.csv", "filename,label\n../../x,Archery\n", "clip id that cannot be"),
        ("stage_1_train.csv", "filename,label\na\\b,Archery\n", "clip id that cannot be"),
        ("stage_1_train.csv", "filename,label\n,Archery\n", "clip id that cannot be"),
        ("stage_1_train.csv", f"filename,label\n{'x' * 101},Archery\n", "clip id that cannot be"),
        ("stage_1_train.csv", "video,class\na,b\n", "not a list of videos"),
        ("stage_1_train.txt", "Archery\nBiking\n", "not the classes of ucf/main, train"),
    ],
)
def test_broken_lists_are_refused(name: str, content: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=reason):
        read_lists(lists(tmp_path, {name: content}), load_split("ucf", "main"))


def test_other_prompts_are_refused(tmp_path: Path) -> None:
    lists(tmp_path, {})
    (tmp_path / "ucf_w2v_class_names.csv").write_text("original,manual\nArchery,Bow\n", "utf-8")
    with pytest.raises(DataError, match="other prompts"):
        read_lists(tmp_path, load_split("ucf", "main"))


def test_lists_are_read_by_part_and_class(tmp_path: Path) -> None:
    groups = read_lists(lists(tmp_path, {}), load_split("ucf", "main"))
    assert [g.part for g in groups] == sorted((g.part for g in groups), key=PARTS.index)
    assert groups[0].ids == ("v_Archery_g01_c01",)
    assert len(groups) == 123
