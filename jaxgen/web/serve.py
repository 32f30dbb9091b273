"""A server of the page for this machine alone, with the headers that let WebAssembly use several threads."""

import contextlib
import functools
import http.server
from pathlib import Path
from typing import Any

from jaxgen.errors import reject, require
from jaxgen.web.build import POLICY, is_page

HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",  # these two allow shared memory, which threads need
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Content-Security-Policy": POLICY,  # in a header it holds for the worker, too
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
    ".wasm": "application/wasm",
    ".onnx": "application/octet-stream",
    "": "application/octet-stream",
}


class _Handler(http.server.SimpleHTTPRequestHandler):
    extensions_map = TYPES

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def list_directory(self, path: Any) -> None:  # type: ignore[override]
        self.send_error(404)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def open_server(folder: Path, port: int) -> http.server.ThreadingHTTPServer:
    """Returns a server of the folder on 127.0.0.1, which does not serve yet.

    Args:
      folder: folder that `build_page` wrote.
      port: port; 0 for any that is free.

    Raises:
      InputError: the folder is no page, or the port is in use.
    """
    require(is_page(folder), "out", str(folder), "a folder that `python -m jaxgen web` has made")
    require(0 <= port < 65536, "port", port, "0 to 65535")
    try:
        return http.server.ThreadingHTTPServer(("127.0.0.1", port), functools.partial(_Handler, directory=str(folder)))
    except OSError as error:
        reject("port", port, f"one that is free ({error.strerror})")


def serve(server: http.server.ThreadingHTTPServer) -> None:
    """Serves until Ctrl-C or SIGTERM; prints the address."""
    with server, contextlib.suppress(KeyboardInterrupt):
        print(f"http://127.0.0.1:{server.server_port}/ (Ctrl-C ends)", flush=True)
        server.serve_forever()
