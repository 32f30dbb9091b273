"""The implementation of `python -m jaxgen web`."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from jaxgen.errors import InputError, require
from jaxgen.web.build import build_page, require_free
from jaxgen.web.models import is_bundle, open_model
from jaxgen.web.serve import open_server, serve
from jaxgen.web.vendor import runtime_files


def require_tools(runs: Sequence[str], ort: Path | None) -> None:
    """Raises `InputError`, before any slow work, if what the page is made with is not installed.

    Args:
      runs: runs or bundles; runs are exported, for which onnx is needed.
      ort: see `runtime_files`; onnxruntime-web is fetched here, and kept.
    """
    needed = () if all(map(is_bundle, runs)) else ("onnx", "onnxruntime")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"web: needs {' and '.join(missing)}; accepted: pip install 'jaxgen[onnx]'")
    if runs:
        runtime_files(ort)


def make_page(runs: Sequence[str], out: Path, serving: bool, port: int, ort: Path | None, force: bool) -> None:
    """Builds the page, serves it, or both; prints its folder and size.

    Args:
      runs: runs or bundles, see `open_model`; may be empty only with `serving`.
      out: folder of the page.
      serving: whether to serve the page on 127.0.0.1 until Ctrl-C.
      port: port of the server.
      ort: see `runtime_files`.
      force: replace an earlier page.

    Raises:
      InputError: an argument is not accepted; `out` is then unchanged.
    """
    if runs:
        require_free(out, force)  # before the slow work
        models = [open_model(run) for run in runs]
        build_page(models, out, ort, force)
        size = sum(path.stat().st_size for path in out.rglob("*"))
        print(f"{out}: a page of {len(models)} model{'s' * (len(models) > 1)}, {size / 1e6:.1f} MB", flush=True)
    else:
        require(serving, "runs", [], "runs, names of weights or bundles; none only with --serve")
    if serving:
        serve(open_server(out, port))
