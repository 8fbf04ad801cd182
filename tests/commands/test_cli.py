"""The command line: exit codes through a real process, help at once, verbs."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from siamese_lab.cli import VERBS, main
from siamese_lab.config.groups import group_names, option_file, option_names
from siamese_lab.config.options import option_parameters
from tests import _commands

ROOT = Path(__file__).parents[2]


def run(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return _commands.run(["-W", "error", "-m", "siamese_lab", *words], cwd=cwd)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with an option of one's own."""
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss" / "dropout.yaml").write_text(
        "# Mine.\n_target_: torch.nn.Dropout\np: 0.5 # [0, 1]\ninplace: false\n"
    )
    return tmp_path


def refused(*words: str) -> str:
    done = run(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr
    return done.stderr


def test_misfits_of_every_kind_end_with_2_and_one_message() -> None:
    text = refused(
        "train",
        "loss.temperatur=1",
        "distance=euclidan",
        "seed=1.5",
        "trainer.max_epochs=many",
        "sampling=pk,random_pairs",
    )
    for part in (
        "5 reasons",
        "loss.temperature?",
        "did you mean euclidean?",
        "seed must be",
        "trainer.max_epochs must be",
        "use -m",
    ):
        assert part in text


@pytest.mark.parametrize("verb", ["train", "check"])
def test_cfg_job_prints_the_resolved_config(verb: str, own: Path) -> None:
    done = run(verb, "--config-dir", str(own), "loss=dropout", "--cfg", "job", "loss.p=0.25")
    assert (done.returncode, done.stderr) == (0, "")
    assert "  p: 0.25\n" in done.stdout
    assert "${" not in done.stdout


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], *([name, "--help"] for name in VERBS)], ids=" ".join)
def test_help_answers_at_once_and_imports_nothing_heavy(words: list[str]) -> None:
    code = f"""
import sys
from siamese_lab.cli import main
code = main({words!r})
heavy = {{"torch", "hydra", "omegaconf", "numpy", "rich", "matplotlib", "pytorch_lightning", "torchvision"}}
heavy &= set(sys.modules)
sys.exit(f"imported {{heavy}}" if heavy else code)
"""
    for _ in range(3):  # the first that is quick enough: caches are cold, or shared with others
        begun = _commands.processor_time()
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
        )
        seconds = _commands.processor_time() - begun
        assert (done.returncode, done.stderr) == (0, "")
        if seconds < 0.5:
            break
    assert "usage: siamese-lab" in done.stdout
    assert seconds < 0.5


def test_help_of_train_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    assert sum(line.strip().startswith("siamese-lab train") for line in capsys.readouterr().out.splitlines()) >= 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "no verb trian: did you mean train? (verbs: train, plan, status,"),
        (["loss=triplet"], "no verb loss=triplet (verbs:"),
        (["train", "-m", "--cfg", "job"], "--cfg prints the config of one run"),
        (["train", "--forse"], "unrecognized arguments: --forse"),
        (["train", "--", "--force"], "--force stands after --, where options are not read: write it before"),
        (["verify", "abc", "a.png"], "the following arguments are required: B"),
        (["show", "lossy"], "no group lossy: did you mean loss?"),
        (["show", "loss", "tripet"], "no loss=tripet: did you mean triplet?"),
        (["train", "--cfg", "job", "--config-dir", "/nowhere"], "--config-dir needs a folder"),
    ],
)
def test_bad_commands_end_with_2(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    seen = capsys.readouterr()
    assert message in seen.err
    assert seen.out == ""


def test_words_reach_the_verb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    (module := type(sys)("fake_verb")).command = lambda **given: seen.append(given)  # type: ignore[attr-defined]
    for name in VERBS:
        monkeypatch.setitem(sys.modules, VERBS[name].module, module)
    assert main(["train", "loss=triplet", "--force", "seed=2", "--config-dir", str(tmp_path)]) == 0
    assert main(["check", "loss=contrastive"]) == 0
    assert main(["evaluate", "3f", "--data", "data=omniglot", "data.root=x", "--protocol", "one_shot"]) == 0
    assert main(["evaluate", "--trust", "mylab", "--protocol", "one_shot", "--", "3f"]) == 0
    assert main(["verify", "3f", "a.png", "b.png"]) == 0
    assert main(["show", "loss"]) == 0
    composed = [given.pop("cfg") for given in seen[:2]]
    assert [cfg.choices.loss for cfg in composed] == ["triplet", "contrastive"]
    assert [cfg.seed for cfg in composed] == [2, 0]
    own = {"config_dirs": []}
    assert seen == [
        {"force": True},
        {},
        {"run": "3f", "data": ["data=omniglot", "data.root=x"], "protocols": ["one_shot"], "trust": []} | own,
        {"run": "3f", "data": [], "protocols": ["one_shot"], "trust": ["mylab"]} | own,
        {"run": "3f", "left": Path("a.png"), "right": Path("b.png"), "trust": []},
        {"group": "loss", "name": None, "config_dirs": []},
    ]


@pytest.mark.parametrize(("raised", "code"), [("KeyboardInterrupt", 130), ("LabError('mend it', exit_code=75)", 75)])
def test_what_a_verb_raises_becomes_its_exit_code(tmp_path: Path, raised: str, code: int) -> None:
    script = f"""
        import sys, types
        from siamese_lab.cli import main
        from siamese_lab.core.errors import LabError
        def command(**_): raise {raised}
        sys.modules["siamese_lab.commands.train"] = types.SimpleNamespace(command=command)
        sys.exit(main(["train"]))
        """
    done = _commands.run(["-c", textwrap.dedent(script)], cwd=ROOT)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("siamese-lab: ")


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    (module := type(sys)("fake_verb")).command = lambda **_: 1 / 0  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "siamese_lab.commands.check", module)
    with pytest.raises(ZeroDivisionError):
        main(["check"])


def test_show(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def shown(*words: str) -> str:
        assert main(["show", *words]) == 0
        return capsys.readouterr().out

    assert "dropout" in shown("--config-dir", str(own))
    assert ["dropout", "Mine."] in [line.split() for line in shown("loss", "--config-dir", str(own)).splitlines()]
    triplet = shown("loss", "triplet")
    for part in (
        "consumes    triplets",
        "source      Schroff",
        "margin     a number",
        "one of hinge, soft",
        "loss.margin=...",
    ):
        assert part in triplet
    assert "protocol.verification.pairs=..." in shown("protocol", "verification")
    folder = shown("data", "folder")
    assert "required" in folder
    assert "???" not in folder
    assert "share of all steps" in shown("optimizer", "adamw")  # the comment beside a nested key


def test_every_number_of_every_option_has_a_range() -> None:
    said = re.compile(
        r"[\[(]-?(\d|inf)|>=? ?\d|at least \d|at most \d|\d (?:<|to) |even|positive|multiple|any (?:whole )?number"
    )
    for group in (g for g in group_names() if g != "experiment"):
        for option in option_names(group):
            for parameter in option_parameters(option_file(group, option)):
                if "number" in parameter.kind:
                    assert said.search(parameter.note), (group, option, parameter)


def test_a_closed_pipe_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "siamese_lab"], cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("siamese-lab ")
