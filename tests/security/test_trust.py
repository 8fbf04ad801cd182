"""A run whose parts lie in a package of the user's: trained, then used again once the user allows that package."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from PIL import Image

from siamese_lab.config.targets import resolve_target
from siamese_lab.config.trust import EVERYTHING, LAB_ONLY, Trust, allowed_packages, needed_packages
from siamese_lab.core.errors import LabError
from tests.security._user import command

PACKAGE = {
    "__init__.py": "import os\nfrom mylab.losses import Plain\n",
    "losses.py": '''
from torch import nn

from siamese_lab.structures.tuples import as_pairs


class Plain(nn.Module):
    """Squared distance of same pairs, a squared hinge on the others."""

    consumes = "pairs"
    requires = ()
    uses_memory = True

    def __init__(self, margin: float = 1.0) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, e, tuples=None):
        left, right, same = as_pairs(e, tuples)[:3]
        d = e.at(left, right)
        cost = d.square().where(same, (self.margin - d).clamp(min=0).square()).mean()
        return e.zero() + cost, {"active": same.count_nonzero(), "tuples": same.count_nonzero()}


def function(path: str) -> None:
    open(path, "w").close()


INSTANCE = Plain()
''',
    "nets.py": '''
from math import prod

from torch import nn


class Tiny(nn.Sequential):
    """One linear layer."""

    def __init__(self, *, shape: tuple[int, ...], dim: int = 8) -> None:
        super().__init__(nn.Flatten(), nn.Linear(prod(shape), dim))
        self.dim, self.normalise = dim, False
''',
    "letters.py": '''
from siamese_lab.datasets.glyphs import Glyphs


class Letters:
    """Greek letters train, Armenian ones validate, Georgian ones test."""

    def __init__(self, size: int = 16) -> None:
        self.inner = Glyphs(size, 8, 1.0, ["GREEK", "COPTIC"], ["ARMENIAN"], ["GEORGIAN"])
        self.fit = self.inner.fit

    def load(self):
        return self.inner.load()
''',
    "parts.py": """
import torch

from siamese_lab.augment.affine import Affine
from siamese_lab.callbacks.doctor import Doctor
from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.miners.batch_hard import BatchHard
from siamese_lab.protocols.verification import Verification
from siamese_lab.sampling.pk import PK


class Moves(Affine): pass
class Diagnosis(Doctor): pass
class Straight(Euclidean): pass
class Hardest(BatchHard): pass
class Pairs(Verification): pass
class Classes(PK): pass
class Steps(torch.optim.AdamW): pass
""",
}
OPTIONS = {
    "loss/plain.yaml": "_target_: mylab.Plain\nmargin: 1.0\n",
    "backbone/tiny.yaml": "_target_: mylab.nets.Tiny\ndim: 8\n",
    "data/letters.yaml": "_target_: mylab.letters.Letters\nsize: 16\n",
}
CHOSEN = ("loss=plain", "backbone=tiny", "data=letters", "protocol=[verification]", "protocol.verification.grid=64")
QUICK = ("sampling.batch_size=32", "sampling.steps=2", "trainer.max_epochs=1", "trainer.progress=false")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with the package `mylab`, on Python's path of this process and of those that it starts."""
    folder = tmp_path_factory.mktemp("home")
    for name, text in PACKAGE.items():
        (folder / "mylab").mkdir(exist_ok=True)
        (folder / "mylab" / name).write_text(text)
    for name, text in OPTIONS.items():
        (folder / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "conf" / name).write_text(text)
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(str(folder))
    patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])))
    yield folder
    patch.undo()


@pytest.fixture(scope="module")
def trained(home):
    """The outputs of a sweep of two runs of it, and of a plain run."""
    patch = pytest.MonkeyPatch()
    patch.setenv("SIAMESE_LAB_OUTPUTS", str(home / "outputs"))
    words = ["--config-dir", str(home / "conf"), *CHOSEN, *QUICK]
    for said in (command("train", "-m", *words, "seed=1,2", "study=mine"), command("train", *words)):
        assert said.code == 0, said
    yield home / "outputs"
    patch.undo()


@pytest.fixture
def copied(trained, tmp_path, monkeypatch):
    """A copy of these outputs."""
    monkeypatch.setenv("SIAMESE_LAB_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.delenv("SIAMESE_LAB_TRUST", raising=False)
    return Path(shutil.copytree(trained, tmp_path / "outputs"))


@pytest.fixture
def single(copied):
    (found,) = (file.parent for file in (copied / "single").glob("*/run.json"))
    return found


def words_of(verb: str, outputs: Path, run: Path) -> list[str]:
    """The words of a verb that builds from the files of a run, after what it needs has been arranged."""
    if verb == "verify":
        Image.new("L", (16, 16)).save(outputs / "a.png")
        return ["verify", str(run), str(outputs / "a.png"), str(outputs / "a.png")]
    if verb == "compare":
        return ["compare", "mine", "--open-test"]
    if verb == "rerun of a study":
        (job,) = list((outputs / "mine" / "jobs").glob("*.yaml"))[:1]
        shutil.rmtree(outputs / "mine" / job.stem)
        return ["rerun", "mine"]
    if verb == "resume":
        info = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps(info | {"state": "preempted"}))
        (run / "metrics.json").unlink()
    return [verb, str(run)]


VERBS = ["evaluate", "verify", "resume", "compare", "rerun", "rerun of a study"]


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_refuses_the_package_until_it_is_allowed(copied, single, monkeypatch, verb):
    words = words_of(verb, copied, single)
    said = command(*words)
    assert said.code == 2, said
    assert "is refused" in said.err
    assert "allow it with --trust mylab, or for good with SIAMESE_LAB_TRUST=mylab" in said.err
    assert "Traceback" not in said.err
    assert not (copied / "mine" / "openings.json").exists()
    said = command(*words, "--trust", "other")
    assert said.code == 2
    said = command(*words, "--trust", "mylab")
    assert said.code == 0, said
    if verb == "compare":
        assert len(json.loads((copied / "mine" / "openings.json").read_text())["openings"]) == 1


@pytest.mark.parametrize("setting", ["mylab", " other , mylab "])
def test_the_setting_lasts(copied, single, monkeypatch, setting):
    monkeypatch.setenv("SIAMESE_LAB_TRUST", setting)
    assert command(*words_of("verify", copied, single)).code == 0


def in_package(run: Path, *parts: str, views: int = 1) -> None:
    """Lets a run of the lab's own parts have these parts from mylab."""
    cfg = OmegaConf.load(run / "config.yaml")
    for key in parts:
        OmegaConf.update(cfg, f"{key}._target_", OWN[key])
    cfg.evaluation.views = views
    OmegaConf.save(cfg, run / "config.yaml")


OWN = {
    "loss": "mylab.losses.Plain",
    "miner": "mylab.parts.Hardest",
    "sampling": "mylab.parts.Classes",
    "optimizer": "mylab.parts.Steps",
    "augment": "mylab.parts.Moves",
    "backbone": "mylab.nets.Tiny",
    "distance": "mylab.parts.Straight",
    "data": "mylab.letters.Letters",
    "protocol.verification": "mylab.parts.Pairs",
}
UNUSED = [["loss"], ["miner"], ["sampling"], ["optimizer"], ["loss", "miner", "sampling", "optimizer", "augment"]]


@pytest.fixture
def victim(done, home, tmp_path, monkeypatch):
    """A copy of a run of the lab's own parts, in a process that has not imported mylab."""
    monkeypatch.setenv("SIAMESE_LAB_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.delenv("SIAMESE_LAB_TRUST", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == "mylab"]:
        monkeypatch.delitem(sys.modules, name)
    return Path(shutil.copytree(done[0].path, tmp_path / "outputs" / "single" / done[0].run_id))


@pytest.mark.parametrize("verb", ["evaluate", "verify"])
@pytest.mark.parametrize("parts", UNUSED, ids="+".join)
def test_what_is_not_built_needs_no_trust(victim, verb, parts):
    in_package(victim, *parts)
    said = command(*words_of(verb, victim.parents[1], victim))
    assert said.code == 0, said
    assert "mylab" not in sys.modules


@pytest.mark.parametrize("parts", UNUSED, ids="+".join)
def test_resume_needs_it(victim, parts):
    in_package(victim, *parts)
    said = command(*words_of("resume", victim.parents[1], victim))
    assert said.code == 2, said
    assert "allow it with --trust mylab" in said.err
    assert "mylab" not in sys.modules


@pytest.mark.parametrize(
    ("verb", "part", "views"),
    [
        *((verb, part, 1) for verb in ("evaluate", "verify") for part in ("backbone", "distance", "data")),
        *((verb, "augment", 3) for verb in ("evaluate", "verify")),
        ("evaluate", "protocol.verification", 1),
    ],
)
def test_what_is_built_needs_trust(victim, verb, part, views):
    in_package(victim, part, views=views)
    words = words_of(verb, victim.parents[1], victim)
    said = command(*words)
    assert said.code == 2, said
    assert "allow it with --trust mylab" in said.err
    assert "mylab" not in sys.modules
    if part in ("distance", "augment", "protocol.verification"):  # the others do not fit the weights or the config
        assert command(*words, "--trust", "mylab").code == 0


def test_verify_builds_no_protocol(victim):
    in_package(victim, "protocol.verification")
    assert command(*words_of("verify", victim.parents[1], victim)).code == 0
    assert "mylab" not in sys.modules


def test_what_other_data_and_protocols_replace_needs_no_trust(victim):
    in_package(victim, "data", "protocol.verification")
    words = ["evaluate", str(victim), "--data", "data=glyphs", "data.size=16", "--protocol", "retrieval"]
    assert command(*words).code == 0
    assert "mylab" not in sys.modules


def test_a_run_records_which_packages_it_needs(trained):
    files = list(trained.glob("*/*/run.json"))
    assert len(files) == 3
    for file in files:
        assert json.loads(file.read_text())["packages"] == ["mylab"]


def test_the_test_part_stays_sealed_where_the_data_are_gone(copied):
    """An opening that does not take place is not logged."""
    for config in (copied / "mine").glob("*/config.yaml"):
        config.write_text(config.read_text().replace("size: 16", "size: 20"))
    said = command("compare", "mine", "--open-test", "--trust", "mylab", "--force")
    assert said.code == 2, said
    assert not (copied / "mine" / "openings.json").exists()


def test_own_data_are_evaluated_with_other_values(home, copied, single):
    """The run's own data set, with the keys that are given; its option need not be there."""
    refused = command("evaluate", str(single), "--data", "data.size=16")
    assert refused.code == 2
    assert "allow it with --trust mylab" in refused.err
    said = command("evaluate", str(single), "--data", "data.size=16", "--trust", "mylab")
    assert said.code == 0, said
    assert command("evaluate", str(single), "--trust", "mylab").out.splitlines()[-1] in said.out
    said = command("evaluate", str(single), "--data", "data.size=24", "--trust", "mylab")
    assert said.code == 2
    assert "these are [1, 24, 24]" in said.err
    said = command("evaluate", str(single), "--data", "data.sice=24", "--trust", "mylab")
    assert said.code == 2
    assert "no key data.sice" in said.err
    assert "size" in said.err.partition("data.sice")[2]


def test_own_options_are_evaluated_by_config_dir(home, done, single):
    words = ["evaluate", str(done[0].path), "--data", "data=letters"]
    assert "letters" in command(*words).err
    said = command(*words, "--config-dir", str(home / "conf"))
    assert said.code == 0, said
    assert "verification/eer" in said.out


def changed(run, **loss):
    cfg = OmegaConf.load(run / "config.yaml")
    cfg.loss = loss
    OmegaConf.save(cfg, run / "config.yaml")


@pytest.mark.parametrize(
    "target", ["evil.Thing", "mylab_evil.Thing", "os.mkdir", "mylab.os.mkdir", "mylab.os.system", "mylab", "mylab."]
)
def test_another_package_is_still_refused(copied, single, home, tmp_path, monkeypatch, target):
    mark = tmp_path / "mark"
    for name in ("evil", "mylab_evil"):
        (tmp_path / f"{name}.py").write_text(f"open({str(mark)!r}, 'w').close()\nclass Thing: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    words_of("resume", copied, single)
    changed(single, _target_=target, path=str(mark))
    said = command("resume", str(single), "--trust", "mylab")
    assert said.code == 2, said
    assert "loss" in said.err
    assert "Traceback" not in said.err
    assert not mark.exists()


@pytest.mark.parametrize(
    "target",
    [
        "mylab.os.system",
        "mylab.losses.nn.Linear",
        "mylab.losses.as_pairs",
        "mylab.losses.INSTANCE",
        "mylab.losses.INSTANCE.forward",
        "mylab.losses.Plain.__init__.__globals__.get",
        "mylab.losses.Plain.__subclasses__",
        "mylab.letters.Glyphs",
        "mylab.__loader__.load_module",
    ],
)
def test_what_an_allowed_package_only_imports_is_not_allowed(home, target):
    with pytest.raises(LabError, match=r"is refused|names nothing"):
        resolve_target(target, Trust(("mylab",)))


def test_what_it_defines_is_allowed_by_any_of_its_names(home):
    trust = Trust(("mylab",))
    assert resolve_target("mylab.Plain", trust) is resolve_target("mylab.losses.Plain", trust)
    assert resolve_target("mylab.losses.function", trust).__name__ == "function"
    with pytest.raises(LabError, match="is refused"):
        resolve_target("mylab.losses.Plain", LAB_ONLY)
    with pytest.raises(LabError, match="is refused"):
        resolve_target("mylab.losses.Plain", Trust(("my", "mylab_losses")))


def test_a_module_that_is_not_there_is_named(home):
    for trust in (EVERYTHING, Trust(("nolab",))):
        with pytest.raises(LabError, match=r"there is no module nolab on Python's path"):
            resolve_target("nolab.Thing", trust)
    with pytest.raises(LabError, match=r"names nothing that can be built[^;]*$"):
        resolve_target("mylab.losses", EVERYTHING)


BAD_NAMES = ["mylab.losses", "torch", "numpy", "yaml", "os", "os.path", "builtins", "a b", "3", "-x", "mylab/", "a\nb"]


@pytest.mark.parametrize("name", ["", "a\n", *BAD_NAMES], ids=ascii)
def test_the_flag_takes_only_the_name_of_a_package(name, monkeypatch):
    monkeypatch.delenv("SIAMESE_LAB_TRUST", raising=False)
    with pytest.raises(LabError, match="--trust takes"):
        allowed_packages([name])


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_so_does_the_setting(name, monkeypatch):
    monkeypatch.setenv("SIAMESE_LAB_TRUST", f"mylab,{name}")
    with pytest.raises(LabError, match="SIAMESE_LAB_TRUST takes"):
        allowed_packages()


def test_the_packages_of_flag_and_setting_add_up(monkeypatch):
    monkeypatch.setenv("SIAMESE_LAB_TRUST", "one, two,,one")
    assert allowed_packages(["three", "one"]) == Trust(("three", "one", "two"))
    monkeypatch.setenv("SIAMESE_LAB_TRUST", "")
    assert allowed_packages() == LAB_ONLY


def test_the_packages_that_a_config_needs():
    plain = {
        "loss": {"_target_": "mylab.Plain", "inner": [{"_target_": "other.deep.Thing"}]},
        "optimizer": {"_target_": "torch.optim.AdamW"},
        "distance": {"_target_": "siamese_lab.distances.euclidean.Euclidean"},
        "memory": None,
    }
    assert needed_packages(plain) == ["mylab", "other"]
