"""Atomic writes, JSON with a schema version, and checked yaml."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import yaml

from siamese_lab.core.errors import LabError
from siamese_lab.core.mappings import JsonObject

SCHEMA_VERSION = 2
"""Of every JSON file in a run's or a study's folder. 2: the modules of a config lie in rooms, and weights in a twin."""

ROOM, ROOM_BYTES = ".room", 1 << 15

YAML_DEPTH = 30
YAML_NODES = 50_000  # values that a config may have once its aliases are followed; the lab's own has some 150


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file atomically: a reader finds the old content or the new one, even after a power cut."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp's files are the owner's alone
        put(Path(temporary), path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def put(temporary: Path, path: Path) -> None:
    """Renames a complete file to its place, so that a power cut does not undo it."""
    temporary.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reserve(folder: Path) -> None:
    """Reserves disk space for the final state of a run, should the disk be full by then."""
    write_bytes(folder / ROOM, b"\0" * ROOM_BYTES)


def release(folder: Path) -> None:
    """Frees the reserved space."""
    (folder / ROOM).unlink(missing_ok=True)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Context that turns an OSError, as of a full or read-only disk, into a LabError."""
    try:
        yield
    except OSError as error:
        with suppress(OSError):
            release(folder)
        words = (
            f"cannot write to {folder}: {error.strerror}: SIAMESE_LAB_OUTPUTS=/another/folder puts the outputs "
            "elsewhere"
        )
        raise LabError(words) from error


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> None:
    """Writes JSON as `write_bytes` does."""
    write_text(path, json.dumps(value, indent=2, sort_keys=False) + "\n")


def read_json(path: Path, version: int = SCHEMA_VERSION, oldest: int | None = None) -> JsonObject:
    """Reads a JSON mapping with an entry `schema`.

    Args:
        path: of the file.
        version: the schema that is written now.
        oldest: the first schema that can still be read; None = only `version`.

    Raises:
        LabError: if it is missing, broken, or written by a version of siamese-lab with another schema.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LabError(f"{path} is missing: {path.parent} is no run folder, or its run never began") from error
    except OSError as error:
        raise LabError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise LabError(
            f"{path} is broken ({error}): it was not written by siamese-lab, or the disk lost a part of it"
        ) from error
    if not isinstance(value, dict):
        raise LabError(f"{path} must hold a mapping, got {type(value).__name__}")
    schema = value.get("schema")
    if type(schema) is not int or schema < 1:
        raise LabError(f"{path} has schema {schema!r}, needed is a whole number: it was not written by siamese-lab")
    if schema > version:
        raise LabError(f"{path} has schema {schema}, this version of siamese-lab reads {version}: update siamese-lab")
    if schema < (version if oldest is None else oldest):
        raise LabError(
            f"{path} was written by an earlier version of siamese-lab (schema {schema}, this one reads {version}): "
            "read it with that version, or train anew: --force for a run, study=NAME for a study"
        )
    return value


def check_yaml(path: Path) -> str:
    """Reads a yaml file and checks that parsing it neither fails nor runs out of time or memory.

    Returns:
        Its text.

    Raises:
        LabError: if it cannot be read, is no yaml, not UTF-8, refers to itself, or has aliases that unfold to too much.
    """
    try:
        text = path.read_text(encoding="utf-8")
        grown = _count_nodes(yaml.compose(text, Loader=yaml.SafeLoader), {})
    except OSError as error:
        raise LabError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise LabError(f"{path} is no yaml: {' '.join(str(error).split())[:300]}") from error
    except RecursionError as error:
        raise LabError(f"{path} is no config: it is nested too deeply, or refers to itself") from error
    if grown > YAML_NODES:
        raise LabError(
            f"{path} is no config: its aliases unfold to {grown:.0e} values, more than {YAML_NODES:,}: write them out"
        )
    return text


def _count_nodes(node: yaml.Node | None, known: dict[int, int], depth: int = 0) -> int:
    """How many values a yaml node has with every alias followed; each anchor is visited once."""
    if node is None:
        return 0
    if depth > YAML_DEPTH:
        raise RecursionError
    if id(node) not in known:
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        inner = 0 if isinstance(node, yaml.ScalarNode) else sum(_count_nodes(part, known, depth + 1) for part in parts)
        known[id(node)] = 1 + inner
    return known[id(node)]
