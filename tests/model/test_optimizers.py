"""Groups of parameters and the run of the learning rate."""

import math

import pytest
import torch
from torch import nn

from siamese_lab.model.optimizers import parameter_groups, schedule


@pytest.fixture
def module():
    backbone = nn.ModuleDict({"trunk": nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3)), "head": nn.Linear(3, 2)})
    return nn.ModuleDict({"backbone": backbone, "loss": nn.Linear(1, 1)})


def names(module, groups):
    by_id = {id(p): name for name, p in module.named_parameters()}
    return [[by_id[id(p)] for p in group["params"]] for group in groups]


def test_without_groups_all_are_trained_alike(module):
    groups = parameter_groups(module, [])
    assert names(module, groups) == [[name for name, _ in module.named_parameters()]]


def test_the_first_pattern_that_matches_takes_a_parameter(module):
    asked = [{"match": "*.bias", "weight_decay": 0.0}, {"match": "backbone.trunk.*", "lr": 1e-4}]
    groups = parameter_groups(module, asked)
    assert names(module, groups) == [
        ["backbone.trunk.0.bias", "backbone.trunk.1.bias", "backbone.head.bias", "loss.bias"],
        ["backbone.trunk.0.weight", "backbone.trunk.1.weight"],
        ["backbone.head.weight", "loss.weight"],
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.5, weight_decay=0.25)
    assert [(g["lr"], g["weight_decay"]) for g in optimizer.param_groups] == [(0.5, 0.0), (1e-4, 0.25), (0.5, 0.25)]
    assert asked[0] == {"match": "*.bias", "weight_decay": 0.0}  # left as it was


def test_all_parameters_may_be_matched(module):
    assert [len(group["params"]) for group in parameter_groups(module, [{"match": "*"}])] == [8]


def test_frozen_parameters_are_not_trained(module):
    module["backbone"]["trunk"].requires_grad_(False)
    assert [len(group["params"]) for group in parameter_groups(module, [])] == [4]
    with pytest.raises(ValueError, match=r"'backbone\.trunk\.\*' matches no parameter that is trained"):
        parameter_groups(module, [{"match": "backbone.trunk.*"}])


@pytest.mark.parametrize(
    "groups", [[{"match": "backbone.trnk.*"}], [{"match": "backbone.*"}, {"match": "backbone.head.*"}]]
)
def test_a_pattern_that_matches_nothing_is_an_error(module, groups):
    with pytest.raises(
        ValueError,
        match=r"'backbone\.(trnk|head)\.\*' matches no parameter .*there are e\.g\. (backbone\.trunk\.0|loss)\.",
    ):
        parameter_groups(module, groups)


def test_a_group_needs_its_pattern(module):
    with pytest.raises(ValueError, match="needs a key match"):
        parameter_groups(module, [{"lr": 0.1}])


def rates(name, warmup, steps):
    parameters = [{"params": [nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (2.0, 0.5)]
    optimizer = torch.optim.SGD(parameters)
    scheduler = schedule(optimizer, name, warmup, steps)
    seen = []
    for _ in range(steps):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return seen, [group["lr"] for group in optimizer.param_groups]


@pytest.mark.parametrize("warmup", [0.0, 0.2, 0.25])
def test_cosine(warmup):
    seen, after = rates("cosine", warmup, 20)
    rising = round(20 * warmup)
    expected = [(i + 1) / rising for i in range(rising)]
    expected += [0.5 * (1 + math.cos(math.pi * i / (20 - rising))) for i in range(20 - rising)]
    assert [rate for rate, _ in seen] == pytest.approx([2.0 * factor for factor in expected])
    assert [rate for _, rate in seen] == pytest.approx([0.5 * factor for factor in expected])  # groups keep their ratio
    assert max(seen)[0] == pytest.approx(2.0)
    assert after == pytest.approx([0.0, 0.0])


def test_constant():
    seen, after = rates("constant", 0.3, 10)
    assert [rate for rate, _ in seen] == pytest.approx([2 / 3, 4 / 3] + [2.0] * 8)
    assert after == pytest.approx([2.0, 0.5])


@pytest.mark.parametrize(
    ("name", "warmup", "message"),
    [("step", 0.0, "schedule.name"), ("cosine", 1.0, "warmup"), ("cosine", math.nan, "warmup")],
)
def test_bad_schedules_are_refused(name, warmup, message):
    with pytest.raises(ValueError, match=message):
        schedule(torch.optim.SGD([nn.Parameter(torch.zeros(1))]), name, warmup, 10)
