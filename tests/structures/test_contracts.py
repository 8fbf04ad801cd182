"""Every option of conf/ is what its contract asks, as mypy sees it; a new option is covered by its yaml."""

import inspect
from pathlib import Path

import pytest
from mypy import api
from omegaconf import OmegaConf

from siamese_lab.config.groups import option_file, option_names
from siamese_lab.config.targets import resolve_target

ROOT = Path(__file__).parents[2]
CONTRACTS = {
    "augment": "Augmentation",
    "backbone": "Backbone",
    "data": "Dataset",
    "distance": "Distance",
    "loss": "Loss",
    "memory": "Memory",
    "miner": "Miner",
    "protocol": "EvaluationProtocol",
    "sampling": "Sampling",
}
IMPORTS = """import torch
from torch import Tensor
from siamese_lab.structures import contracts
from siamese_lab.structures.embedded import Embedded
from siamese_lab.structures.tuples import Tuples
"""
WRONG = '''
class SilentLoss(torch.nn.Module):
    """States nothing."""
    def forward(self, e: Embedded, tuples: Tuples = None) -> tuple[Tensor, dict[str, Tensor]]:
        return e.zero(), {}

class MisspeltLoss(SilentLoss):
    consumes: str = "pears"
    requires: tuple[contracts.Property, ...] = ()
    uses_memory: bool = True

class OtherMiner:
    produces: contracts.Produces = "pairs"
    def __call__(self, e: Embedded) -> Tensor:
        return e.z
'''
WRONG_LINES = ("silent: contracts.Loss = SilentLoss()", "misspelt: contracts.Loss = MisspeltLoss()",
               "other: contracts.Miner = OtherMiner()")  # fmt: skip


def assignments() -> dict[str, str]:
    """A line of Python for each option: an object of its class, given to a name of the contract's type."""
    lines = {}
    for group, contract in CONTRACTS.items():
        for option in option_names(group):
            section = OmegaConf.load(option_file(group, option))
            section = section if "_target_" in section else section[option]
            target = resolve_target(section._target_)
            assert inspect.isclass(target), f"{group}={option}"
            lines[f"{group}={option}"] = (
                f"def {group}_{option}(one: {target.__module__}.{target.__qualname__}) -> contracts.{contract}: "
                "return one"
            )
    return lines


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What mypy says of each option, and of three classes that break their contract."""
    lines = assignments() | {line: line for line in WRONG_LINES}
    modules = {
        line.split("one: ")[1].rpartition(") ->")[0].rpartition(".")[0] for line in lines.values() if "one: " in line
    }
    head = IMPORTS + "".join(f"import {module}\n" for module in sorted(modules)) + WRONG
    file = tmp_path_factory.mktemp("contracts") / "options_and_contracts.py"
    file.write_text(head + "\n".join(lines.values()) + "\n", encoding="utf-8")
    # with the options of `make lint`, so that both use one cache
    out, err, _ = api.run(
        [str(file), "--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
    )
    assert not err
    at = {head.count("\n") + 1 + number: name for number, name in enumerate(lines)}
    found: dict[str, list[str]] = {name: [] for name in lines}
    for line in out.splitlines():
        place, _, words = line.partition(": ")
        name, _, number = place.rpartition(":")
        if name.endswith(file.name):
            found[at[int(number)]].append(words)
    assert "checked 1 source file" in out
    return found


def test_every_option_keeps_its_contract(complaints: dict[str, list[str]]) -> None:
    broken = {name: words for name, words in complaints.items() if "=" in name and name not in WRONG_LINES and words}
    assert not broken


@pytest.mark.parametrize(
    ("line", "word"),
    [(WRONG_LINES[0], "consumes"), (WRONG_LINES[1], "consumes"), (WRONG_LINES[2], "Callable")],
)
def test_what_breaks_its_contract_is_found(complaints: dict[str, list[str]], line: str, word: str) -> None:
    assert "Incompatible types in assignment" in complaints[line][0]
    assert any(word in words or "__call__" in words for words in complaints[line])
