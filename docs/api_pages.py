"""A hook of mkdocs: one page of the API reference for each room, made of the docstrings."""

import ast
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOMS = (  # from top to bottom; `make lint` holds this order
    *(
        "commands",
        "callbacks",
        "sweep",
        "training",
        "audit",
        "tensorboard",
        "compare",
        "evaluation",
        "datasets",
        "model",
    ),
    *(
        "protocols",
        "sampling",
        "plots",
        "runs",
        "data",
        "losses",
        "memory",
        "miners",
        "metrics",
        "config",
        "structures",
    ),
    *("augment", "backbones", "distances", "adapters", "distributed", "statistics", "core"),
)
PACKAGE = Path(__file__).parents[1] / "siamese_lab"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds the pages to the navigation."""
    config.nav = [*(config.nav or []), {"API": [{room: f"api/{room}.md"} for room in ROOMS]}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages to the files."""
    for room in ROOMS:
        files.append(File.generated(config, f"api/{room}.md", content=page(room)))
    return files


def page(room: str) -> str:
    """The page of a room: what it is for, then each of its public modules."""
    said = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))) or ""
    parts = [f"# {room}", said]
    for path in sorted((PACKAGE / room).rglob("*.py")):
        if not path.name.startswith("_"):
            module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
            parts.append(f"::: {module}")
    return "\n\n".join(parts) + "\n"
