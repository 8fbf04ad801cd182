"""N-way K-shot recognition: each query is given the class of the nearest support images."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from siamese_lab.core.checks import require_choice
from siamese_lab.core.errors import LabError
from siamese_lab.metrics.leave_one_out import with_interval
from siamese_lab.metrics.tiles import finite_embeddings
from siamese_lab.statistics.influence import Figure
from siamese_lab.structures.embedded_set import EmbeddedSet
from siamese_lab.structures.samples import Episodes

ENTRIES = 1 << 24  # components of embeddings gathered at once: 64 MB of float32 on each side

Compare = Literal["nearest", "mean"]


class Confusion(NamedTuple):
    """What the queries of T trials were taken for, by sample.

    Args:
        query_ids: (T,) sample ids of the queries.
        answer_ids: (T,) sample ids of the support images that they were taken for.
        wrong: (T,) bool, whether the trial was answered wrongly.
    """

    query_ids: Tensor
    answer_ids: Tensor
    wrong: Tensor


@dataclass(frozen=True)
class QueryOutcomes:
    """What the queries of T = E x Q trials were taken for, by row. All on the CPU.

    Args:
        wrong: (T,) bool, whether the trial was answered wrongly.
        label: (T,) the query's label.
        blocker: (T,) the label of the one class that makes the trial wrong; -1 where there is none or several.
        query_row: (T,) the query's row.
        answer_row: (T,) the row of the support image that the query was taken for: of the nearest class, or, where
            another class is as near as its own, of that one.
    """

    wrong: Tensor
    label: Tensor
    blocker: Tensor
    query_row: Tensor
    answer_row: Tensor


@torch.no_grad()
def classify_queries(embedded: EmbeddedSet, episodes: Episodes, compare: Compare) -> QueryOutcomes:
    """Classifies every query alone. It is right only if its own class is strictly nearer than every other one.

    Args:
        embedded: the embeddings; rows are compared by `pairwise`, since those of an episode lie anywhere.
        episodes: over rows of them.
        compare: the distance to a class is that to the `nearest` of its shots, or the `mean` over its shots.

    Raises:
        LabError: if a support set holds its own query.
    """
    z = finite_embeddings(embedded)
    support, query, truth = (x.to(z.device) for x in episodes[:3])
    labels = embedded.labels.to(z.device)
    way, shot, per = *support.shape[1:], query.shape[1]
    step = max(1, ENTRIES // (per * way * shot * z.shape[1]))
    wrong, blocker, taken = [], [], []
    for s, q, t in zip(support.split(step), query.split(step), truth.split(step), strict=True):
        if (s.flatten(1)[:, None] == q[..., None]).any():
            raise LabError(
                "a support set holds one of its own queries, which any model would recognise: correct the trials"
            )
        pair = (len(s), per, way * shot)
        left, right = q[..., None].expand(pair).flatten(), s.flatten(1)[:, None].expand(pair).flatten()
        shots = embedded.distance.pairwise(z[left], z[right]).view(len(s), per, way, shot)
        d = shots.amin(-1) if compare == "nearest" else shots.mean(-1)  # (e, Q, way)
        own = d.gather(2, t[..., None])
        before = (~(d > own)).scatter(2, t[..., None], False)  # the other classes that are not strictly farther
        blockers = before.sum(2)
        first = labels[s[..., 0]].gather(1, before.int().argmax(2))  # (e, Q)
        wrong.append((blockers > 0).flatten().cpu())
        blocker.append(torch.where(blockers == 1, first, -1).flatten().cpu())
        other = d.scatter(2, t[..., None], torch.inf).argmin(2)
        nearest = torch.where(blockers > 0, other, t)  # (e, Q) the class that is answered
        of_it = nearest[..., None, None].expand(-1, -1, 1, shot)
        one = shots.gather(2, of_it).argmin(3)  # (e, Q, 1) its nearest shot
        taken.append(s.gather(1, of_it[:, :, 0]).gather(2, one).flatten().cpu())
    asked = query.flatten().cpu()
    return QueryOutcomes(torch.cat(wrong), labels[query].flatten().cpu(), torch.cat(blocker), asked, torch.cat(taken))


def recognition_error(
    embedded: EmbeddedSet, episodes: Episodes, compare: Compare, *, intervals: bool, independent: bool
) -> Figure:
    """The share of wrong trials, in [0, 1]; with `intervals`, its influences and interval too.

    Leaving an identity out removes the trials with its queries and corrects those that it alone made wrong.

    Args:
        embedded: the embeddings.
        episodes: what is evaluated.
        compare: see `classify_queries`.
        intervals: also the influences and the interval.
        independent: whether the trials are taken as independent, for Wilson's interval where errors are few.
    """
    seen = classify_queries(embedded, episodes, compare)
    trials = len(seen.wrong)
    value = float(seen.wrong.double().mean())
    figure = Figure(value, n=trials, better="low")
    if not intervals:
        return figure
    classes = len(embedded.classes)
    there = torch.zeros(classes, dtype=torch.bool)
    there[embedded.labels.cpu()[episodes.support.flatten().cpu()]] = True
    there[seen.label] = True
    asked = torch.bincount(seen.label, minlength=classes)
    missed = torch.bincount(seen.label[seen.wrong], minlength=classes)
    freed = torch.bincount(seen.blocker[seen.blocker >= 0], minlength=classes)
    without = ((missed.sum() - missed - freed).double() / (trials - asked).double())[there]
    names = [embedded.classes[c] for c in there.nonzero().flatten().tolist()]
    erring = min(int((missed > 0).sum()), int((missed < asked).sum()))
    return with_interval(figure, without, names, erring, trials if independent else None)


def check_compare(compare: Compare) -> Compare:
    """`compare` itself; raises a ValueError if it is neither "nearest" nor "mean"."""
    require_choice("compare", compare, ("nearest", "mean"), "how the shots of a class make one distance")
    return compare
