"""What made a run: the hash of the code, and the versions it ran with."""

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from siamese_lab.core.paths import config_dir


def code_hash() -> str:
    """12 hex digits of the package's sources and of conf/, the same in a checkout and in a wheel of it."""
    package, conf = Path(__file__).parents[1], config_dir()
    files = [("", package, path) for path in package.rglob("*.py")] + [
        ("conf/", conf, path) for path in conf.rglob("*.yaml")
    ]
    digest = hashlib.sha256()
    for name, path in sorted((prefix + path.relative_to(base).as_posix(), path) for prefix, base, path in files):
        content = path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:12]


def versions() -> dict[str, str]:
    """The versions that a run depends on."""
    found = {"python": platform.python_version()}
    for name in ("torch", "pytorch-lightning", "siamese-lab"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a checkout on the path, not installed
            found[name] = "not installed"
    return found
