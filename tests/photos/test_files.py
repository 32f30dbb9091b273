"""Which files are meant by names, folders and globs, and where results go."""

from pathlib import Path

import pytest

from jaxgen.errors import InputError
from jaxgen.photos.files import find_photos, output_paths


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty files, as nothing is opened here; the current folder."""
    for name in [
        "b.png",
        "a.JPG",
        "notes.txt",
        ".hidden.png",
        "sub/c.tif",
        "sub/deep/a.png",
        ".cache/d.png",
        "x[1].bmp",
    ]:
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def places(arguments: list[str], out: str | None = None) -> list[tuple[str, str]]:
    return [(str(photo.path), str(photo.place)) for photo in find_photos(arguments, None if out is None else Path(out))]


def test_folders_are_searched_in_order_without_hidden_files(folder: Path) -> None:
    names = ["a.JPG", "b.png", "sub/c.tif", "sub/deep/a.png", "x[1].bmp"]
    assert places(["in"]) == [(f"in/{name}", name) for name in names]


def test_files_are_taken_as_they_are_named(folder: Path) -> None:
    """Also those whose name looks like a glob, and those of any suffix; they go right into the folder."""
    assert places(["in/sub/c.tif", "in/x[1].bmp", "in/notes.txt"]) == [
        ("in/sub/c.tif", "c.tif"),
        ("in/x[1].bmp", "x[1].bmp"),
        ("in/notes.txt", "notes.txt"),
    ]


def test_globs_keep_what_follows_their_fixed_part(folder: Path) -> None:
    assert places(["in/*.png"]) == [("in/b.png", "b.png")]
    assert places(["in/s*/c.*"]) == [("in/sub/c.tif", "sub/c.tif")]
    assert places(["in/s*"]) == [("in/sub/c.tif", "sub/c.tif"), ("in/sub/deep/a.png", "sub/deep/a.png")]
    assert places(["**/a.png"]) == [("in/sub/deep/a.png", "in/sub/deep/a.png")]
    assert places([f"{folder}/in/*.png"]) == [(f"{folder}/in/b.png", "b.png")]


def test_each_photo_once_with_its_first_place(folder: Path) -> None:
    assert places(["in/sub/c.tif", "in/sub", "in/../in/sub/c.tif"]) == [
        ("in/sub/c.tif", "c.tif"),
        ("in/sub/deep/a.png", "deep/a.png"),
    ]


def test_earlier_results_in_the_folder_are_left_out(folder: Path) -> None:
    assert places(["in/"], "in/sub/deep") == [(f"in/{n}", n) for n in ["a.JPG", "b.png", "sub/c.tif", "x[1].bmp"]]
    assert ("in/sub/c.tif", "c.tif") in places(["in/sub"], "in/sub")


@pytest.mark.parametrize("argument", ["gone.png", "in/*.webp", "empty", "in/notes.*"])
def test_what_matches_nothing_is_named(folder: Path, argument: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match="photos: got") as caught:
        find_photos(["in/b.png", argument])
    assert repr(argument) in str(caught.value)


def test_no_argument_is_refused() -> None:
    with pytest.raises(InputError, match="photos"):
        find_photos([])


def test_results_keep_the_structure(folder: Path) -> None:
    jobs = output_paths(find_photos(["in/sub"]), Path("out"), compare=True)
    assert [(str(job.photo), str(job.result), str(job.compare)) for job in jobs] == [
        ("in/sub/c.tif", "out/c.tif", "out/c-compare.png"),
        ("in/sub/deep/a.png", "out/deep/a.png", "out/deep/a-compare.png"),
    ]
    assert [job.compare for job in output_paths(find_photos(["in/sub"]), Path("out"))] == [None, None]


def test_two_results_of_one_name_are_refused(folder: Path) -> None:
    (folder / "in/a.png").touch()
    with pytest.raises(InputError, match=r"in/a\.png and in/sub/deep/a\.png would both be written to out/a\.png"):
        output_paths(find_photos(["in/a.png", "in/sub/deep/a.png"]), Path("out"))


def test_pictures_side_by_side_of_one_stem_have_the_suffix_in_their_names(folder: Path) -> None:
    (folder / "in/a.png").touch()
    (folder / "in/x[1]-compare.png").touch()
    jobs = output_paths(find_photos(["in/a.png", "in/a.JPG", "in/b.png", "in/x[[]1*"]), Path("out"), compare=True)
    assert {str(job.photo): str(job.compare) for job in jobs} == {
        "in/a.png": "out/a-png-compare.png",
        "in/a.JPG": "out/a-JPG-compare.png",
        "in/b.png": "out/b-compare.png",
        "in/x[1].bmp": "out/x[1]-bmp-compare.png",
        "in/x[1]-compare.png": "out/x[1]-compare-compare.png",
    }


BEGINNINGS = {
    "png": b"\x89PNG\r\n\x1a\n",
    "jpg": b"\xff\xd8\xff\xe0",
    "webp": b"RIFF\0\0\0\0WEBP",
    "tif": b"II*\0",
    "bmp": b"BM\1\2\3\4\0\0\0\0",
}


@pytest.mark.parametrize("kind", BEGINNINGS)
def test_results_have_the_suffix_of_their_content(folder: Path, kind: str) -> None:
    names = {
        "none": f"none.{kind}",
        "scan.2024": "scan.2024" if kind == "tif" else f"scan.2024.{kind}",  # raw files begin like TIFF
        "p.png": f"p.{kind}",
        f"q.{kind.upper()}": f"q.{kind.upper()}",
    }
    for name in names:
        (folder / name).write_bytes(BEGINNINGS[kind])
    jobs = output_paths(find_photos(list(names)), Path("out"))
    assert {str(job.photo): str(job.result) for job in jobs} == {k: f"out/{v}" for k, v in names.items()}


def test_other_suffixes_of_jpeg_stay(folder: Path) -> None:
    for name in ("a.jfif", "b.jpe", "c.jpeg"):
        (folder / "in/sub" / name).write_bytes(BEGINNINGS["jpg"])
    assert [place for _, place in places(["in/sub"])] == ["a.jfif", "b.jpe", "c.jpeg", "c.tif", "deep/a.png"]
    jobs = output_paths(find_photos(["in/sub/a.jfif", "in/sub/b.jpe"]), Path("out"))
    assert [str(job.result) for job in jobs] == ["out/a.jfif", "out/b.jpe"]


def test_a_new_suffix_does_not_take_the_name_of_another_result(folder: Path) -> None:
    for name in ("a.png", "a.jpg"):
        (folder / name).write_bytes(BEGINNINGS["jpg"])
    jobs = output_paths(find_photos(["a.png", "a.jpg"]), Path("out"))
    assert [str(job.result) for job in jobs] == ["out/a.png.jpg", "out/a.jpg"]


def test_files_without_suffix_are_taken_from_folders_by_their_content(folder: Path, caplog) -> None:
    (folder / "in/sub/photo").write_bytes(BEGINNINGS["jpg"])
    (folder / "in/sub/README").write_bytes(b"BMX is a kind of bicycle")
    assert places(["in/sub"]) == [(f"in/sub/{name}", name) for name in ("c.tif", "deep/a.png", "photo")]
    (record,) = caplog.records
    assert record.getMessage().endswith("file: in/sub/README")


def test_what_is_left_out_of_a_folder_is_named_in_one_line(folder: Path, caplog) -> None:
    for name in ("sub/deep/x.heic", "y.CR2", "new\nline.gif"):
        (folder / "in" / name).touch()
    (folder / "in/around").symlink_to(".")
    (folder / "in/out").mkdir()
    (folder / "in/out/z.gif").touch()
    find_photos(["in", "in/sub"], Path("in/out"))
    (record,) = caplog.records
    names = record.getMessage().split("file: ")[1]
    assert names == r"in/around, in/new\nline.gif, in/notes.txt, in/sub/deep/x.heic, in/y.CR2"


def test_of_many_left_out_the_number_is_said(folder: Path, caplog) -> None:
    for i in range(12):
        (folder / f"in/sub/{i:02}.heic").touch()
    find_photos(["in/s*"])
    assert "in/sub/09.heic and 2 more" in caplog.text
    assert "10.heic" not in caplog.text


def test_two_names_of_one_file_are_said_to_be_one(folder: Path, caplog) -> None:
    (folder / "in/link.png").symlink_to("b.png")
    assert places(["in/b.png", "in/./b.png"]) == [("in/b.png", "b.png")]
    assert not caplog.records
    assert places(["in/b.png", "in/link.png"]) == [("in/b.png", "b.png")]
    assert [record.getMessage() for record in caplog.records] == [
        "in/link.png is the same file as in/b.png, and taken once"
    ]


@pytest.mark.parametrize("out", ["in", "./in/../in", "link"])
def test_photos_are_never_overwritten(folder: Path, out: str) -> None:
    (folder / "link").symlink_to(folder / "in")
    with pytest.raises(InputError, match="is one of the photos given"):
        output_paths(find_photos(["in/b.png"], Path(out)), Path(out))
    with pytest.raises(InputError, match="is one of the photos given"):
        output_paths(find_photos(["in"], Path(out)), Path(out))


def test_nor_by_the_picture_beside_another(folder: Path) -> None:
    (folder / "in/sub/b-compare.png").touch()
    photos = find_photos(["in/b.png", "in/sub/b-compare.png"])
    with pytest.raises(InputError, match=r"sub/b-compare\.png is one of the photos"):
        output_paths(photos, Path("in/sub"), compare=True)


def test_a_file_is_no_folder_for_results(folder: Path) -> None:
    with pytest.raises(InputError, match=r"out: got .*notes\.txt.*accepted: a folder"):
        output_paths(find_photos(["in/b.png"]), Path("in/notes.txt"))
