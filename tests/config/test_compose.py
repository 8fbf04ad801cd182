"""Composing and checking: names, types, all misfits at once, the hash."""

import textwrap
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from siamese_lab.config.compose import check_composed, compose, read_config
from siamese_lab.config.groups import group_names, option_names
from siamese_lab.config.identity import resolved_hash
from siamese_lab.config.instantiate import build
from siamese_lab.core.errors import LabError

TREE = {
    "train.yaml": """
        defaults:
          - _self_
          - distance: euclidean
          - loss: dropout
          - optimizer: adamw
          - protocol: [hinge]
          - experiment: null
        seed: 0
        study: single
        name: null
        trainer:
          accelerator: auto
          devices: 1
          sync_batchnorm: false
          chunk: null
          precision: auto
          max_epochs: 10
          max_time: null
          gradient_clip_val: 1.0
          deterministic: true
          ema: null
          patience: null
          checkpoint_every: null
          workers: 0
          validate_every: 1
          allocator: true
          channels_last: true
          progress: true
        """,
    "distance/euclidean.yaml": "_target_: siamese_lab.distances.euclidean.Euclidean",
    "distance/dot.yaml": "{_target_: torch.nn.CosineSimilarity, dim: 1, eps: 1.0e-8}",
    "loss/dropout.yaml": "{_target_: torch.nn.Dropout, p: 0.5, inplace: false}",
    "loss/huber.yaml": """
        defaults:
          - override /distance@_global_.distance: dot
          - _self_
        _target_: torch.nn.HuberLoss
        reduction: mean
        delta: 1.0
        """,
    "loss/mine.yaml": """
        _target_: lab_made.Mine
        margin: 1.0
        top: .inf
        form: hard
        sizes: [1, 2]
        weights: {a: 1.0}
        limit: null
        untyped: 3
        inner: {_target_: torch.nn.PReLU, num_parameters: 1, init: 0.25}
        """,
    "loss/partial.yaml": "{_target_: lab_made.Mine, margin: 1.0}",
    "optimizer/adamw.yaml": """
        _target_: torch.optim.AdamW
        lr: 2.0e-3
        betas: [0.9, 0.999]
        groups: []
        schedule: {name: cosine, warmup: 0.05}
        """,
    "protocol/hinge.yaml": "# @package protocol.hinge\n_target_: torch.nn.HingeEmbeddingLoss\nmargin: 1.0\n",
    "protocol/prelu.yaml": "# @package protocol.prelu\n_target_: torch.nn.PReLU\ninit: 0.25\n",
    "experiment/fast.yaml": """
        # @package _global_
        defaults:
          - override /loss: huber
          - override /protocol: [prelu]
        seed: 7
        """,
    "experiment/misspelt.yaml": "# @package _global_\nloss:\n  inplce: true\n",
}

MINE = '''
from typing import Literal

from torch import nn


class Mine:
    """Takes everything."""

    def __init__(self, margin: float, top: float = float("inf"), form: Literal["hard", "soft"] = "hard",
                 sizes: list[int] | None = None, weights: dict[str, float] | None = None, limit: int | None = None,
                 untyped=3, inner: nn.Module | None = None, dim: int = 0, *, labels: list[int]):
        if not margin > 0:
            raise ValueError(f"margin must be > 0, got {margin}")
        self.__dict__.update({k: v for k, v in locals().items() if k != "self"})
'''


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "conf"
    for name, text in TREE.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(textwrap.dedent(text).lstrip())
    (tmp_path / "lab_made.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return root


def refused(conf: Path, *words: str) -> str:
    with pytest.raises(LabError) as caught:
        compose(words, root=conf)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_defaults_compose_resolved(conf: Path) -> None:
    cfg = compose([], root=conf)
    assert cfg.loss.p == 0.5
    assert dict(cfg.choices) == {"distance": "euclidean", "experiment": None, "loss": "dropout", "optimizer": "adamw"}
    assert "hydra" not in cfg
    with pytest.raises(Exception, match="magrin"):
        cfg.loss.magrin = 3  # struct mode stays on


def test_values_choices_and_lists(conf: Path) -> None:
    cfg = compose(
        ["loss=huber", "loss.delta=2", "protocol=[hinge,prelu]", "trainer.max_time=00:04:00", "trainer.ema=0.99"],
        root=conf,
    )
    assert cfg.loss.delta == 2.0
    assert isinstance(cfg.loss.delta, float)  # a whole number where a float is asked for
    assert list(cfg.protocol) == ["hinge", "prelu"]
    assert cfg.trainer.max_time == "00:04:00"
    assert cfg.distance._target_ == "torch.nn.CosineSimilarity"  # the loss's own choice
    assert compose(["loss=huber", "distance=euclidean"], root=conf).choices.distance == "euclidean"  # the user's wins


def test_experiment_is_a_delta(conf: Path) -> None:
    cfg = compose(["experiment=fast", "seed=8"], root=conf)
    assert (cfg.seed, cfg.choices.loss, list(cfg.protocol)) == (8, "huber", ["prelu"])
    assert "loss.inplce: did you mean inplace?" in refused(conf, "experiment=misspelt")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("loss.inplce=true", "no key loss.inplce: did you mean loss.inplace?"),
        ("los.p=0.1", "no key los.p: did you mean loss.p?"),
        ("lr=0.1", "no key lr: did you mean optimizer.lr?"),
        ("optimizer.scedule.warmup=0.1", "did you mean optimizer.schedule.warmup?"),
        ("loss.delta=1", "no key loss.delta: it is a parameter of loss=huber"),
        ("sed=1", "no key sed: did you mean seed?"),
        ("trainer.zzzzzzz=1", "`siamese-lab train --cfg job` prints all keys"),
        ("hydra.run.dir=x", "no key hydra.run.dir"),
        ("choices.loss=huber", "write loss=..."),
        ("loss=hubr", "no loss=hubr: did you mean huber? (options: dropout, huber, mine, partial)"),
        ("protocol=[hinge,prelo]", "no protocol=prelo: did you mean prelu?"),
        ("los=huber", "no key los: did you mean loss?"),
        ("loss.p=abc", "loss.p must be a number, got the text 'abc'"),
        ("loss.p=true", "loss.p must be a number, got true"),
        ("loss.p=nan", "loss.p must be a finite number, got nan"),
        ("loss.p=inf", "loss.p must be a finite number, got inf"),
        ("loss.p=null", "loss.p must be a number, got null"),
        ("loss.p=[1]", "loss.p must be a number, got [1]"),
        ("loss.inplace=1", "loss.inplace must be true or false, got 1"),
        ("seed=1.5", "seed must be a whole number, got 1.5"),
        ("seed=", "seed must be a whole number, got the text ''"),
        ("study=2024", "study must be text, got 2024"),
        (
            "trainer.precision=bf16",
            "trainer.precision must be one of auto, 32-true, bf16-mixed, 16-mixed, 64-true, got the text 'bf16'",
        ),
        ("trainer.patience=soon", "trainer.patience must be a whole number or null"),
        ("trainer.gradient_clip_val=nan", "trainer.gradient_clip_val must be a finite number, got nan"),
        ("optimizer.lr=fast", "optimizer.lr must be a number"),
        ("optimizer.betas=[0.9]", "optimizer.betas must be a list of 2 entries, got 1"),
        ("optimizer.schedule.name=cosin", "did you mean cosine?"),
        ("optimizer.groups=[{mach: a}]", "no key optimizer.groups[0].mach: did you mean match?"),
        ("protocol.hinge.margin=x", "protocol.hinge.margin must be a number"),
        ("+loss.q=1", "no key loss.q"),
        ("+loss.p=1", "+loss.p is there already"),
        ("+optimizer.params=[]", "no key optimizer.params"),
        ("~loss", "~loss would leave out what every run needs: choose another option or value instead, loss=..."),
        ("~trainer.devices", "~trainer.devices would leave out"),
        ("name=gesicht-ü", "needs quotes"),
        ("seed=1,2", "use -m for a sweep, or seed=[...] for a list"),
        ("loss=huber,dropout", "use -m for a sweep"),
        ("seed", "seed is no override"),
        ("seed=[1", "seed=[1 is no override"),
        ("distance@loss.d=euclidean", "Could not override 'distance@loss.d'"),
        ("loss={q: 1}", "no key loss.q"),
        ("loss={p: x}", "loss.p must be a number"),
        ("loss.p.q=1", "no key loss.p.q"),
        ("seed=${sead}", "sead"),
        ("seed=???", "seed needs a value: seed=..."),
    ],
)
def test_one_misfit(conf: Path, word: str, message: str) -> None:
    assert message in refused(conf, word)


def test_all_misfits_in_one_message(conf: Path) -> None:
    text = refused(conf, "loss.inplce=true", "distance=euclid", "seed=1.5", "trainer.devices=two", "loss.p=abc", "what")
    assert "6 reasons" in text
    for part in (
        "loss.inplace?",
        "did you mean euclidean?",
        "seed must",
        "trainer.devices must",
        "loss.p must",
        "what is no override",
    ):
        assert part in text


def test_values_of_an_option_that_does_not_exist_are_not_blamed(conf: Path) -> None:
    text = refused(conf, "loss=hubr", "loss.delta=2", "seed=x")
    assert "loss.delta" not in text
    assert "2 reasons" in text


def test_annotations_of_every_kind(conf: Path) -> None:
    words = [
        "loss=mine",
        "loss.sizes=[3]",
        "+loss.weights.b=2",
        "loss.limit=4",
        "loss.form=soft",
        "loss.inner.init=1",
        "+loss.weights.c=3",
    ]
    cfg = compose(words, root=conf)
    assert cfg.loss.weights == {"a": 1.0, "b": 2.0, "c": 3.0}
    made = build(cfg.loss, dim=5, labels=[1], unwanted=3)
    assert (made.dim, made.labels, made.sizes, made.top, made.inner.weight.item()) == (5, [1], [3], float("inf"), 1.0)
    assert type(made.sizes) is list
    assert type(made.weights) is dict
    text = refused(
        conf,
        "loss=mine",
        "loss.sizes=[a]",
        "loss.weights={a: b}",
        "loss.limit=1.5",
        "loss.form=sof",
        "loss.inner.init=x",
        "loss.untyped=y",
    )
    assert "6 reasons" in text
    for part in (
        "loss.sizes[0] must be a whole",
        "loss.weights.a must",
        "loss.limit must",
        "did you mean soft?",
        "loss.inner.init",
        "loss.untyped",
    ):
        assert part in text


def test_options_list_every_parameter(conf: Path) -> None:
    text = refused(conf, "loss=partial")
    assert "loss.top is missing: an option lists every parameter of its target Mine" in text
    assert "dim" not in text  # given by build
    assert "labels" not in text


def test_plus_reaches_the_targets_own_parameters(conf: Path) -> None:
    assert compose(["+optimizer.amsgrad=true"], root=conf).optimizer.amsgrad is True
    assert "must be true or false" in refused(conf, "+optimizer.amsgrad=often")


def test_own_options(conf: Path, tmp_path: Path) -> None:
    own = tmp_path / "own, of mine"
    (own / "loss").mkdir(parents=True)
    (own / "loss" / "elu.yaml").write_text("# Mine.\n_target_: torch.nn.ELU\nalpha: 1.0\ninplace: false\n")
    assert compose(["loss=elu", "loss.alpha=2"], [own], root=conf).loss.alpha == 2.0
    assert "elu" in option_names("loss", [conf, own])
    with pytest.raises(LabError, match="--config-dir needs a folder"):
        compose([], [own / "nowhere"], root=conf)


def test_checked_for_a_config_that_hydra_main_composed(conf: Path) -> None:
    with pytest.raises(LabError, match="no key sead: did you mean seed"):
        check_composed(OmegaConf.create({"sead": 3}))
    assert check_composed(OmegaConf.create({"seed": 3})).seed == 3


def test_groups(conf: Path) -> None:
    assert group_names([conf]) == ["distance", "experiment", "loss", "optimizer", "protocol"]


def test_hash_knows_values_not_spelling(conf: Path) -> None:
    def of(*words: str, fingerprint: str = "d") -> str:
        return resolved_hash(compose(words, root=conf), fingerprint)

    plain = of()
    assert len(plain) == 12
    assert of("optimizer.lr=1e-3") == of("optimizer.lr=0.001") != plain
    assert of("loss=huber", "loss.delta=1") == of("loss=huber", "loss.delta=1.0") == of("loss=huber")
    assert of("seed=1") != plain
    assert of(fingerprint="e") != plain
    assert of("study=other", "name=x", "trainer.max_time=3", "trainer.progress=false") == plain
    assert of("trainer.precision=32-true") != plain  # auto is kept as asked


def test_hash_ignores_the_order_of_keys_and_where_the_data_lie() -> None:
    a = OmegaConf.create({"data": {"root": "/a", "size": 28}, "loss": {"x": 1e-3, "y": [1, 2]}})
    b = OmegaConf.create({"loss": {"y": [1, 2], "x": 0.001}, "data": {"size": 28, "root": "/b"}})
    assert resolved_hash(a) == resolved_hash(b)
    b.loss.y = [2, 1]
    assert resolved_hash(a) != resolved_hash(b)


@pytest.mark.parametrize(
    "text", ["[1, 2]", "a: ${b}", "a: [", "a: 1\na: 2", "x: !!python/object/apply:os.system [ls]", "\x00"]
)
def test_read_refuses_what_is_no_resolved_config(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(LabError, match=r"config\.yaml"):
        read_config(tmp_path / "config.yaml")


def test_read(tmp_path: Path) -> None:
    cfg = compose([])
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(cfg))
    again = read_config(tmp_path / "config.yaml")
    assert again == cfg
    assert resolved_hash(again) == resolved_hash(cfg)
    with pytest.raises(LabError, match="cannot read"):
        read_config(tmp_path / "nothing.yaml")
    (tmp_path / "config.yaml").write_text("seed: 3")
    with pytest.raises(LabError, match="no config of a run: it lacks data, augment"):
        read_config(tmp_path / "config.yaml")
