"""Files that are written completely or not at all, and errors that name the file."""

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
    """Writes a file so that a reader sees the old one or the new one, never a part; creates its folder.

    Raises:
      OSError: the file cannot be written; the error names it.
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
    """Writes all of `data` to a file opened without a buffer, so that closing the file cannot fail.

    Raises:
      OSError: the data cannot be written; the error names `path`.
    """
    with naming(path):
        rest = memoryview(data)
        while rest:  # a disk that becomes full writes a part first
            rest = rest[file.write(rest) :]


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Adds the file name to an `OSError` raised in the context, as errors of writes have none."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror or os.strerror(error.errno), str(path)) from error


def printable(text: object) -> str:
    """Returns text as one line that any terminal can show: it escapes line ends, control and invalid characters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Writes indented strict JSON, completely or not at all; a number that is not finite becomes null."""
    write_bytes(path, (json.dumps(finite(values), indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object; returns an empty one if there is no file.

    Raises:
      InputError: the file cannot be read, or does not hold an object.
    """
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:  # ValueError also for bytes that are not text
        raise InputError(f"{path}: is not JSON ({error})") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds no object; accepted: a JSON object")
    return values


def finite(value: Any) -> Any:
    """Returns the JSON value with null for each float that is not finite."""
    if isinstance(value, Mapping):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
