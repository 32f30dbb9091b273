"""Files that are whole or not there at all, and errors that say which file it was."""

import contextlib
import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from jaxgen.errors import InputError


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file so that a reader sees the old one or the new one, never a part; makes its folder.

    Raises:
      OSError: it cannot be written; names it.
    """
    path = Path(path)
    # In the same folder, as a rename is atomic only within one file system.
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(data)
            os.replace(partial, path)
        finally:
            with contextlib.suppress(OSError):
                partial.unlink()


def append(file: BinaryIO, path: Path, data: bytes) -> None:
    """Writes all of `data` to a file opened without buffer: nothing is left to fail when it is closed.

    Raises:
      OSError: it cannot be written; names `path`.
    """
    with naming(path):
        rest = memoryview(data)
        while rest:  # a disk that fills up takes a part first
            rest = rest[file.write(rest) :]


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Gives an `OSError` the name of the file that it is about: one of a write has none."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror or os.strerror(error.errno), str(path)) from error


def printable(text: object) -> str:
    """One line that any terminal can show: file names may hold line ends, control characters and bytes of no text."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Writes indented strict JSON, whole or not at all; a number that is not finite becomes null."""
    write_bytes(path, (json.dumps(finite(values), indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object; the result is empty where there is no file.

    Raises:
      InputError: the file cannot be read, or holds something else.
    """
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:  # also of bytes that are no text
        raise InputError(f"{path}: is not JSON ({error})") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds no object; accepted: a JSON object")
    return values


def finite(value: Any) -> Any:
    """The same JSON value with null for each float that is not finite."""
    if isinstance(value, Mapping):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
