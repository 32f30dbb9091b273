"""What an editable install does to Python's search for modules."""

import subprocess
import sys
import tomllib
from pathlib import Path

import jaxgen

ROOT = Path(jaxgen.__file__).parents[1]


def test_from_above_a_checkout_the_package_is_found(tmp_path: Path) -> None:
    """An editable install of these settings writes a path, here `.pth`; a package there wins over a plain folder."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["tool"]["setuptools"]
    assert settings["package-dir"] == {"": "."}  # what makes setuptools write a path instead of a finder
    (tmp_path / "jaxgen").mkdir()
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "jaxgen.pth").write_text(f"{ROOT}\n")
    code = f"import site; site.addsitedir({str(tmp_path / 'site')!r}); import jaxgen; print(jaxgen.__file__)"
    command = [sys.executable, "-S", "-c", code]
    found = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True, check=True).stdout
    assert Path(found.strip()) == ROOT / "jaxgen" / "__init__.py"
