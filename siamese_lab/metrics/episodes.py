"""Draws N-way K-shot episodes from labels, for evaluation and for training."""

import torch
from torch import Tensor

from siamese_lab.core.checks import require_at_least
from siamese_lab.core.errors import LabError
from siamese_lab.structures.samples import Episodes

ENTRIES = 1 << 24  # random numbers drawn at once: 64 MB


def draw_episodes(
    labels: Tensor,
    episodes: int,
    way: int,
    shot: int,
    queries: int,
    generator: torch.Generator,
    groups: tuple[Tensor, tuple[str, ...]] | None = None,
) -> Episodes:
    """Draws episodes of `way` classes with `shot` support images and `queries` query images each.

    Classes are drawn without replacement, uniformly over those with enough images; images without replacement, so that
    no support set holds a query. With `groups`, each episode lies within one group, drawn uniformly over those with
    enough classes.

    Args:
        labels: (N,) class of each row; rows of a class that lie in different groups are different classes.
        episodes: E.
        way, shot, queries: classes in an episode, support and query images of each class, >= 1.
        generator: on the CPU.
        groups: (codes (N,), names), or None to draw across all classes.

    Returns:
        Episodes over the rows, on the CPU: support (E, way, shot), query and truth (E, way * queries), named by their
        group.

    Raises:
        LabError: if no group (or the whole) has `way` classes with `shot + queries` images.
    """
    labels = labels.cpu()
    codes, names = (groups[0].cpu(), groups[1]) if groups is not None else (torch.zeros_like(labels), ("across",))
    need = shot + queries  # rows of each class
    unit, order = (codes * (int(labels.max()) + 1 if len(labels) else 1) + labels).sort(stable=True)
    _, sizes = unit.unique_consecutive(return_counts=True)
    start = sizes.cumsum(0) - sizes
    rich = sizes >= need
    start, sizes = start[rich], sizes[rich]  # (U,) classes with enough images
    group = codes[order[start]]
    per_group = torch.bincount(group, minlength=len(names))
    usable = (per_group >= way).nonzero().flatten()
    if not len(usable):
        best, where = int(per_group.max()) if len(per_group) else 0, "" if groups is None else " in any one group"
        hint = "" if groups is None else ", or draw across groups (within=null)"
        raise LabError(
            f"{way}-way {shot}-shot episodes need {way} classes with {need} images each ({shot} shot + {queries} "
            f"queries){where}, but there are at most {best}: lower way, shot or queries{hint}"
        )
    widest = int(sizes.max())
    step = max(1, ENTRIES // (len(sizes) + way * widest))
    support, query, home = [], [], []
    for first in range(0, episodes, step):
        count = min(step, episodes - first)
        chosen = usable[torch.randint(len(usable), (count,), generator=generator)]  # (e,)
        score = torch.rand(count, len(sizes), generator=generator).masked_fill_(group != chosen[:, None], -1.0)
        classes = score.topk(way).indices  # (e, way)
        score = torch.rand(count, way, widest, generator=generator)
        score.masked_fill_(torch.arange(widest) >= sizes[classes][..., None], -1.0)
        rows = order[start[classes][..., None] + score.topk(need).indices]  # (e, way, shot + queries)
        support.append(rows[..., :shot])
        query.append(rows[..., shot:].reshape(count, -1))
        home.append(chosen)
    truth = torch.arange(way).repeat_interleave(queries).repeat(episodes, 1)
    return Episodes(torch.cat(support), torch.cat(query), truth, tuple(names[g] for g in torch.cat(home).tolist()))


def check_episode_sizes(way: int, shot: int, queries: int, episodes: int) -> None:
    """Raises a ValueError if way is below 2, or another below 1."""
    require_at_least("way", way, 2, "among fewer classes there is nothing to choose")
    require_at_least("shot", shot, 1, "it is the number of support images of a class")
    require_at_least("queries", queries, 1, "it is the number of query images of a class")
    require_at_least("episodes", episodes, 1, "it is the number that is drawn")
