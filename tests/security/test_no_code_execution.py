"""No file runs code: the package holds nothing that unpickles or evaluates, and no file that came from elsewhere gets
it to.

First the syntax trees of everything that is ours; then a payload for each known way, in a checkpoint, a run's config, a
cache or a run's JSON, each given to a real command.
"""

import ast
import io
import json
import os
import pickle
import re
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from siamese_lab.config import compose
from siamese_lab.config.identity import resolved_hash
from siamese_lab.config.trust import LAB_ONLY
from tests.conftest import ROOT, SMALL
from tests.security._user import command, composed_once

# ---- syntax trees

UNPICKLE = {
    "pickle",
    "_pickle",
    "cPickle",
    "pickle5",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "jsonpickle",
    "runpy",
    "code",
    "pdb",
}
EVALUATE = {"eval", "exec", "compile", "__import__"}
CALLS = {  # by their full names; what they do
    "torch.jit.load": "runs the code of an archive",
    "torch.serialization.load": "unpickles",
    "torch.package.PackageImporter": "runs the code of an archive",
    "numpy.loads": "unpickles",
    "numpy.lib.format.read_array": "may unpickle",
    "pandas.read_pickle": "unpickles",
    "pandas.eval": "evaluates",
    "yaml.unsafe_load": "builds any object",
    "yaml.unsafe_load_all": "builds any object",
    "yaml.full_load": "builds many objects",
    "yaml.full_load_all": "builds many objects",
    "os.system": "runs a shell",
    "os.popen": "runs a shell",
    "subprocess.getoutput": "runs a shell",
    "subprocess.getstatusoutput": "runs a shell",
    "hydra.utils.instantiate": "builds any object: binding.build is the one that builds",
    "hydra.utils.call": "calls anything",
    "hydra.utils.get_object": "imports anything",
    "hydra.utils.get_method": "imports anything",
    "shutil.unpack_archive": "writes wherever an archive says",
}
METHODS = {
    "load_from_checkpoint": "builds what a checkpoint names",
    "extractall": "writes wherever an archive says",
    "read_pickle": "unpickles",
}


def offences(source):
    """What a file may not do, each as "line: reason"."""
    tree = ast.parse(source)
    names = aliases(tree)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found += [(node, f"imports {name}") for name in imported(node) if forbidden(name)]
        elif isinstance(node, ast.Attribute) and (full(node, names) or "").startswith("torch.hub"):
            found.append((node, "uses torch.hub"))
        elif isinstance(node, ast.Call):
            found += [(node, reason) for reason in of_call(node, names)]
    return [f"{node.lineno}: {reason}" for node, reason in found]


def imported(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]


def forbidden(name):
    return (
        name.split(".")[0] in UNPICKLE
        or name.startswith("torch.hub")
        or name in ("builtins.eval", "builtins.exec", "builtins.compile")
    )


def aliases(tree):
    """What each imported name stands for: np -> numpy, load -> torch.load."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def full(node, names):
    """The dotted name that an expression stands for; None if it is no name."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    base = full(node.value, names) if isinstance(node, ast.Attribute) else None
    return f"{base}.{node.attr}" if base else None


def of_call(node, names):
    name = full(node.func, names) or ""
    given = {keyword.arg: keyword.value for keyword in node.keywords}

    def says(key, value):
        return isinstance(given.get(key), ast.Constant) and given[key].value is value

    if name.removeprefix("builtins.") in EVALUATE:
        yield f"calls {name}"
    if name in CALLS:
        yield f"calls {name}, which {CALLS[name]}"
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    if method in METHODS:
        yield f"calls .{method}, which {METHODS[method]}"
    if name.startswith(("os.exec", "os.spawn", "os.posix_spawn")):
        yield f"calls {name}"
    if "allow_pickle" in given and not says("allow_pickle", False):
        yield "allow_pickle is not False"
    if name == "numpy.load" and len(node.args) > 2:
        yield "numpy.load with allow_pickle by its place"
    if "weights_only" in given and not says("weights_only", True):
        yield "weights_only is not True"
    if (name == "torch.load" or ("ckpt_path" in given and method)) and not says("weights_only", True):
        yield "reads a checkpoint without weights_only=True"
    if name in ("yaml.load", "yaml.load_all") and not (full(given.get("Loader"), names) or "").startswith(
        ("yaml.SafeLoader", "yaml.CSafe")
    ):
        yield f"{name} without SafeLoader"
    if "shell" in given and not says("shell", False):
        yield "runs a shell"
    words = [str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)]
    if name == "importlib.import_module" and any(map(forbidden, words)):
        yield f"imports {words[0]}"
    if name == "getattr" and full(node.args[0], names) == "builtins":
        yield "gets a builtin by its name"


def files():
    """Everything that is ours and runs, but the tests: they hold the payloads."""
    for folder in ("siamese_lab", "conf", "benchmarks", "docs"):
        yield from (ROOT / folder).rglob("*.py")


def cells(notebook):
    content = json.loads(notebook.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]


def test_nothing_of_ours_unpickles_or_evaluates():
    checked = {file: offences(file.read_text(encoding="utf-8")) for file in files()}
    assert len(checked) > 100
    assert {str(file): found for file, found in checked.items() if found} == {}


def test_nor_do_the_notebooks():
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert notebooks
    for notebook in notebooks:
        for cell in cells(notebook):
            assert not [line for line in cell.splitlines() if line.lstrip().startswith(("!", "%"))], cell
            assert offences(cell) == []


BAD = """
import pickle
import pickle as p
from pickle import loads
import _pickle
import cPickle
import dill
import cloudpickle
import joblib
from joblib import load
import shelve
import marshal
import runpy
import torch.hub
from torch import hub
from torch.hub import load
import torch; torch.hub.load("a", "b")
import torch as t; t.hub.load_state_dict_from_url("x")
importlib.import_module("pickle")
import importlib; importlib.import_module("pickle")
from importlib import import_module; import_module("joblib")
__import__("pickle")
eval("1")
exec("x = 1")
compile("1", "f", "eval")
import builtins; builtins.eval("1")
from builtins import exec as run; run("1")
import builtins; getattr(builtins, "eval")("1")
import numpy as np; np.load("f", allow_pickle=True)
import numpy; numpy.load("f", None, True)
from numpy import load; load("f", allow_pickle=flag)
import numpy as np; np.save("f", a, allow_pickle=True)
import torch; torch.load("f")
import torch; torch.load("f", weights_only=False)
import torch; torch.load("f", weights_only=trust)
from torch import load as read; read("f")
import torch; torch.load("f", **options)
import torch; torch.serialization.load("f")
import torch; torch.jit.load("f")
trainer.fit(model, ckpt_path="f")
trainer.fit(model, ckpt_path="f", weights_only=False)
Model.load_from_checkpoint("f")
import pandas as pd; pd.read_pickle("f")
import yaml; yaml.load(text)
import yaml; yaml.load(text, Loader=yaml.Loader)
import yaml; yaml.load(text, yaml.UnsafeLoader)
import yaml; yaml.unsafe_load(text)
from yaml import full_load; full_load(text)
import os; os.system("ls")
from os import popen; popen("ls")
import os; os.execv("ls", [])
import subprocess; subprocess.run("ls", shell=True)
from subprocess import Popen; Popen("ls", shell=flag)
import subprocess; subprocess.getoutput("ls")
import hydra; hydra.utils.instantiate(cfg)
from hydra.utils import instantiate; instantiate(cfg)
archive.extractall("folder")
import shutil; shutil.unpack_archive("f")
""".strip().splitlines()
FINE = """
import re; re.compile("x")
model.eval()
import numpy as np; np.load("f")
import numpy as np; np.load("f", allow_pickle=False)
import torch; torch.load("f", map_location="cpu", weights_only=True)
import yaml; yaml.safe_load(text)
import yaml; yaml.load(text, Loader=yaml.SafeLoader)
import subprocess; subprocess.run(["ls"])
trainer.fit(model, ckpt_path="f", weights_only=True)
import json; json.loads("1")
getattr(thing, "eval")()
"a text about pickle, eval( and torch.hub"
from importlib import import_module; import_module(name)
""".strip().splitlines()


@pytest.mark.parametrize("line", BAD)
def test_the_check_finds(line):
    assert offences(line) != []


@pytest.mark.parametrize("line", FINE)
def test_the_check_lets_pass(line):
    assert offences(line) == []


# ---- payloads


class Touches:
    """Unpickled, it makes a file: the mark that something ran."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


class Opens(Touches):
    def __reduce__(self):
        return open, (str(self.mark), "w")


class Evaluates(Touches):
    def __reduce__(self):
        return eval, (f"__import__('os').mkdir({str(self.mark)!r})",)


class Imports(Touches):
    def __reduce__(self):
        return getattr, (Path, "mkdir")


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "mark"


@pytest.fixture
def victim(done, tmp_path, monkeypatch):
    """A copy of a trained run, to be harmed."""
    folder, _ = done
    monkeypatch.setenv("SIAMESE_LAB_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.setattr(compose, "_compose", composed_once)
    return Path(shutil.copytree(folder.path, tmp_path / "outputs" / "single" / folder.run_id))


def refused(said, mark, *words):
    """Nothing ran, and one message says what is wrong."""
    assert not mark.exists()
    assert said.code == 2, said
    assert "Traceback" not in said.err
    assert said.err.count("siamese-lab: ") == 1, said.err
    for word in words:
        assert word in said.err, said.err
    assert "weights_only" not in said.err  # torch's own advice is to unpickle after all


def stopped(run):
    """The run as one that was stopped, so that `resume` reads its last checkpoint."""
    info = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(info | {"state": "preempted"}))
    (run / "metrics.json").unlink()


def saved(content, **options):
    out = io.BytesIO()
    torch.save(content, out, **options)
    return out.getvalue()


def npy(content):
    out = io.BytesIO()
    np.save(out, content, allow_pickle=True)
    return out.getvalue()


def with_member(data, name, content):
    """A checkpoint with another file in its zip."""
    out = io.BytesIO(data)
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr(name, content)
    return out.getvalue()


def with_pickle(data, content):
    """A checkpoint whose structure is another pickle, with right checksums."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for member in old.infolist():
            new.writestr(member.filename, content if member.filename.endswith("data.pkl") else old.read(member))
    return out.getvalue()


def hyper(mark):
    """What Lightning's own loading called (CVE-2026-58659)."""
    return {"_instantiator": "os.mkdir", "_class_path": "os.mkdir", "init_args": {"path": str(mark)}, "path": str(mark)}


NO_CHECKPOINT = "cannot be read as a checkpoint"
CODE = "it holds more than tensors and plain values"
CHECKPOINTS = [  # what stands in a checkpoint's place: of the whole one's content and bytes, and the mark; what is said
    ("a plain pickle", lambda whole, data, mark: pickle.dumps(Touches(mark)), NO_CHECKPOINT),
    (
        "torch's format of before 1.6",
        lambda whole, data, mark: saved(Touches(mark), _use_new_zipfile_serialization=False),
        NO_CHECKPOINT,
    ),
    ("an array of objects", lambda whole, data, mark: npy(np.array([Touches(mark)], dtype=object)), NO_CHECKPOINT),
    ("a payload alone", lambda whole, data, mark: saved(Touches(mark)), CODE),
    ("a payload among the rest", lambda whole, data, mark: saved({**whole, "extra": Touches(mark)}), CODE),
    ("a payload as a weight", lambda whole, data, mark: saved({**whole, "state_dict": {"w": Touches(mark)}}), CODE),
    ("a payload as a key", lambda whole, data, mark: saved({**whole, "loops": {(Touches(mark),): 1}}), CODE),
    ("open", lambda whole, data, mark: saved({**whole, "extra": Opens(mark)}), CODE),
    ("eval", lambda whole, data, mark: saved({**whole, "extra": Evaluates(mark)}), CODE),
    ("getattr", lambda whole, data, mark: saved({**whole, "extra": Imports(mark)}), CODE),
    ("a module", lambda whole, data, mark: saved({**whole, "extra": torch.nn.Linear(1, 1)}), CODE),
    ("a path", lambda whole, data, mark: saved({**whole, "extra": Path("x")}), CODE),
    ("another pickle in its zip", lambda whole, data, mark: with_pickle(data, pickle.dumps(Touches(mark))), CODE),
    ("a pickle cut in its zip", lambda whole, data, mark: with_pickle(data, pickle.dumps(Touches(mark))[:-5]), ""),
    (
        "torchscript",
        lambda whole, data, mark: with_member(data, "archive/constants.pkl", pickle.dumps(Touches(mark))),
        CODE,
    ),
    (
        "hyper-parameters",
        lambda whole, data, mark: saved({**whole, "hyper_parameters": hyper(mark)}),
        "hyper_parameters",
    ),
    (
        "of the data",
        lambda whole, data, mark: saved({**whole, "datamodule_hyper_parameters": hyper(mark)}),
        "hyper_parameters",
    ),
    (
        "their name",
        lambda whole, data, mark: saved({**whole, "hparams_name": "kwargs", "hparams_type": "os.mkdir"}),
        "hparams_name",
    ),
]


@pytest.fixture(scope="module")
def whole(done):
    data = (done[0].path / "checkpoints" / "last.ckpt").read_bytes()
    return torch.load(io.BytesIO(data), weights_only=True), data


@pytest.mark.parametrize(("make", "words"), [pytest.param(*case[1:], id=case[0]) for case in CHECKPOINTS])
@pytest.mark.parametrize("verb", ["evaluate", "verify", "resume"])
def test_a_checkpoint_runs_nothing(victim, whole, mark, tmp_path, verb, make, words):
    payload = make(*whole, mark)
    for name in ("best", "last", "previous"):
        (victim / "checkpoints" / f"{name}.ckpt").write_bytes(payload)
    images = []
    if verb == "resume":
        stopped(victim)
    if verb == "verify":
        from PIL import Image

        Image.new("L", (16, 16)).save(tmp_path / "a.png")
        images = [str(tmp_path / "a.png")] * 2
    refused(command(verb, str(victim), *images), mark, words, "checkpoints")


def test_the_payloads_work(mark):
    """Or the above would prove nothing: where it is asked to, each does leave its mark."""
    for payload in (Touches, Evaluates):
        pickle.loads(pickle.dumps(payload(mark)))  # noqa: S301
        mark.rmdir()
    pickle.loads(pickle.dumps(Opens(mark))).close()  # noqa: S301
    assert mark.exists()
    mark.unlink()
    torch.load(io.BytesIO(saved({"a": Touches(mark)})), weights_only=False)
    np.load(io.BytesIO(npy(np.array([Touches(mark.with_name("other"))], dtype=object))), allow_pickle=True)
    assert mark.exists()
    assert mark.with_name("other").exists()


def mkdir(target, **more):
    """A section that would make the mark if its target were called."""
    return lambda mark: {"_target_": target, "path": str(mark), "name": str(mark), **more}


ELSEWHERE = "a config that you did not write builds only"
NAMES = """
os.mkdir os.system os.posix_spawn posix.mkdir nt.mkdir subprocess.run subprocess.Popen pathlib.Path.mkdir
builtins.eval builtins.exec builtins.open builtins.__import__ importlib.import_module runpy.run_path timeit.timeit
pdb.run pickle.load pickle.loads joblib.load dill.load marshal.loads shelve.open pandas.read_pickle yaml.unsafe_load
numpy.load numpy.save torch.load torch.save torch.serialization.load torch.hub.load torch.jit.load torch.nn.Linear
logging.os.system hydra.utils.instantiate hydra.utils.call hydra.utils.get_method
hydra._internal.instantiate._instantiate2.instantiate pytorch_lightning.core.saving._load_state
pytorch_lightning.utilities.cloud_io._load lightning_fabric.utilities.cloud_io._load torch.optim.adamw.torch.load
torch.optim.Adam.__init__.__globals__.get torch.optim.lr_scheduler.LambdaLR torch.optim torch.optim.SGD
siamese_lab.runs.folder.os.system siamese_lab.runs.folder.shutil.rmtree siamese_lab.core.files.write_text
siamese_lab.model.checkpoint.torch.load siamese_lab.model.checkpoint.read_checkpoint
siamese_lab.config.instantiate.build siamese_lab.config.instantiate.importlib.import_module siamese_lab.cli.main
siamese_lab.data.download.download siamese_lab.data.download.urllib.request.urlopen siamese_lab.data.store.np.load
siamese_lab.runs.folder.RunFolder siamese_lab.training.checkpointing.CheckpointKeeper siamese_lab.data.archive.Archive
siamese_lab.model.siamese.Embedded siamese_lab.structures.samples.Samples.__init__
siamese_lab.losses.supcon.SupConLoss.__init__.__globals__.get siamese_lab.__main__.main
siamese_lab.datasets.glyphs.Glyphs . .. siamese_lab siamese_lab. siamese_lab..runs SIAMESE_LAB.runs.RunFolder os:mkdir
"""
TARGETS = [*NAMES.split(), "", " os.mkdir", "os.mkdir ", "siamese_lab.losses.supcon.SupConLoss "]
ODD_TARGETS = [3, None, True, 1.5, ["os.mkdir"], {"_target_": "os.mkdir"}]


def changed(run, key, section):
    cfg = OmegaConf.to_container(OmegaConf.load(run / "config.yaml"))
    at = cfg
    *path, last = key.split(".")
    for name in path:
        at = at[name]
    at[last] = section
    (run / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(cfg)))


@pytest.mark.parametrize("target", [*TARGETS, *ODD_TARGETS], ids=ascii)
def test_a_runs_config_builds_nothing_foreign(victim, mark, target):
    changed(victim, "loss", {"_target_": target})
    said = command("evaluate", str(victim))
    refused(said, mark, "loss")
    assert re.search("is refused|has no|names nothing", said.err), said.err
    changed(victim, "loss", mkdir(target)(mark))
    refused(command("evaluate", str(victim)), mark, "loss")


SECTIONS = [  # key, what stands there
    *(
        (key, mkdir("os.mkdir"))
        for key in ("data", "augment", "backbone", "distance", "miner", "loss", "protocol.verification")
    ),
    *(
        (key, mkdir("siamese_lab.runs.folder.RunFolder"))
        for key in ("data", "augment", "backbone", "distance", "miner", "protocol.verification")
    ),
    ("data", mkdir("torch.optim.SGD", lr=1.0)),
    ("backbone.width", mkdir("os.mkdir")),
    ("backbone.width", lambda mark: [{"deep": [{"_target_": "os.mkdir", "path": str(mark)}]}]),
    ("loss.temperature", mkdir("os.mkdir", _partial_=True)),
    ("loss._partial_", lambda mark: True),
    ("loss._args_", lambda mark: [str(mark)]),
    ("loss._recursive_", lambda mark: False),
    ("loss._convert_", lambda mark: "all"),
    ("loss", lambda mark: {"_target_": "os.mkdir", "_args_": [str(mark)], "_partial_": False}),
    ("protocol.other", mkdir("os.mkdir")),
]


@pytest.mark.parametrize(
    ("key", "section"), [pytest.param(*case, id=f"{case[0]} {n}") for n, case in enumerate(SECTIONS)]
)
def test_no_section_of_a_runs_config_does(victim, mark, key, section):
    changed(victim, key, section(mark))
    refused(command("evaluate", str(victim)), mark, key.split(".")[0])


@pytest.mark.parametrize("key", ["sampling", "optimizer", "loss"])
@pytest.mark.parametrize("target", ["os.mkdir", "torch.load", "siamese_lab.core.files.write_text"])
def test_nor_when_it_is_resumed(victim, mark, key, target):
    """Even where the run folder bears the name that its config has: the id is a hash, and no signature."""
    stopped(victim)
    changed(victim, key, mkdir(target, groups=[], schedule={"name": "cosine", "warmup": 0.0})(mark))
    named = victim.with_name(resolved_hash(OmegaConf.load(victim / "config.yaml"), fingerprint_of(victim)))
    victim.rename(named)
    refused(command("resume", str(named)), mark, key)


def fingerprint_of(run):
    from siamese_lab.data.load import load_data

    cfg = OmegaConf.load(run / "config.yaml")
    return load_data(cfg, trust=LAB_ONLY).fingerprint


TEXTS = [  # lines at the end of a run's config; what is said
    ("python object", "extra: !!python/object/apply:os.mkdir [MARK]", ""),
    ("python name", "extra: !!python/name:os.mkdir", ""),
    ("python module", "extra: !!python/module:os", ""),
    ("python new", "extra: !!python/object/new:os.mkdir [MARK]", ""),
    ("tag by its uri", "extra: !<tag:yaml.org,2002:python/object/apply:os.mkdir> [MARK]", ""),
    ("environment", "extra: ${oc.env:HOME}", "without ${...}"),
    ("hydra", "extra: ${hydra:runtime.cwd}", "without ${...}"),
    ("resolver", "extra: '${oc.create:{_target_: os.mkdir}}'", "without ${...}"),
    ("decoded", "extra: ${oc.decode:'1'}", "without ${...}"),
    ("another key", "extra: ${seed}", "without ${...}"),
    ("in a key", "${oc.env:HOME}: 1", "without ${...}"),
    ("nested", "extra: {a: [{b: '${oc.env:HOME}'}]}", "without ${...}"),
    ("a pickle", None, ""),
]


@pytest.mark.parametrize(("text", "words"), [pytest.param(*case[1:], id=case[0]) for case in TEXTS])
@pytest.mark.parametrize("verb", ["evaluate", "resume"])
def test_the_text_of_a_config_runs_nothing(victim, mark, verb, text, words):
    file = victim / "config.yaml"
    if text is None:
        file.write_bytes(pickle.dumps(Touches(mark)))
    else:
        file.write_text(file.read_text() + text.replace("MARK", str(mark)) + "\n")
    if verb == "resume":
        stopped(victim)
    refused(command(verb, str(victim)), mark, words, "config.yaml")


JSON = [
    ("a pickle", lambda mark: pickle.dumps(Touches(mark))),
    ("an array of objects", lambda mark: npy(np.array([Touches(mark)], dtype=object))),
    ("a list", lambda mark: b"[]"),
    ("a word", lambda mark: b'"os.mkdir"'),
    ("python", lambda mark: f"__import__('os').mkdir({str(mark)!r})".encode()),
    ("a yaml tag", lambda mark: f"!!python/object/apply:os.mkdir [{mark}]".encode()),
    ("nothing of what it should hold", lambda mark: b'{"schema": 2}'),
    ("100,000 brackets", lambda mark: b"[" * 100_000),
]


@pytest.mark.parametrize("make", [pytest.param(case[1], id=case[0]) for case in JSON])
@pytest.mark.parametrize("file", ["run.json", "metrics.json"])
def test_a_runs_json_runs_nothing(victim, mark, file, make):
    (victim / file).write_bytes(make(mark))
    refused(command("evaluate", str(victim)), mark, victim.name)


CACHES = [
    ("a pickle for the index", "json", lambda mark, old: pickle.dumps(Touches(mark))),
    ("an array of objects for the index", "json", lambda mark, old: npy(np.array([Touches(mark)], dtype=object))),
    ("a list for the index", "json", lambda mark, old: b"[]"),
    ("an index of another store", "json", lambda mark, old: old.replace(b"COPTIC", b"KOPTIC")),
    (
        "an index with odd types",
        "json",
        lambda mark, old: json.dumps({**json.loads(old), "extra": {"names": 3}}).encode(),
    ),
    ("an index without end", "json", lambda mark, old: b"[" * 100_000),
    ("a huge shape", "json", lambda mark, old: json.dumps({**json.loads(old), "shape": [1e400, 1, 1, 1]}).encode()),
    ("a negative shape", "json", lambda mark, old: json.dumps({**json.loads(old), "shape": [-1, -1, 1, 1]}).encode()),
    ("a pickle for the pixels", "u8", lambda mark, old: pickle.dumps(Touches(mark))),
    ("a pickle of the pixels' length", "u8", lambda mark, old: pickle.dumps(Touches(mark)).ljust(len(old), b"\0")),
    ("an array of objects for the pixels", "u8", lambda mark, old: npy(np.array([Touches(mark)], dtype=object))),
    ("other pixels", "u8", lambda mark, old: bytes(len(old))),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A cache with a small store of letters; what `check` says with it."""
    cache = tmp_path_factory.mktemp("cache")
    patch = pytest.MonkeyPatch()
    patch.setenv("SIAMESE_LAB_CACHE", str(cache))
    said = command("check", *TINY)
    patch.undo()
    assert said.code == 0
    return cache, said.out


TINY = (*SMALL, "sampling.batch_size=8", "sampling.steps=1")


@pytest.mark.parametrize(("suffix", "make"), [pytest.param(*case[1:], id=case[0]) for case in CACHES])
def test_a_cache_runs_nothing_and_is_made_anew(store, mark, tmp_path, monkeypatch, suffix, make):
    """A store is never given up for an altered one, nor is one read that is not what was written."""
    cache, before = store
    shutil.copytree(cache, tmp_path / "cache")
    monkeypatch.setenv("SIAMESE_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(compose, "_compose", composed_once)
    (file,) = (tmp_path / "cache" / "store").glob(f"*.{suffix}")
    whole = file.read_bytes()
    file.write_bytes(make(mark, whole))
    assert file.read_bytes() != whole
    said = command("check", *TINY)
    assert (said.code, said.err, said.out) == (0, "", before)
    assert not mark.exists()
    if suffix == "u8":
        assert file.read_bytes() == whole


def test_a_cache_that_was_only_copied_is_taken_as_it_is(store, tmp_path, monkeypatch):
    shutil.copytree(store[0], tmp_path / "cache", copy_function=shutil.copy)  # with other times
    monkeypatch.setenv("SIAMESE_LAB_CACHE", str(tmp_path / "cache"))
    (file,) = (tmp_path / "cache" / "store").glob("*.u8")
    inode = file.stat().st_ino
    assert command("check", *TINY).out == store[1]
    assert file.stat().st_ino == inode


def test_no_unpickler_was_needed_for_all_of_this():
    """`pickle` itself may be loaded by others; no file of ours names it."""
    ours = [module for name, module in sys.modules.items() if name.startswith("siamese_lab")]
    assert not [
        module.__name__
        for module in ours
        if any(getattr(thing, "__name__", "") in UNPICKLE for thing in vars(module).values())
    ]
