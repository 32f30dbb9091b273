"""onnxruntime-web from a folder, an archive, the cache or a npm that is made up here; no network."""

import base64
import hashlib
import io
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from jaxgen.errors import InputError
from jaxgen.web import vendor

CONTENTS = {source: f"contents of {source}".encode() for source in vendor.FILES.values()}
EXPECTED = {name: CONTENTS[source] for name, source in vendor.FILES.items()}


def archive_of(contents: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in contents.items():
            info = tarfile.TarInfo(f"package/dist/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


class Npm:
    """Stands for `subprocess.run`: writes an archive where the command says, or fails."""

    def __init__(self, data: bytes | None, stderr: str = "") -> None:
        self.data, self.stderr, self.commands = data, stderr, []

    def __call__(self, command: list[str], **options: Any) -> "subprocess.CompletedProcess[str]":
        self.commands.append(command)
        assert options["timeout"] > 0
        if self.data is not None:
            folder = Path(command[command.index("--pack-destination") + 1])
            (folder / "fetched.tgz").write_bytes(self.data)
        return subprocess.CompletedProcess(command, self.data is None, "", self.stderr)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A small archive that counts as the pinned one; npm is at hand."""
    data = archive_of(CONTENTS)
    monkeypatch.setattr(vendor, "SHA512", base64.b64encode(hashlib.sha512(data).digest()).decode())
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    return data


def test_npm_is_asked_once_for_the_pinned_version(published: bytes, tmp_path: Path) -> None:
    npm = Npm(published)
    paths = [vendor.pinned_archive(tmp_path / "cache", npm) for _ in range(2)]
    assert paths[0].read_bytes() == published
    assert len(npm.commands) == 1
    assert npm.commands[0][:3] == ["/bin/npm", "pack", "onnxruntime-web@1.30.0"]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["onnxruntime-web-1.30.0.tgz"]


def test_a_damaged_cache_is_fetched_anew(published: bytes, tmp_path: Path) -> None:
    (tmp_path / "onnxruntime-web-1.30.0.tgz").write_bytes(published[:100])
    assert vendor.pinned_archive(tmp_path, Npm(published)).read_bytes() == published


@pytest.mark.parametrize(
    ("npm", "why"),
    [
        (Npm(None, "npm error\nnpm error network is unreachable\n"), "network is unreachable"),
        (Npm(None), "exit code"),
        (Npm(b"another archive"), "not the published one"),
    ],
)
def test_what_npm_could_not_do_is_one_line_that_says_what_helps(
    published: bytes, tmp_path: Path, npm: Npm, why: str
) -> None:
    with pytest.raises(InputError, match=f"{why}.*--ort PATH") as caught:
        vendor.pinned_archive(tmp_path / "cache", npm)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache").exists()


def test_a_npm_that_hangs_is_given_up(published: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def hang(command: list[str], **options: Any) -> "subprocess.CompletedProcess[str]":
        raise subprocess.TimeoutExpired(command, options["timeout"])

    with pytest.raises(InputError, match=r"within 120 s.*--ort PATH"):
        vendor.pinned_archive(tmp_path, hang)
    assert capsys.readouterr().err == "fetching onnxruntime-web 1.30.0 from npm (at most 120 s)\n"


def test_without_npm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(InputError, match=r"npm, which would fetch it, is not installed.*--ort PATH"):
        vendor.pinned_archive(tmp_path, Npm(None))


@pytest.mark.parametrize("place", ["", "dist", "package/dist"])
def test_a_folder_that_is_given(tmp_path: Path, place: str) -> None:
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    for name, data in CONTENTS.items():
        (tmp_path / place / name).write_bytes(data)
    assert vendor.runtime_files(tmp_path) == EXPECTED


def test_an_archive_that_is_given(tmp_path: Path) -> None:
    (tmp_path / "any.tgz").write_bytes(archive_of(CONTENTS))
    assert vendor.runtime_files(tmp_path / "any.tgz") == EXPECTED


def test_places_without_it_are_refused(tmp_path: Path) -> None:
    one_lacks = dict(list(CONTENTS.items())[1:])
    (tmp_path / "no.tgz").write_bytes(b"no archive")
    (tmp_path / "part.tgz").write_bytes(archive_of(one_lacks))
    (tmp_path / "cut.tgz").write_bytes(archive_of(CONTENTS)[:-30])
    (tmp_path / "empty").mkdir()
    for name in ("no.tgz", "part.tgz", "cut.tgz", "empty", "nowhere"):
        with pytest.raises(InputError, match=rf"ort: got '.*{name}'; accepted: .*"):
            vendor.runtime_files(tmp_path / name)


@pytest.mark.parametrize(
    ("system", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/jaxgen"),
        ("linux", {"XDG_CACHE_HOME": ""}, "/home/me/.cache/jaxgen"),
        ("darwin", {}, "/home/me/Library/Caches/jaxgen"),
        ("win32", {"LOCALAPPDATA": "/l"}, "/l/jaxgen"),
    ],
)
def test_the_cache_is_where_the_system_has_it(
    monkeypatch: pytest.MonkeyPatch, system: str, variables: dict[str, str], expected: str
) -> None:
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert vendor.cache_folder() == Path(expected)
