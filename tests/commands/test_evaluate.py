"""`siamese-lab evaluate` and `verify` on a run that was trained for real."""

import os

import pytest
import torch
from PIL import Image

from siamese_lab.cli import main
from siamese_lab.config.compose import read_config
from siamese_lab.config.trust import LAB_ONLY
from siamese_lab.data.load import load_data
from siamese_lab.model.build_twin import load_twin
from tests.conftest import FEW, run
from tests.security._user import command, one_line


def test_evaluate_gives_the_runs_own_figures(done, capsys):
    folder, metrics = done
    assert main(["evaluate", str(folder.path)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("verification/")]
    assert len(lines) == len(metrics["test"])
    for words in lines:
        shown = f"{100 * metrics['test'][words[0]]['value']:.2f}"
        assert words.count(shown) >= 2, words  # now, and at the run's end


def test_evaluate_on_other_data_uses_the_runs_threshold(done, capsys):
    folder, _ = done
    other = [
        "data=glyphs",
        "data.size=16",
        "data.images_per_class=4",
        "data.test_scripts=[HEBREW]",
        "data.val_scripts=[ARMENIAN]",
    ]
    assert main(["evaluate", folder.run_id[:6], "--data", *other]) == 0
    assert "verification/accuracy" in capsys.readouterr().out
    assert main(["evaluate", folder.run_id[:6], "--data", "data=glyphs", "data.size=32"]) == 2
    assert "data.size" in capsys.readouterr().err


def test_verify_says_same_and_different(done, tmp_path, capsys):
    folder, _metrics = done

    cfg = read_config(folder.path / "config.yaml")
    samples, twin = load_data(cfg, trust=LAB_ONLY), load_twin(folder, cfg)
    ids = samples.ids("test")
    z = twin.embed(samples.gather(ids))
    labels, d = samples.labels[ids], twin.distance.matrix(z, z)
    d.fill_diagonal_(torch.inf)
    same = d.masked_fill(labels[:, None] != labels, torch.inf).argmin()
    different = d.masked_fill(torch.isinf(d), -1).argmax()
    for pair, word in ((same, "same"), (different, "different")):
        files = []
        for row in divmod(int(pair), len(ids)):
            files.append(tmp_path / f"{word}{row}.png")
            # dark ink on white, as people scan it
            Image.fromarray(255 - samples.images[samples.row[ids[row]]][0].numpy()).save(files[-1])
        assert main(["verify", str(folder.path), *map(str, files)]) == 0
        assert capsys.readouterr().out.rstrip().endswith(f": {word}")

    for name, harm, words in (
        ("text.png", lambda path: path.write_text("no image"), "not an image"),
        ("empty.png", lambda path: path.write_bytes(b""), "empty, 0 bytes"),
        ("pipe.png", os.mkfifo, "not a regular file"),
        ("endless.png", lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
        ("loop.png", lambda path: path.symlink_to(path), "leads nowhere"),
        ("folder.png", lambda path: path.mkdir(), "a folder"),
        ("gone.png", lambda path: None, "No such file"),
        ("two\nlines.png", lambda path: None, "No such file"),
    ):
        harm(tmp_path / name)
        said = command("verify", str(folder.path), str(files[0]), str(tmp_path / name))
        one_line(said, 2, rf"{name.partition(chr(10))[0]}.*{words}")


def test_a_protocol_of_the_run_is_judged_as_the_run_has_set_it(outputs, capsys):
    settings = ["protocol.one_shot.way=5", "protocol.one_shot.episodes=50", "protocol.one_shot.within=script"]
    folder, metrics = run(*FEW, "protocol=[verification,one_shot]", *settings, "trainer.max_epochs=1")
    assert main(["evaluate", folder.run_id, "--protocol", "one_shot", "retrieval"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if "/" in line and "%" in line}
    # now, and at the run's end
    assert lines["one_shot/error"].count(f"{100 * metrics['test']['one_shot/error']['value']:.2f} %") == 2
    assert "retrieval/map@r" in lines


def test_identities_that_were_trained_on_are_not_judged(done, capsys):
    folder, _ = done
    other = [
        "data=glyphs",
        "data.size=16",
        "data.train_scripts=[ARMENIAN]",
        "data.val_scripts=[HEBREW]",
        "data.test_scripts=[GREEK]",
    ]
    assert main(["evaluate", folder.run_id, "--data", *other]) == 2
    err = capsys.readouterr().err
    assert "trained on" in err
    assert "GREEK" in err


@pytest.fixture
def photographs(tmp_path):
    """A tree of 60 identities with 4 images of one colour each and a little noise."""
    generator = torch.Generator().manual_seed(0)
    for identity in range(60):
        folder = tmp_path / "faces" / f"person {identity:02}"
        folder.mkdir(parents=True)
        colour = torch.randint(256, (3,), generator=generator)
        for number in range(4):
            noise = torch.randint(-20, 21, (20, 20, 3), generator=generator)
            Image.fromarray((colour + noise).clamp(0, 255).byte().numpy()).save(folder / f"{number}.png")
    return tmp_path / "faces"


TREE = [
    "data=folder",
    "data.size=null",
    "backbone.width=16",
    "sampling.batch_size=32",
    "trainer.max_epochs=4",
    "trainer.validate_every=2",
]


def test_a_tree_of_few_identities_from_check_to_verify(outputs, photographs, tmp_path, monkeypatch, capsys):
    """With the protocols that nobody chose; from a relative root; later from another folder, and with a person more."""
    monkeypatch.chdir(photographs.parent)
    words = [*TREE, f"data.root={photographs.name}"]
    assert main(["check", *words]) == 0
    assert main(["train", *words]) == 0
    shown = capsys.readouterr()
    assert "monitored key" not in shown.err
    assert "too few identities: verification/eer" in shown.out
    monkeypatch.chdir(tmp_path)
    (run_id,) = [path.parent.name for path in outputs.glob("*/*/metrics.json")]
    assert main(["evaluate", run_id]) == 0
    assert "at the run's end" in capsys.readouterr().out

    image = photographs / "person 00" / "0.png"
    Image.open(image).resize((24, 24)).save(tmp_path / "large.png")
    assert main(["verify", run_id, str(image), str(tmp_path / "large.png")]) == 2
    assert "large.png" in capsys.readouterr().err
    (photographs / "person 60").mkdir()
    for number in range(2):
        Image.open(image).save(photographs / "person 60" / f"{number}.png")
    assert main(["evaluate", run_id]) == 0
    out = capsys.readouterr().out
    assert "data have changed" in out
    assert "at the run's end" not in out


@pytest.mark.parametrize("verb", ["check", "train"])
@pytest.mark.parametrize(
    ("protocols", "words"),
    [
        ("[verification,one_shot]", ["protocol one_shot", "val part", "20 classes", "lower way"]),
        ("[verification,omniglot_runs]", ["protocol omniglot_runs", "official", "all_runs.zip"]),
        ("[omniglot_runs]", ["name another first"]),
    ],
)
def test_protocols_that_cannot_judge_the_data_are_refused_before_training(
    outputs, photographs, capsys, verb, protocols, words
):
    assert main([verb, *TREE, f"data.root={photographs}", f"protocol={protocols}"]) == 2
    err = capsys.readouterr().err
    for word in words:
        assert word in err
    assert not outputs.exists()
