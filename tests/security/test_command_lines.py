"""Command lines and configs that nobody should write: each gives one message and exit code 2, and nothing is begun."""

import pytest

from siamese_lab.cli import VERBS
from tests.security._refusals import refused

MARGIN = "loss=triplet"
NAMES = {
    "nope": "nope",
    "": "''",
    "..": "..",
    "/": "/",
    "/etc/passwd": "/etc/passwd",
    "*": "*",
    "[a": "[a",
    "~": "~",
    "a\0b": "a\\x00b",
}
LONG = "x" * 100_000
NO_OVERRIDE = "is no override: write key=value or group=option"
PLAIN = "study must be a plain folder name"
ONE_LINE = "name must be a line of 1 to 200 printable characters"


@pytest.fixture(autouse=True)
def _here(outputs, tmp_path, monkeypatch):
    outputs.mkdir()
    monkeypatch.chdir(tmp_path)


LINES = [
    # which verb
    (["trian"], "no verb trian: did you mean train?"),
    ([""], "no verb '' (verbs: "),
    (["tr\x1b[31main"], "no verb tr\\x1b[31main"),  # a terminal is sent no control characters
    ([LONG], "no verb xxxx", "... (100,000 characters)"),
    (["\udcff"], "no verb \\udcff"),
    # flags and arguments
    (["train", "--forc"], "unrecognized arguments: --forc", "`siamese-lab train --help`"),
    (["train", "--cfg", "all"], "argument --cfg: invalid choice: 'all'"),
    (["train", "--cfg"], "argument --cfg: expected one argument"),
    (["plan", "loss=triplet"], "a sweep needs an axis"),
    (["plan", "seed=1,2", "--zip", "seed"], "it takes two axes or more"),
    (["plan", "seed=1,2", "--case", "nonsense"], "--case must be 'key=value"),
    (["train", "-m", "seed=1,2", "study=../x"], PLAIN),
    (["status", "nowhere"], "no study nowhere"),
    (["status"], "the following arguments are required: STUDY"),
    (["rerun", "nowhere"], "no run nowhere"),
    (["diff", "nowhere", "neither"], "no run nowhere"),
    (["compare"], "the following arguments are required: STUDY|RUN"),
    (["board", "nowhere"], "no study nowhere"),
    (["board", "--port", "x"], "argument --port: invalid int value: 'x'"),
    (["check", "-m"], "unrecognized arguments: -m", "`siamese-lab check --help`"),
    (["train", "--config-dir", "/nowhere"], "--config-dir needs a folder", "/nowhere"),
    (["train", "--config-dir", "/etc/passwd"], "--config-dir needs a folder", "/etc/passwd"),
    (["train", "--config-dir", ""], "argument --config-dir: an empty word is no path"),
    (["train", f"--{LONG}"], "unrecognized arguments: --xxxx"),
    (["resume"], "the following arguments are required: RUN"),
    (["resume", "a", "b"], "unrecognized arguments: b"),
    (["evaluate"], "the following arguments are required: RUN"),
    (["evaluate", "a", "--data"], "argument --data: expected at least one argument"),
    (["verify", "a"], "the following arguments are required: A, B"),
    (["show", "a", "b", "c"], "unrecognized arguments: c"),
    (["show", ""], "no group '' (groups: "),
    (["show", "lossy"], "no group lossy: did you mean loss?"),
    (["show", "loss", ""], "no loss='' (options: "),
    (["show", "loss", "../backbone/conv4"], "no loss=../backbone/conv4 (options: "),
    (["show", "loss", "a\0b"], "no loss=a\\x00b"),
    # what is no override
    (["train", ""], "'' is no override"),
    (["train", "seed"], "seed is no override"),
    (["train", "++"], "++ is no override"),
    (["train", "=1"], "no key "),
    (["train", "loss.margin={a:1"], NO_OVERRIDE),
    (["train", "loss.margin=[1"], NO_OVERRIDE),
    (["train", "name='abc"], NO_OVERRIDE),
    (["train", "name=a\0b"], NO_OVERRIDE, "name=a\\x00b"),
    (["train", "name=a\nb"], NO_OVERRIDE),
    (["train", "größe=1"], NO_OVERRIDE, "text that is not plain ASCII needs quotes"),
    (["train", "\udcff=1"], NO_OVERRIDE),
    (["train", "seed=int(x)"], NO_OVERRIDE),
    (["train", "name=" + "[" * 2000 + "]" * 2000], "is no override: it is nested too deeply"),
    (["train", "name=" + "{a:" * 500 + "1" + "}" * 500], "is no override: it is nested too deeply"),
    (["train", "seed=" + "9" * 100_000], "is no override"),
    # keys
    (["train", "loss.temperatur=1"], "no key loss.temperatur: did you mean loss.temperature?"),
    (["train", f"{LONG}=1"], "no key xxxx"),
    (["train", "+new.key=1"], "no key new.key"),
    (["train", "++new=1"], "no key new"),
    (["train", "++loss.x=1"], "no key loss.x"),
    (["train", "+seed=1"], "+seed is there already"),
    (["train", "~loss"], "~loss would leave out what every run needs"),
    (["train", "loss={margn: 1}"], "no key loss.margn"),
    (["train", "loss={}"], "loss={} would change nothing"),
    (["train", "choices.loss=triplet"], "choices.loss only records which options were taken"),
    (["train", "hydra.run.dir=/tmp"], "no key hydra.run.dir"),
    (["train", "hydra/launcher=x"], "no key hydra/launcher"),
    (["train", "loss._target_=siamese_lab.losses.triplet.Tripet"], "has no Tripet: did you mean TripletLoss?"),
    (["train", "loss._target_=3"], "names nothing that can be built"),
    (["train", "loss._target_=null"], "names nothing that can be built"),
    (["train", "trainer=1"], "trainer must be a mapping, got 1"),
    # options
    (["train", "loss="], "no loss='' (options: "),
    (["train", "loss=null"], "no loss=null"),
    (["train", "loss=tripet"], "no loss=tripet: did you mean triplet?"),
    (["train", "loss=../loss/triplet"], "no loss=../loss/triplet"),
    (["train", "loss=glob(*)"], "loss=glob(*) gives several values"),
    (["train", "loss=[supcon,triplet]"], "loss takes one option, got supcon, triplet"),
    (["train", "loss=[]"], "loss takes one option, got none"),
    (["train", "protocol=[]"], "at least one protocol is needed"),
    (["train", "protocol=[verification,verification]"], "names an option twice"),
    (["train", "loss@x=supcon"], "Could not override 'loss@x'"),
    # values
    *((["train", MARGIN, f"loss.margin={x}"], "must be a number, "
                                              "got") for x in ("abc", "[1]", "{a:1}", "true", "null", "''")),
    *((["train", MARGIN, f"loss.margin={x}"], "loss.margin must be a finite number, "
                                              "got") for x in ("nan", "inf", "1e999")),
    (["train", "loss=triplet", "loss.margin=-1"], "margin must be > 0, got -1.0"),
    (["train", "seed="], "seed must be a whole number, got the text ''"),
    (["train", "seed=-1"], "seed must be >= 0, got -1"),
    (["train", "seed=1.5"], "seed must be a whole number, got 1.5"),
    (["train", "seed=99999999999999999999"], "seed must be < 9223372036854775808"),
    (["train", "seed=1,2"], "seed=1,2 gives several values, one run takes one"),
    (["train", "seed=range(3)"], "seed=range(3) gives several values"),
    (["train", "seed=${x}"], "seed: Interpolation key 'x' not found"),
    (["train", "seed=${seed}"], "seed: Recursive interpolation detected"),
    (["train", "seed=???"], "seed needs a value"),
    (["train", "trainer.devices=0"], "trainer.devices must be >= 1, got 0"),
    (["train", "trainer.max_epochs=0"], "trainer.max_epochs must be >= 1, got 0"),
    (["train", "trainer.max_time=nan"], "trainer.max_time must be a finite number, got nan"),
    (["train", "trainer.max_time=-1"], "trainer.max_time must be > 0, got -1"),
    (["train", "trainer.max_time=soon"], 'trainer.max_time must be "HH:MM:SS", minutes or null'),
    *(
        (["train", f"study={study}"], PLAIN)
        for study in ("../x", "a/b", "'a b'", "..", "''", "'a\n'", ".hidden", "a" * 300)
    ),
    *((["train", f"name={name}"], ONE_LINE) for name in (LONG, "'a\nb'", "''", "'\udcff'", "'\x1b[31m'")),
    (["train", "data=folder"], "data.root needs a value"),
    (["train", "data=folder", "data.root="], "root must name a folder of images, got an empty text"),
    (["train", "data=folder", "data.root=/nowhere"], "data.root /nowhere does not exist"),
    (["train", "data=folder", "data.root=/etc/passwd"], "data.root /etc/passwd is not a folder"),
    (["train", "data=folder", "data.root=[1]"], "data.root must be text, got [1]"),
    (["train", "data=folder", f"data.root={LONG}"], "data.root must be the path of a folder", "File name too long"),
    (["train", "data=folder", "data.root='~nobody-has-this-name/x'"], "data.root must be the path of a folder", "home"),
    (["train", "data=folder", "data.root='a\0b'"], "a\\x00b does not exist"),
    (["train", "data=folder", "data.root='\udcff'"], "data.root must be the path of a folder"),
    # which run
    *(([verb, run], f"no run {shown}: it must be a run "
                    "folder") for verb in ("evaluate", "resume") for run, shown in NAMES.items()),
    (["evaluate", LONG], "no run xxxx"),
    (["resume", "x" * 300], "no run xxxx"),
    (["verify", "nope", "a.png", "b.png"], "no run nope"),
]  # fmt: skip


def name(line):
    return " ".join(line[0])[:60].encode("unicode_escape", "surrogatepass").decode() or "empty"


@pytest.mark.parametrize("line", LINES, ids=name)
def test_a_bad_command_line(capsys, outputs, line):
    words, *said = line
    refused(capsys, outputs, words, *said)


def test_every_verb_is_in_the_table():
    assert {words[0] for words, *_ in LINES} >= set(VERBS)


BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n + 1}: &a{n + 1} [{','.join([f'*a{n}'] * 9)}]\n" for n in range(8)
)
GOOD = "_target_: siamese_lab.losses.contrastive.ContrastiveLoss\nmargin: 1.0\n"
YAMLS = {
    "broken": ("margin: [1", "mine.yaml is no yaml: "),
    "tab": ("margin:\n\tx: 1", "mine.yaml is no yaml: ", "'\\t'"),
    "key twice": (GOOD + "margin: 2.0\n", "margin"),
    "bomb": (BOMB, "mine.yaml is no config: its aliases unfold to"),
    "refers to itself": ("a: &a [*a]", "mine.yaml is no config: it is nested too deeply, or refers to itself"),
    "deep": ("a: " + "[" * 100_000 + "]" * 100_000, "mine.yaml is no config: it is nested too deeply"),
    "less deep": ("a: " + "[" * 300 + "]" * 300, "mine.yaml is no config: it is nested too deeply"),
    "not UTF-8": ("# caf\udce9\n" + GOOD, "mine.yaml is no yaml: 'utf-8' codec can't decode"),
    "UTF-16": ("\udcff\udcfeg\0", "mine.yaml is no yaml: "),
    "NUL": ("a: \0", "mine.yaml is no yaml: "),
    "two documents": ("a: 1\n---\nb: 2\n", "mine.yaml is no yaml: "),
    "python": ("a: !!python/object/apply:os.system [ls]", "mine.yaml"),
    "empty": ("", "loss"),
    "list": ("[1, 2]", "loss must be a mapping with `_target_`"),
    "text": ("hello", "loss must be a mapping with `_target_`"),
    "no target": ("margin: 1.0\n", "loss"),
    "target misspelt": (GOOD.replace("ContrastiveLoss", "ContrastivLoss"), "did you mean ContrastiveLoss?"),
    "target not there": ("_target_: nowhere.to.be.Found\n", "`nowhere.to.be.Found` names nothing that can be built"),
    "target a number": ("_target_: 3\n", "names nothing that can be built"),
    "parameter missing": (GOOD.partition("margin")[0], "loss.margin is missing: an option lists every parameter"),
    "parameter misspelt": (GOOD.replace("margin", "magrin"), "no key loss.magrin"),
    "parameter odd": (GOOD.replace("1.0", "many"), "loss.margin must be a number, got the text 'many'"),
    "interpolation": (GOOD.replace("1.0", "${nothing.there}"), "nothing"),
    "defaults in a circle": ("defaults: [mine]\n" + GOOD, "name each other in a circle"),
    "defaults not there": ("defaults: [other]\n" + GOOD, "other"),
    "defaults odd": ("defaults: 3\n" + GOOD, "defaults"),
}


@pytest.mark.parametrize("case", YAMLS)
@pytest.mark.parametrize("verb", ["train", "check"])
def test_a_bad_option_of_ones_own(capsys, outputs, tmp_path, verb, case):
    text, *said = YAMLS[case]
    (tmp_path / "own" / "loss").mkdir(parents=True)
    (tmp_path / "own" / "loss" / "mine.yaml").write_bytes(text.encode(errors="surrogateescape"))
    refused(capsys, outputs, [verb, "--config-dir", str(tmp_path / "own"), "loss=mine"], *said)


@pytest.mark.parametrize("case", ["broken", "bomb", "refers to itself", "deep", "not UTF-8", "key twice", "list"])
def test_a_bad_option_cannot_be_shown(capsys, outputs, tmp_path, case):
    (tmp_path / "own" / "loss").mkdir(parents=True)
    (tmp_path / "own" / "loss" / "mine.yaml").write_bytes(YAMLS[case][0].encode(errors="surrogateescape"))
    refused(capsys, outputs, ["show", "loss", "mine", "--config-dir", str(tmp_path / "own")], "mine.yaml")


def test_a_key_that_is_given_twice_is_said(capsys):
    from siamese_lab.cli import main

    assert main(["train", "--cfg", "job", "seed=1", "seed=2"]) == 0
    seen = capsys.readouterr()
    assert "seed: 2\n" in seen.out
    assert seen.err == "siamese-lab: seed is given 2 times, the last one counts: seed=2\n"
