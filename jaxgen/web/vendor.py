"""onnxruntime-web, which runs the models in the browser, fetched from npm and cached, or read from a given path."""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from jaxgen.errors import InputError, reject
from jaxgen.files import write_bytes

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""SHA-512 of the package's archive in base64, as npm publishes it."""
FILES = {
    "ort.js": "ort.wasm.min.mjs",
    "runtime.js": "ort-wasm-simd-threaded.mjs",
    "runtime.wasm": "ort-wasm-simd-threaded.wasm",
}
"""Name on the page -> name in the package's `dist`. The page has no .mjs, a type that some servers do not know."""
TIMEOUT_S = 120

Runner = Callable[..., "subprocess.CompletedProcess[str]"]


def runtime_files(ort: Path | None = None) -> dict[str, bytes]:
    """Returns the files of onnxruntime-web that a page needs, by their names on the page (see `FILES`).

    Args:
      ort: folder with the files of its `dist`, or its .tgz, of any version; None for the pinned version, from the
        cache or from npm.

    Raises:
      InputError: the files do not exist or cannot be fetched.
    """
    if ort is None:
        return _from_archive(pinned_archive())
    if ort.is_dir():
        return _from_folder(ort)
    if ort.is_file():
        return _from_archive(ort)
    reject("ort", str(ort), f"a folder with the dist files of {PACKAGE}, or its .tgz")


def cache_folder() -> Path:
    """Returns the cache folder of jaxgen, by the convention of the operating system."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "jaxgen"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "jaxgen"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jaxgen"


def pinned_archive(cache: Path | None = None, run: Runner = subprocess.run) -> Path:
    """Returns the archive of the pinned version, which npm fetches unless it is cached; says so on stderr.

    Args:
      cache: cache folder; None for `cache_folder()`.
      run: function that starts npm.

    Raises:
      InputError: npm is not installed, fails, or fetched another archive.
    """
    kept = (cache or cache_folder()) / f"{PACKAGE}-{VERSION}.tgz"
    if kept.is_file() and _sha512(kept.read_bytes()) == SHA512:
        return kept
    npm = shutil.which("npm")
    if npm is None:
        raise _missing("npm, which would fetch it, is not installed")
    print(f"fetching {PACKAGE} {VERSION} from npm (at most {TIMEOUT_S} s)", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        data = _fetch(npm, Path(scratch), run)
    if _sha512(data) != SHA512:
        raise _missing("npm fetched an archive that is not the published one")
    write_bytes(kept, data)
    return kept


def _fetch(npm: str, scratch: Path, run: Runner) -> bytes:
    command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--ignore-scripts", "--pack-destination", str(scratch)]
    try:
        done = run(command, cwd=scratch, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise _missing(f"npm did not fetch it within {TIMEOUT_S} s ({type(error).__name__})") from None
    except OSError as error:
        raise _missing(f"npm could not fetch it ({type(error).__name__})") from None
    found = sorted(scratch.glob("*.tgz"))
    if done.returncode or not found:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise _missing(f"npm could not fetch it ({last})")
    return found[0].read_bytes()


def _missing(why: str) -> InputError:
    accepted = (
        f"--ort PATH, a folder with the dist files of {PACKAGE} {VERSION} or its .tgz, or an installed npm (Node.js)"
    )
    return InputError(f"ort: got nothing, and {why}; accepted: {accepted}")


def _sha512(data: bytes) -> str:
    return base64.b64encode(hashlib.sha512(data).digest()).decode()


def _from_folder(folder: Path) -> dict[str, bytes]:
    for place in (folder, folder / "dist", folder / "package" / "dist"):
        if all((place / name).is_file() for name in FILES.values()):
            return {name: (place / source).read_bytes() for name, source in FILES.items()}
    reject("ort", str(folder), f"a folder with {', '.join(FILES.values())}")


def _from_archive(path: Path) -> dict[str, bytes]:
    try:
        with tarfile.open(path) as archive:
            members = {name: archive.extractfile(f"package/dist/{source}") for name, source in FILES.items()}
            return {name: member.read() for name, member in members.items() if member is not None}
    except (tarfile.TarError, KeyError, EOFError, OSError):
        reject("ort", str(path), f"the .tgz of {PACKAGE}, with {', '.join(FILES.values())} in its package/dist")
