"""Every loss with every miner, sampling and distance: it trains, or it is refused with a word on what fits."""

import itertools
import re
from functools import cache

import pytest
import torch

from siamese_lab.config.compatibility import fitting, refuse_misfits
from siamese_lab.config.groups import option_names
from siamese_lab.core.errors import LabError
from siamese_lab.structures.embedded import Embedded
from tests._parts import batch_of

GROUPS = ("loss", "miner", "sampling", "distance")
LABELS = torch.arange(8).repeat_interleave(6)


@pytest.fixture(scope="module")
def parts(make):
    """Each option of the four groups, built once."""
    torch.manual_seed(0)
    given = {"labels": LABELS, "dim": 3, "classes": 8}
    return {
        (group, name): make(group, name, given, **(batch_of(name, 24) | {"steps": 3} if group == "sampling" else {}))
        for group in GROUPS
        for name in option_names(group)
    }


@pytest.fixture(scope="module")
def refusal(parts):
    """Why a combination, a name for each group, is refused; None if it is not."""

    @cache
    def reason(*names):
        try:
            refuse_misfits(*(parts[part] for part in zip(GROUPS, names, strict=True)))
        except LabError as error:
            return str(error)
        return None

    return reason


@pytest.fixture(scope="module")
def combinations(own_distance):
    """Each loss with every miner and sampling at its own distance, and with every distance."""
    found = {(*names, own_distance(names[0])) for names in itertools.product(*map(option_names, GROUPS[:3]))}
    return sorted(found | set(itertools.product(option_names("loss"), ["all"], ["pk"], option_names("distance"))))


@pytest.mark.parametrize("loss", option_names("loss"))
def test_what_is_allowed_has_a_gradient(parts, refusal, combinations, loss):
    z = torch.randn(48, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    allowed = [names for names in combinations if names[0] == loss and refusal(*names) is None]
    assert allowed
    for names in allowed:
        _, miner, sampling, distance = (parts[part] for part in zip(GROUPS, names, strict=True))
        table = sampling.mine(z.detach(), distance) if hasattr(sampling, "mine") else None
        for ids, tuples in sampling.batches(1, table):
            e = Embedded(z[ids], LABELS[ids], ids, distance=distance)
            value, _ = parts["loss", loss](e, tuples if tuples is not None else miner(e))
            (gradient,) = torch.autograd.grad(value, z)
            assert value.isfinite(), names
            assert gradient.isfinite().all(), names
            assert gradient.abs().sum() > 0, names


def test_what_is_refused_names_what_fits(parts, refusal, combinations):
    refused = [names for names in combinations if refusal(*names)]
    assert refused

    def mended(names):
        named = re.findall(rf"({'|'.join(GROUPS)})=(\w+)", refusal(*names) or "")
        assert set(named) <= set(parts), refusal(*names)
        return [
            tuple(name if group == wanted else old for group, old in zip(GROUPS, names, strict=True))
            for wanted, name in named
        ]

    for names in refused:
        first = mended(names)
        # each is a way out of this misfit
        assert all(refusal(*changed) != refusal(*names) for changed in first), (
            names,
            refusal(*names),
        )
        if any(refusal(*changed) is None for changed in first):
            continue
        # a triplet loss, a miner of pairs and a sampling of episodes: two misfits, the second is told of when the first
        # is mended
        assert any(refusal(*again) is None for changed in first for again in mended(changed)), (names, refusal(*names))


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            ("triplet", "batch_hard", "random_pairs", "euclidean"),
            ["nothing left to mine for BatchHard", "miner=all", "sampling=pk"],
        ),
        (
            ("supcon", "semi_hard", "pk", "cosine"),
            ["SupConLoss", "miner=all", "loss=bce", "loss=contrastive", "loss=triplet"],
        ),
        (
            ("triplet", "all", "hard_pairs", "euclidean"),
            ["consumes triplets", "sampling=hard_triplets, sampling=hard_window", "sampling=pk", "loss=contrastive"],
        ),
        (
            ("contrastive", "all", "pk", "weighted_l1"),
            ["WeightedL1 may turn negative", "distance=cosine, distance=euclidean"],
        ),
    ],
)
def test_messages(refusal, names, words):
    message = refusal(*names)
    assert message is not None
    assert all(word in message for word in words), message


@pytest.mark.parametrize("loss", option_names("loss"))
def test_every_loss_runs_with_no_other_override(refusal, loss, own_distance):
    assert refusal(loss, "all", "pk", own_distance(loss)) is None


def test_what_goes_together(refusal, combinations):
    pairs, triplets = ["random_pairs", "hard_pairs", "lap_pairs"], ["random_triplets", "hard_triplets", "hard_window"]
    labels = ["pk", "hierarchical", "balanced"]
    miners = ["batch_hard", "semi_hard", "easy_positive", "angular", "distance_weighted", "rank_window"]
    expected = {(loss, "all", sampling) for loss in ("contrastive", "triplet", "bce", "supcon") for sampling in labels}
    expected |= {
        (loss, miner, sampling) for loss in ("contrastive", "triplet", "bce") for miner in miners for sampling in labels
    }
    expected |= {(loss, "multi_similarity", sampling) for loss in ("contrastive", "bce") for sampling in labels}
    expected |= {("supcon", "all", "episodes")}
    expected |= {(loss, "all", sampling) for loss in ("contrastive", "bce", "supcon") for sampling in pairs + triplets}
    expected |= {("triplet", "all", sampling) for sampling in triplets}
    known = [{names[place] for names in expected} for place in range(3)]  # a loss and a miner may bear one name
    allowed = {names[:3] for names in combinations if refusal(*names) is None}
    assert {
        names for names in allowed if all(name in there for name, there in zip(names, known, strict=True))
    } == expected


def test_fitting_lists_options_as_they_are_written():
    assert fitting("distance", lambda one: one.high == 2) == "distance=cosine"
    assert fitting("miner", lambda one: one.produces == "pairs") == "miner=multi_similarity"
    assert (
        fitting("sampling", lambda one: one.produces == "pairs")
        == "sampling=hard_pairs, sampling=lap_pairs, sampling=random_pairs"
    )
