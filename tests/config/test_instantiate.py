"""Building: what the constructor says becomes a message, and a foreign config builds nothing foreign."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from siamese_lab.config.groups import group_names, option_file, option_names
from siamese_lab.config.instantiate import build, check_section
from siamese_lab.config.options import option_parameters
from siamese_lab.config.targets import resolve_target
from siamese_lab.config.trust import LAB_ONLY
from siamese_lab.core.errors import LabError
from siamese_lab.losses.supcon import SupConLoss
from siamese_lab.structures.tuples import as_pairs

LAB_OPTIONS = [(g, o) for g in group_names() for o in option_names(g) if g not in ("experiment", "trainer")]


def section(**content: Any) -> DictConfig:
    return OmegaConf.create({"loss": content, "choices": {"loss": "mine"}}).loss


def test_build_names_key_and_file() -> None:
    with pytest.raises(
        LabError, match=r"^loss\.margin: margin must be > 0, got -1\.0.* \(of conf/loss/mine\.yaml\)$"
    ) as caught:
        build(section(_target_="siamese_lab.losses.contrastive.ContrastiveLoss", margin=-1.0))
    assert caught.value.exit_code == 2
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize(
    ("message", "where"),
    [
        ("margin must be > 0", r"loss\.margin"),
        ("weights.near must be >= 0", r"loss\.weights"),
        ("these data have no margin", "loss"),  # a word of a sentence is no parameter
        ("", "loss"),
    ],
)
def test_the_key_is_the_parameter_that_the_message_begins_with(message: str, where: str) -> None:
    with pytest.raises(LabError, match=f"^{where}: {message} "):
        build(section(_target_=f"{__name__}.Refuses", margin=1, weights={"near": 2}, message=message))


class Refuses:
    """Refuses whatever it is given."""

    def __init__(self, margin: int, weights: dict[str, int], message: str) -> None:
        raise ValueError(message)


def test_build_refuses_a_range_in_a_nested_section() -> None:
    inner = {"_target_": "torch.nn.Dropout", "p": -1.0, "inplace": False}
    with pytest.raises(LabError, match=r"^loss\.initlist\[0\]: dropout probability"):
        build(section(_target_="collections.UserList", initlist=[inner]))


def test_build_recurses_and_gives_plain_python() -> None:
    relu = {"_target_": "torch.nn.ReLU", "inplace": False}
    made = build(section(_target_="collections.UserList", initlist=[relu, [1, {"a": 2}]]))
    assert isinstance(made[0], nn.ReLU)
    assert type(made[1]) is list
    assert type(made[1][1]) is dict


def test_build_gives_only_what_the_signature_names() -> None:
    parameters = [nn.Parameter(torch.zeros(1))]
    node = OmegaConf.create(
        {
            "optimizer": {
                "_target_": "torch.optim.SGD",
                "lr": 0.5,
                "groups": [],
                "schedule": {"name": "cosine", "warmup": 0.0},
            }
        }
    ).optimizer
    made = build(node, params=parameters, dim=64, lr=3.0)
    assert made.param_groups[0]["lr"] == 0.5  # the section's own word
    with pytest.raises(LabError, match=r"optimizer\.params is missing: SGD needs it"):
        build(node)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"_target_": "siamese_lab.distances.euclidean.Euclidian"}, "has no Euclidian: did you mean Euclidean?"),
        ({"_target_": "siamese_lab.distances.euclidian.Euclidean"}, "euclidian"),
        ({"_target_": "no_such_package.Thing"}, "names nothing that can be built"),
        ({"_target_": "torch"}, "names nothing that can be built"),
        ({"_target_": 3}, "names nothing that can be built"),
        ({"_target_": "torch.pi"}, "names nothing that can be built"),
        ({"_target_": "torch.nn.Dropout", "q": 1}, "no key loss.q"),
        ({"p": 1}, "_target_"),
    ],
)
def test_build_refuses_what_does_not_bind(content: dict[str, Any], message: str) -> None:
    with pytest.raises(LabError, match=message.replace("?", r"\?").replace(".", r"\.")):
        build(section(**content))


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "subprocess.Popen",
        "torch.load",
        "numpy.load",
        "builtins.eval",
        "torch.nn.Linear",
        "torch.optim.lr_scheduler.LambdaLR",
        "torch.optim.adamw.torch.load",
        "torch.optim.Adam.__init__.__globals__.get",
        "siamese_lab.runs.folder.os.system",
        "siamese_lab.runs.folder.shutil.rmtree",
        "siamese_lab.core.files.write_text",
        "siamese_lab.structures.tuples.torch.load",
        "siamese_lab.structures.samples.Samples.gather",
        "siamese_lab.losses.contrastive.nn.Linear",
        "siamese_lab.config.instantiate.resolve_target",
        "siamese_lab.model.siamese.Embedded",  # an alias, even of our own class
    ],
)
def test_a_foreign_config_builds_nothing_foreign(target: str) -> None:
    with pytest.raises(LabError, match=r"refused|has no|names nothing"):
        resolve_target(target, trust=LAB_ONLY)
    with pytest.raises(LabError):
        build(section(_target_=target), trust=LAB_ONLY)


def test_a_foreign_config_is_refused_before_its_module_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil_module.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nclass Thing: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    nested = {"_target_": "collections.UserList", "initlist": [{"_target_": "evil_module.Thing"}]}
    for content in ({"_target_": "evil_module.Thing"}, nested):
        with pytest.raises(LabError, match="is refused"):
            build(section(**content), trust=LAB_ONLY)
    assert not (tmp_path / "ran").exists()
    assert build(section(_target_="evil_module.Thing")) is not None  # the user's own word is trusted
    assert (tmp_path / "ran").exists()


def test_a_foreign_config_builds_ours() -> None:
    assert isinstance(
        build(section(_target_="siamese_lab.losses.supcon.SupConLoss", temperature=0.1, sum="out"), trust=LAB_ONLY),
        SupConLoss,
    )
    with pytest.raises(LabError, match="is refused: it is no loss"):
        build(section(_target_="siamese_lab.distances.euclidean.Euclidean"), trust=LAB_ONLY)
    assert resolve_target("torch.optim.AdamW", trust=LAB_ONLY) is torch.optim.AdamW
    assert resolve_target("siamese_lab.structures.tuples.as_pairs") is as_pairs


@pytest.mark.parametrize(("group", "name"), LAB_OPTIONS, ids=[f"{g}={o}" for g, o in LAB_OPTIONS])
def test_every_option_binds_and_lists_every_parameter(group: str, name: str) -> None:
    content = OmegaConf.to_container(OmegaConf.load(option_file(group, name)))
    misfits: list[str] = []
    content = {k: v for k, v in content.items() if k != "defaults"}
    check_section(content, group, misfits)
    check_section(content, group, misfits, trust=LAB_ONLY)
    assert misfits == []
    content = content if "_target_" in content else content[name]  # a protocol sits under its own name
    # a run folder of it can be evaluated
    target: Callable[..., Any] = resolve_target(content["_target_"], trust=LAB_ONLY)
    assert inspect.getdoc(target)
    assert all(p.note for p in option_parameters(option_file(group, name)) if group != "optimizer")
