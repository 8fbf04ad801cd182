"""The hash of the code and the versions of the libraries, which a run records."""

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from siamese_lab.core.paths import config_dir


def code_hash() -> str:
    """12 hex digits of the package's sources and of conf/, the same in a checkout and in a wheel of it."""
    package, conf = Path(__file__).parents[1], config_dir()
    files = {path.relative_to(package).as_posix(): path for path in package.rglob("*.py")}
    files |= {f"conf/{path.relative_to(conf).as_posix()}": path for path in conf.rglob("*.yaml")}
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        content = path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:12]


def versions() -> dict[str, str]:
    """The versions of Python, torch, Lightning and siamese-lab."""
    found = {"python": platform.python_version()}
    for name in ("torch", "pytorch-lightning", "siamese-lab"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a checkout on the path, not installed
            found[name] = "not installed"
    return found
