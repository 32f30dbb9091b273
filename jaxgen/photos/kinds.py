"""The formats of photo files: their suffixes, and which one a file has by its content."""

from pathlib import Path

SUFFIXES_OF = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
}
"""Suffixes of each format; a new file gets the first."""
SUFFIXES = tuple(suffix for suffixes in SUFFIXES_OF.values() for suffix in suffixes)
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def kind_of(path: Path) -> str | None:
    """Returns the format of a file by how it begins, or None; also for cameras' raw files, which begin like TIFF."""
    if not path.is_file():
        return None
    try:
        with open(path, "rb") as file:
            start = file.read(12)
    except OSError:
        return None
    if start.startswith(TIFF_SIGNATURES):
        return "TIFF" if path.suffix.lower() in ("", *SUFFIXES) else None
    begins = {
        "PNG": start.startswith(PNG_SIGNATURE),
        "JPEG": start.startswith(b"\xff\xd8\xff"),
        "WEBP": start.startswith(b"RIFF") and start[8:] == b"WEBP",
        "BMP": start.startswith(b"BM") and start[6:10] == bytes(4),
    }
    return next((kind for kind, found in begins.items() if found), None)
