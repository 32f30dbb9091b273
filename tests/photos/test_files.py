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
    assert [(str(job.photo), str(job.restored), str(job.compare)) for job in jobs] == [
        ("in/sub/c.tif", "out/c.tif", "out/c-compare.png"),
        ("in/sub/deep/a.png", "out/deep/a.png", "out/deep/a-compare.png"),
    ]
    assert [job.compare for job in output_paths(find_photos(["in/sub"]), Path("out"))] == [None, None]


def test_two_results_of_one_name_are_refused(folder: Path) -> None:
    (folder / "in/a.png").touch()
    with pytest.raises(InputError, match=r"in/a\.png and in/sub/deep/a\.png would both be written to out/a\.png"):
        output_paths(find_photos(["in/a.png", "in/sub/deep/a.png"]), Path("out"))
    output_paths(find_photos(["in/a.png", "in/a.JPG"]), Path("out"))
    with pytest.raises(InputError, match=r"in/a\.png and in/a\.JPG would both be written to out/a-compare\.png"):
        output_paths(find_photos(["in/a.png", "in/a.JPG"]), Path("out"), compare=True)


@pytest.mark.parametrize("out", ["in", "./in/../in", "link"])
def test_photos_are_never_overwritten(folder: Path, out: str) -> None:
    (folder / "link").symlink_to(folder / "in")
    with pytest.raises(InputError, match="is one of the photos to restore"):
        output_paths(find_photos(["in/b.png"], Path(out)), Path(out))
    with pytest.raises(InputError, match="is one of the photos to restore"):
        output_paths(find_photos(["in"], Path(out)), Path(out))


def test_nor_by_the_picture_beside_another(folder: Path) -> None:
    (folder / "in/sub/b-compare.png").touch()
    photos = find_photos(["in/b.png", "in/sub/b-compare.png"])
    with pytest.raises(InputError, match=r"sub/b-compare\.png is one of the photos"):
        output_paths(photos, Path("in/sub"), compare=True)


def test_a_file_is_no_folder_for_results(folder: Path) -> None:
    with pytest.raises(InputError, match=r"out: got .*notes\.txt.*accepted: a folder"):
        output_paths(find_photos(["in/b.png"]), Path("in/notes.txt"))
