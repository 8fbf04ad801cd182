"""The plan of the house: what lies in which room, and that the rooms of options hold what conf/ names."""

import ast
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from siamese_lab.config.groups import option_file, option_names

PACKAGE = Path(__file__).parents[1] / "siamese_lab"
MOST_FILES = 20
OUTSIDE = {"__init__.py", "__main__.py", "cli.py", "train.py"}
OPTIONS = {
    "augment": "augment",
    "backbones": "backbone",
    "callbacks": "callback",
    "datasets": "data",
    "distances": "distance",
    "losses": "loss",
    "memory": "memory",
    "miners": "miner",
    "protocols": "protocol",
    "sampling": "sampling",
    "sweep/launchers": "launcher",
}
"""The rooms that hold one public file an option, and their config groups."""

SEVERAL = {"given_trials": {"omniglot_runs"}}
"""Files that serve options of other names: `given_trials` evaluates whatever trials a data set brings, and each yaml of
it names the trials of one data set. Every other file has the name of its option.
"""

ROOMS = sorted(path.parent for path in PACKAGE.rglob("__init__.py"))


def room_name(room: Path) -> str:
    return room.relative_to(PACKAGE).as_posix()


def files(room: Path) -> set[str]:
    return {path.name for path in room.glob("*.py")} - {"__init__.py"}


def targets(group: str) -> dict[str, str]:
    """The target of each option of a group; where an option wraps its section in its name, the one inside."""
    found = {}
    for option in option_names(group):
        section = OmegaConf.load(option_file(group, option))
        section = section if "_target_" in section else section[option]
        found[option] = str(section._target_)
    return found


@pytest.mark.parametrize("room", OPTIONS)
def test_a_room_of_options_holds_what_its_group_names(room: str) -> None:
    public = {name.removesuffix(".py") for name in files(PACKAGE / room) if not name.startswith("_")}
    assert public == {next((file for file, named in SEVERAL.items() if option in named), option)
                      for option in option_names(OPTIONS[room])}  # fmt: skip


@pytest.mark.parametrize("room", OPTIONS)
def test_an_option_is_built_from_the_file_of_its_name(room: str) -> None:
    home = f"siamese_lab.{room.replace('/', '.')}"
    for option, target in targets(OPTIONS[room]).items():
        module, _, _ = target.rpartition(".")
        file = next((file for file, named in SEVERAL.items() if option in named), option)
        assert module == f"{home}.{file}", f"{OPTIONS[room]}={option} is built from {target}"


def test_every_group_has_a_room_or_is_built_elsewhere() -> None:
    # torch has the optimizers, the options of search are samplers of one class, an experiment is no object
    elsewhere = {"optimizer", "search", "experiment"}
    groups = {path.name for path in (PACKAGE.parent / "conf").iterdir() if path.is_dir()} - {"studies"}
    assert groups == {*OPTIONS.values(), *elsewhere}
    assert not any(target.startswith("siamese_lab.") for target in targets("optimizer").values())


@pytest.mark.parametrize("room", ROOMS, ids=room_name)
def test_a_room_says_in_one_line_what_it_is_for_and_imports_nothing(room: Path) -> None:
    body = ast.parse((room / "__init__.py").read_text(encoding="utf-8")).body
    assert len(body) == 1
    assert isinstance(body[0], ast.Expr)
    assert isinstance(body[0].value, ast.Constant)
    words = str(body[0].value.value)
    assert words.endswith(".")
    assert "\n" not in words


@pytest.mark.parametrize("room", ROOMS, ids=room_name)
def test_only_rooms_of_options_hold_many_files(room: Path) -> None:
    if room_name(room) not in OPTIONS:
        assert len(files(room)) <= MOST_FILES


def test_every_file_lies_in_a_room() -> None:
    assert {path.name for path in PACKAGE.glob("*.py")} == OUTSIDE
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert folders == set(ROOMS)


def test_each_room_of_the_tests_is_one_of_the_package() -> None:
    root = Path(__file__).parent
    rooms = {path.parent.relative_to(root).as_posix() for path in root.rglob("test_*.py")}
    assert rooms - {".", "security"} <= {room_name(room) for room in ROOMS}
