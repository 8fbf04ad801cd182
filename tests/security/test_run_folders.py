"""Run folders and checkpoints that siamese-lab did not write so: one message, exit code 2, and the folder stays as it
was.
"""

import json
import re
import shutil
import zipfile

import pytest
import torch
from PIL import Image

from siamese_lab.cli import main
from siamese_lab.runs.folder import RunFolder
from tests.conftest import FEW, SMALL
from tests.security._refusals import refused

ODD = "run.json is not what siamese-lab writes: "
NO_CONFIG = "config.yaml is no config of a run of this version:\n  "
DEEP = "[" * 100_000 + "]" * 100_000
BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n + 1}: &a{n + 1} [{','.join([f'*a{n}'] * 9)}]\n" for n in range(8)
)


@pytest.fixture
def victim(done, tmp_path, monkeypatch):
    """A copy of a finished run, to be harmed."""
    monkeypatch.setenv("SIAMESE_LAB_OUTPUTS", str(tmp_path / "outputs"))
    return shutil.copytree(done[0].path, tmp_path / "outputs" / "single" / done[0].run_id)


@pytest.fixture
def stopped(victim):
    """One that was stopped, and could be resumed."""
    RunFolder(victim).update(state="preempted")
    return victim


def holds(name, content):
    """A harm: the file holds something else."""

    def harm(run):
        (run / name).write_bytes(content.encode(errors="surrogateescape"))

    return harm


def lacks(*names):
    """A harm: files or folders are not there."""

    def harm(run):
        for name in names:
            shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).unlink()

    return harm


def entries(name="run.json", **facts):
    """A harm: entries of a JSON file are other ones; ... = there is none."""

    def harm(run):
        found = json.loads((run / name).read_text()) | facts
        (run / name).write_text(json.dumps({key: value for key, value in found.items() if value is not ...}))

    return harm


def half(name):
    """A harm: the second half is lost."""

    def harm(run):
        content = (run / name).read_bytes()
        (run / name).write_bytes(content[: len(content) // 2])

    return harm


def says(old, new):
    """A harm: the config says something else."""

    def harm(run):
        text = (run / "config.yaml").read_text()
        assert re.search(old, text)
        (run / "config.yaml").write_text(re.sub(old, new, text, count=1))

    return harm


RUN_JSON = {
    "missing": (lacks("run.json"), "no run "),
    "empty": (holds("run.json", ""), "run.json is broken"),
    "half": (half("run.json"), "run.json is broken"),
    "no JSON": (holds("run.json", "hello"), "run.json is broken"),
    "binary": (holds("run.json", "\udcff\udcfe\0"), "run.json is broken"),
    "a list": (holds("run.json", "[1]"), "run.json must hold a mapping, got list"),
    "nested deeply": (holds("run.json", f'{{"schema": 2, "a": {DEEP}}}'), "run.json is broken"),
    "a number too long": (holds("run.json", f'{{"schema": 2, "pid": {"9" * 5000}}}'), "run.json is broken"),
    "a newer schema": (entries(schema=99), "run.json has schema 99, this version of siamese-lab reads 2: update"),
    "an older schema": (entries(schema=1), "run.json was written by an earlier version of siamese-lab"),
    "schema a text": (entries(schema="1"), "run.json has schema '1'"),
    "schema true": (entries(schema=True), "run.json has schema True"),
    "schema NaN": (entries(schema=float("nan")), "run.json has schema nan"),
    "schema negative": (entries(schema=-3), "run.json has schema -3"),
    "schema alone": (holds("run.json", '{"schema": 2}'), ODD, "it lacks state", "and 3 more"),
    "state unknown": (entries(state="fine"), ODD, "state must be one of running, ok, failed", "got the text 'fine'"),
    "state a list": (entries(state=["ok"]), ODD, "state must be"),
    "no state": (entries(state=...), ODD, "it lacks state"),
    "pid a text": (entries(state="running", pid="1"), ODD, "pid must be a whole number"),
    "pid negative": (entries(state="running", pid=-1), ODD, "pid must be the number of a process, got -1"),
    "pid a fraction": (entries(state="running", pid=1.5), ODD, "pid must be a whole number"),
    "host a list": (entries(state="running", host=[1]), ODD, "host must be text"),
    "of another machine": (
        entries(state="running", host="elsewhere"),
        "on elsewhere",
        "write killed in place of running",
    ),
    "started no time": (entries(started="yesterday"), ODD, "started must be a time"),
    "decided a list": (entries(decided=[1]), ODD, "decided must be a mapping"),
    "processes a text": (entries(decided={"processes": "two"}), ODD, "decided.processes must be a whole number"),
    "versions a list": (entries(versions=[1]), ODD, "versions must be a mapping"),
    "resumed a text": (entries(resumed="x"), ODD, "resumed must be a list"),
    "network a list": (entries(network=[1]), ODD, "network must be a mapping"),
    "network empty": (entries(network={}), ODD, "network.classes is missing"),
    "shape a text": (entries(network={"shape": "abc", "classes": 91}), ODD, "network.shape must be a list"),
    "shape too short": (entries(network={"shape": [1, 16], "classes": 91}), ODD, "network.shape must be a list of 3"),
    "shape negative": (
        entries(network={"shape": [1, -16, 16], "classes": 91}),
        ODD,
        "network must hold positive numbers",
    ),
    "classes a text": (
        entries(network={"shape": [1, 16, 16], "classes": "x"}),
        ODD,
        "network.classes must be a whole number",
    ),
    "hparams a list": (entries(hparams=[1]), ODD, "hparams must be a mapping"),
}


@pytest.mark.parametrize("case", RUN_JSON)
def test_a_bad_run_json(capsys, victim, tmp_path, case):
    harm, *said = RUN_JSON[case]
    harm(victim)
    for words in (["evaluate"], ["resume"]):
        refused(capsys, tmp_path, [*words, str(victim)], *said)


def test_a_bad_run_json_is_not_trained_over(capsys, victim, tmp_path):
    words = ["train", *SMALL, *FEW]
    half("run.json")(victim)
    refused(capsys, tmp_path, words, "run.json is broken")
    lacks("run.json")(victim)
    refused(capsys, tmp_path, words, "no run.json beside it: not a whole run", "--force")
    assert main([*words, "--force"]) == 0  # as the message says
    assert RunFolder(victim).state() == "ok"


CONFIG = {
    "missing": (lacks("config.yaml"), "config.yaml: it is missing", "train it anew with --force"),
    "half": (half("config.yaml"), "config.yaml"),
    "empty": (holds("config.yaml", ""), "is no config of a run: it lacks data, augment"),
    "foreign": (
        holds("config.yaml", "model: {hidden: 3}\ntrain: {lr: 1}\n"),
        "is no config of a run: it lacks data, augment",
    ),
    "a list": (holds("config.yaml", "[1]"), "must be a resolved config"),
    "a tab": (holds("config.yaml", "a:\n\tb: 1"), "config.yaml is no yaml"),
    "not UTF-8": (holds("config.yaml", "a: \udcff"), "config.yaml is no yaml: 'utf-8'"),
    "nested deeply": (holds("config.yaml", DEEP), "config.yaml is no config: it is nested too deeply"),
    "a bomb": (holds("config.yaml", BOMB), "config.yaml is no config: its aliases unfold to"),
    "refers to itself": (
        holds("config.yaml", "a: &a {b: *a}"),
        "config.yaml is no config: it is nested too deeply, or refers to itself",
    ),
    "an interpolation": (says("seed: 0", "seed: ${x}"), "must be a resolved config: a mapping without ${...}"),
    "a resolver": (says("study: single", "study: ${oc.env:HOME}"), "must be a resolved config"),
    "a key too many": (says("seed: 0", "seed: 0\nfoo: 1"), NO_CONFIG, "no key foo"),
    "a nested key too many": (says("  devices: 1", "  devices: 1\n  foo: 1"), NO_CONFIG, "no key trainer.foo"),
    "a parameter too many": (says("  width: 16", "  width: 16\n  foo: 1"), NO_CONFIG, "no key backbone.foo"),
    "a key missing": (says("  devices: 1\n", ""), NO_CONFIG, "trainer.devices is missing"),
    "a parameter missing": (says("  width: 16\n", ""), NO_CONFIG, "backbone.width is missing"),
    "a section missing": (says(r"loss:\n(  .*\n)+", ""), "is no config of a run: it lacks loss"),
    "a section null": (
        says(r"loss:\n(  .*\n)+", "loss: null\n"),
        NO_CONFIG,
        "loss must be a mapping with `_target_`, got null",
    ),
    "a section a number": (
        says(r"evaluation:\n(  .*\n)+", "evaluation: 3\n"),
        NO_CONFIG,
        "evaluation must be a mapping, got 3",
    ),
    "choices a number": (says(r"choices:\n(  .*\n)+", "choices: 3\n"), NO_CONFIG, "choices must be a mapping, got 3"),
    "a seed that is text": (says("seed: 0", "seed: abc"), NO_CONFIG, "seed must be a whole number"),
    "a size of 0": (says("batch_size: 500", "batch_size: 0"), NO_CONFIG, "evaluation.batch_size must be >= 1, got 0"),
    "a target misspelt": (says("backbones.conv4.Conv4", "backbones.conv4.Conv5"), NO_CONFIG, "has no Conv5"),
    "of another network": (says("width: 16", "width: 32"), "no"),
}


@pytest.mark.parametrize("case", CONFIG)
@pytest.mark.parametrize("verb", ["evaluate", "resume"])
def test_a_bad_config(capsys, victim, tmp_path, verb, case):
    harm, *said = CONFIG[case]
    if verb == "resume":
        RunFolder(victim).update(state="preempted")
    harm(victim)
    refused(capsys, tmp_path, [verb, str(victim)], *said)


EER = {"value": 0.1, "low": None, "high": None, "n": 1, "unit": "share", "better": "low", "note": ""}
METRICS = {
    "missing": (lacks("metrics.json"), "metrics.json is missing, of a run that is finished"),
    "half": (half("metrics.json"), "metrics.json is broken"),
    "newer": (entries("metrics.json", schema=99), "metrics.json has schema 99"),
    "older": (entries("metrics.json", schema=1), "metrics.json was written by an earlier version"),
    "without chosen": (entries("metrics.json", chosen=...), "it lacks chosen"),
    "test a list": (entries("metrics.json", test=[1]), "test must be a mapping"),
    "a figure a number": (entries("metrics.json", test={"a/b": 3}), "test.a/b must be a mapping, got 3"),
    "a figure half": (entries("metrics.json", test={"a/b": {"value": 1}}), "test.a/b.better is missing"),
    "a value a text": (entries("metrics.json", test={"a/b": EER | {"value": "x"}}), "test.a/b.value must be a number"),
    "a value NaN": (
        entries("metrics.json", test={"a/b": EER | {"value": float("nan")}}),
        "test.a/b.value must be a finite number",
    ),
    "untrained a list": (entries("metrics.json", untrained=[1]), "untrained must be a mapping"),
    "data empty": (entries("metrics.json", data={}), "data.disjoint is missing"),
    "data odd": (
        entries("metrics.json", data={"disjoint": "x", "fingerprint": "y"}),
        "data.disjoint must be one of label, image",
    ),
    "training empty": (entries("metrics.json", training={}), "training.images_per_second is missing"),
    "chosen a number": (entries("metrics.json", chosen=3), "chosen must be a mapping"),
    "a threshold a text": (
        entries("metrics.json", chosen={"verification": {"threshold": "x"}}),
        "chosen.verification.threshold must be",
    ),
    "epoch a list": (entries("metrics.json", epoch=[1]), "epoch must be a whole number"),
}


@pytest.mark.parametrize("case", METRICS)
def test_bad_metrics(capsys, victim, tmp_path, case):
    harm, *said = METRICS[case]
    harm(victim)
    Image.new("L", (16, 16)).save(tmp_path / "a.png")
    picture = str(tmp_path / "a.png")
    for words in (
        ["evaluate", str(victim)],
        ["resume", str(victim)],
        ["verify", str(victim), picture, picture],
        ["train", *SMALL, *FEW],
    ):
        refused(capsys, tmp_path, words, "metrics.json", *said)


@pytest.mark.parametrize(
    "content", ['{"schema": 2}', '{"schema": 2, "train": 3}', '{"schema": 2, "train": [[1]]}', "{"]
)
def test_bad_classes(capsys, victim, tmp_path, content):
    (victim / "classes.json").write_text(content)
    other = [
        "data=glyphs",
        "data.size=16",
        "data.images_per_class=4",
        "data.test_scripts=[HEBREW]",
        "data.val_scripts=[ARMENIAN]",
    ]
    refused(capsys, tmp_path, ["evaluate", str(victim), "--data", *other], "classes.json")


def altered(change):
    """A harm: all checkpoints hold something else; `change` alters the dict, or gives what takes its place."""

    def harm(run):
        for path in run.glob("checkpoints/*.ckpt"):
            found = torch.load(path, weights_only=True)
            replaced = change(found)
            torch.save(found if replaced is None else replaced, path)

    return harm


def files(change):
    """A harm to every checkpoint as a file."""

    def harm(run):
        for path in list(run.glob("checkpoints/*.ckpt")):
            change(path)

    return harm


def weights(value):
    """A harm: one weight of the network is no number."""

    def change(found):
        first = next(weight for weight in found["state_dict"].values() if weight.is_floating_point())
        first.view(-1)[0] = value

    return altered(change)


def renamed(found):
    found["state_dict"]["other"] = found["state_dict"].pop(next(iter(found["state_dict"])))


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def zipped(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "hello")


def looped(path):
    path.unlink()
    path.symlink_to(path)


def dangling(path):
    path.unlink()
    path.symlink_to("/nowhere/at/all")


def folder(path):
    path.unlink()
    path.mkdir()


UNREADABLE = "cannot be read as a checkpoint"
CHECKPOINTS = {
    "empty": (files(lambda path: path.write_bytes(b"")), UNREADABLE),
    "truncated": (files(lambda path: path.write_bytes(path.read_bytes()[:5000])), UNREADABLE),
    "one bit flipped": (files(flipped), "does not match its checksum"),
    "a text": (files(lambda path: path.write_text("hello")), UNREADABLE),
    "a zip of something else": (files(zipped), UNREADABLE),
    "a tensor": (altered(lambda _: torch.zeros(3)), "it holds a Tensor"),
    "a list": (altered(lambda _: [1]), "it holds a list"),
    "another state dict": (altered(lambda _: dict(torch.nn.Linear(2, 2).state_dict())), "state_dict"),
    "without weights": (altered(lambda found: found.pop("state_dict") and None), "state_dict"),
    "weights a list": (altered(lambda found: found.update(state_dict=[1])), "state_dict"),
    "a weight too many": (
        altered(lambda found: found["state_dict"].update(extra=torch.zeros(1))),
        "no checkpoint of this run's network",
    ),
    "a weight of another name": (altered(renamed), "no checkpoint of this run's network"),
    "a weight of another shape": (
        altered(lambda found: found["state_dict"].update({next(iter(found["state_dict"])): torch.zeros(2, 2)})),
        "no checkpoint of this run's network",
        "size mismatch",
    ),
    "a weight a text": (
        altered(lambda found: found["state_dict"].update({next(iter(found["state_dict"])): "x"})),
        "this run's network",
    ),
    "a weight NaN": (weights(float("nan")), "holds weights that are NaN or infinite, in backbone.trunk"),
    "a weight infinite": (weights(float("inf")), "holds weights that are NaN or infinite, in backbone.trunk"),
    "epoch a text": (altered(lambda found: found.update(epoch="x")), "epoch"),
    "without an epoch": (altered(lambda found: found.pop("epoch") and None), "epoch"),
    "a folder": (files(folder), UNREADABLE),
    "a link to itself": (files(looped), UNREADABLE),
    "a link to nothing": (files(dangling), "is missing"),
}
RESUMED = {  # what only a training needs
    "step a text": (altered(lambda found: found.update(global_step="x")), "global_step is lacking or odd"),
    "without the optimizer": (
        altered(lambda found: found.pop("optimizer_states") and None),
        "optimizer_states is lacking or odd",
    ),
    "without loops": (altered(lambda found: found.pop("loops") and None), "loops is lacking or odd"),
    "without callbacks": (altered(lambda found: found.pop("callbacks") and None), "callbacks is lacking or odd"),
    "a callback a number": (
        altered(lambda found: found["callbacks"].update(Validation=3)),
        "callbacks is lacking or odd",
    ),
}


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_a_bad_checkpoint(capsys, victim, tmp_path, case):
    harm, *said = CHECKPOINTS[case]
    harm(victim)
    refused(capsys, tmp_path, ["evaluate", str(victim)], ".ckpt", *said)


@pytest.mark.parametrize("case", CHECKPOINTS | RESUMED)
def test_a_bad_checkpoint_is_not_resumed(capsys, stopped, tmp_path, case):
    harm, *said = (CHECKPOINTS | RESUMED)[case]
    harm(stopped)
    refused(capsys, tmp_path, ["resume", str(stopped)], ".ckpt", *said)


COPIES = {
    "only run.json": ("checkpoints", "config.yaml", "metrics.json", "classes.json"),
    "no checkpoints": ("checkpoints",),
    "only the checkpoint before": ("checkpoints/last.ckpt", "checkpoints/best.ckpt"),
}


@pytest.mark.parametrize("case", COPIES)
def test_a_folder_copied_in_part(capsys, victim, tmp_path, case):
    lacks(*COPIES[case])(victim)
    refused(capsys, tmp_path, ["evaluate", str(victim)], "is missing")


def test_a_folder_that_was_linked_to_is_the_run(victim, tmp_path, capsys):
    (tmp_path / "link").symlink_to(victim)
    assert main(["evaluate", str(tmp_path / "link")]) == 0
    assert "verification/eer" in capsys.readouterr().out


def test_more_of_the_id_is_asked_for(victim, tmp_path, capsys):
    shutil.copytree(victim, victim.with_name(victim.name[:4] + "00000000"))
    refused(capsys, tmp_path, ["evaluate", victim.name[:4]], "2 runs begin with", "write more of the run id")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--protocol", "nothing"], "no protocol=nothing"),
        (["--protocol", "a]b"], "no protocol=a]b"),
        (["--protocol", ""], "no protocol=''"),
        (["--data", "loss=triplet"], "--data takes overrides of the data"),
        (["--data", "data=nothing"], "no data=nothing"),
        (["--data", "data.root"], "data.root is no override"),
        (["--data", "data.nothing=1"], "no key data.nothing"),
        (["--data", "data.size=[1"], "is no override"),
        (["--data", "data.size=32"], "the network was trained on images of [1, 16, 16]"),
    ],
    ids=str,
)
def test_what_evaluate_is_asked(capsys, victim, tmp_path, words, said):
    refused(capsys, tmp_path, ["evaluate", str(victim), *words], said)


@pytest.mark.parametrize("limit", ["", "soon", "-1", "0", "nan", "inf", "1e5", "1:2", "²", "9" * 400, "00:00:00"])
def test_the_limit_that_resume_is_given(capsys, stopped, tmp_path, limit):
    refused(capsys, tmp_path, ["resume", str(stopped), f"--max-time={limit}"], "--max-time must be")


@pytest.mark.parametrize("devices", ["0", "-1", "two", "1.5"])
def test_the_devices_that_resume_is_given(capsys, stopped, tmp_path, devices):
    refused(capsys, tmp_path, ["resume", str(stopped), f"--devices={devices}"], "--devices")
