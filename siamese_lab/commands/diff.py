"""`siamese-lab diff`: the keys in which two runs differ."""

from collections.abc import Collection, Mapping
from contextlib import suppress

from rich.console import Console
from rich.table import Table
from rich.text import Text

from siamese_lab.compare.selection import configs
from siamese_lab.config.named_targets import watchers
from siamese_lab.config.schema import LEFT_OUT
from siamese_lab.core.errors import LabError
from siamese_lab.core.text import printable
from siamese_lab.runs.find import find_run
from siamese_lab.runs.folder import RunFolder
from siamese_lab.runs.metrics_file import read_metrics

ABSENT = "-"


def command(left: str, right: str) -> int:
    """Prints the keys of the two resolved configs that differ, and what else made the runs other ones.

    Args:
        left, right: folders of runs, or beginnings of run ids.

    Raises:
        LabError: if there is no such run, or its files are not whole.
    """
    one, two = find_run(left), find_run(right)
    console = Console(highlight=False, soft_wrap=True)
    if one.path.resolve() == two.path.resolve():
        console.print(Text(f"no difference: both are the run {one.path}"))
        return 0
    left_facts, right_facts = facts(one), facts(two)
    unidentified = {*LEFT_OUT, *watchers(left_facts), *watchers(right_facts)}
    if not (rows := differences(left_facts, right_facts)):
        console.print(Text(f"no difference between {one.path} and {two.path}"))
        return 0
    console.print(
        _table(rows, f"{one.study}/{one.short_id}", f"{two.study}/{two.short_id}", unidentified), soft_wrap=False
    )
    if any(_left_out(key, unidentified) for key, _, _ in rows):
        console.print("(*) decides nothing that the run computes: its id does not depend on it")
    return 0


def facts(folder: RunFolder) -> dict[str, str]:
    """All that may tell a run from another: its config by dotted keys, the code, the data, versions, and decisions.

    Options are named by their group alone (`loss`), their targets are left out.

    Raises:
        LabError: if its files are not whole.
    """
    info = folder.info()
    config = configs.read_flat_config(folder.path / "config.yaml")
    named = {f"{key.removeprefix('choices.')}._target_" for key in config}  # by its option, as loss._target_ by loss
    found = {key.removeprefix("choices."): value for key, value in config.items() if key.startswith("choices.")}
    found |= {key: text for key, text in config.items() if not key.startswith("choices.") and key not in named}
    found["code"] = printable(info.get("code", "unknown"))
    found["data fingerprint"] = "not known yet"
    with suppress(LabError):
        found["data fingerprint"] = printable(read_metrics(folder.path)["data"]["fingerprint"])
    found |= {printable(f"version of {name}"): printable(value) for name, value in info["versions"].items()}
    found |= {printable(f"decided {name}"): printable(value) for name, value in info["decided"].items()}
    return found | {"state": folder.state()}


def differences(one: Mapping[str, str], two: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Key, left and right value of all that differs, in the order of the files."""
    keys = dict.fromkeys([*one, *two])
    return [(key, one.get(key, ABSENT), two.get(key, ABSENT)) for key in keys if one.get(key) != two.get(key)]


def _left_out(key: str, unidentified: Collection[str]) -> bool:
    """Whether the run id does not depend on a key of a config."""
    return any(key == out or key.startswith(f"{out}.") for out in unidentified)


def _table(rows: list[tuple[str, str, str]], left: str, right: str, unidentified: Collection[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("key", no_wrap=True)
    for heading in (left, right):
        table.add_column(Text(heading), overflow="fold")
    for key, one, two in rows:
        table.add_row(Text(f"{key} (*)" if _left_out(key, unidentified) else key), Text(one), Text(two))
    return table
