"""Embeds a part of a data set and has the protocols evaluate it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from siamese_lab.core.errors import LabError
from siamese_lab.distances.euclidean import Euclidean
from siamese_lab.distributed import collectives
from siamese_lab.model.twin import Twin
from siamese_lab.statistics.influence import Figure
from siamese_lab.structures.contracts import EvaluationProtocol, GivenEpisodes
from siamese_lab.structures.embedded_set import EmbeddedSet
from siamese_lab.structures.samples import Samples

Chosen = dict[str, dict[str, float]]  # protocol -> what it chose on validation, e.g. a threshold


@torch.no_grad()
def embed_ids(twin: Twin, samples: Samples, ids: Tensor, batch_size: int) -> Tensor:
    """Embeddings (n, D) of the samples `ids` (n,), on the twin's device.

    Of W processes each embeds every W-th chunk, and all receive all of them. The chunks are those of one process, so
    are the results.
    """
    collectives.broadcast_buffers(twin)
    rank, world = collectives.rank(), collectives.world()
    chunks = ids.split(batch_size)
    mine = [twin.embed(samples.gather(chunk).to(twin.device)) for chunk in chunks[rank::world]]
    if world == 1:
        return torch.cat(mine)
    shape = (len(chunks), batch_size, twin.dim)
    z = torch.zeros(shape, dtype=torch.promote_types(twin.dtype, torch.float32), device=twin.device)
    for place, chunk_z in zip(z[rank::world], mine, strict=True):
        place[: len(chunk_z)] = chunk_z
    return collectives.all_reduce_sum(z).flatten(0, 1)[: len(ids)]  # only the last chunk is short


def embed_part(twin: Twin, samples: Samples, ids: Tensor, batch_size: int) -> EmbeddedSet:
    """What the protocols are given of the samples `ids` (n,), `batch_size` images embedded at once."""
    device = twin.device
    labels = samples.labels[ids]
    groups = {name: (codes[ids].to(device), names) for name, (codes, names) in samples.groups.items()}
    return EmbeddedSet(
        z=embed_ids(twin, samples, ids, batch_size),
        labels=labels.to(device),
        classes=samples.classes,
        distance=twin.distance,
        groups=groups,
    )


def embed_trials(twin: Twin, samples: Samples, trials: str, batch_size: int) -> tuple[Tensor, EmbeddedSet]:
    """The images of the publisher's episodes called `trials`: their ids (n,), ascending, and their embeddings.

    The embeddings come with the episodes, over rows of them.
    """
    episodes = samples.trials[trials]
    ids = torch.cat([episodes.support.flatten(), episodes.query.flatten()]).unique()
    over_rows = episodes._replace(
        support=torch.searchsorted(ids, episodes.support).to(twin.device),
        query=torch.searchsorted(ids, episodes.query).to(twin.device),
        truth=episodes.truth.to(twin.device),
    )
    return ids, replace(embed_part(twin, samples, ids, batch_size), trials={trials: over_rows})


def choose(
    twin: Twin,
    samples: Samples,
    protocols: Mapping[str, EvaluationProtocol],
    batch_size: int,
    *,
    seen: EmbeddedSet | None = None,
) -> Chosen:
    """What each protocol chooses on the validation part; nothing where the data have none.

    Args:
        twin: the twin encoder.
        samples: the data set.
        protocols: by name. Those that evaluate the publisher's trials choose nothing.
        batch_size: images embedded at once.
        seen: the validation part as `embed_part` returns it, where it is embedded already.
    """
    ids = samples.ids("val")
    if len(ids) == 0:
        return {}
    seen = seen if seen is not None else embed_part(twin, samples, ids, batch_size)
    return {name: protocol.choose(seen) for name, protocol in protocols.items() if trials_name(protocol) is None}


def evaluate_part(
    twin: Twin,
    samples: Samples,
    part: str,
    protocols: Mapping[str, EvaluationProtocol],
    chosen: Chosen,
    batch_size: int,
    *,
    influences: bool = True,
    seen: EmbeddedSet | None = None,
) -> dict[str, Figure]:
    """All figures of a part, named "<protocol>/<figure>". The publisher's trials belong to the test part.

    Args:
        twin: the twin encoder.
        samples: the data set.
        part: "val" or "test".
        protocols: by name, in the config's order.
        chosen: by protocol, on validation.
        batch_size: images embedded at once.
        influences: also the influences and intervals, which take longer.
        seen: the part as `embed_part` returns it, where it is embedded already.
    """
    plain = {name: protocol for name, protocol in protocols.items() if trials_name(protocol) is None}
    figures = {}
    if plain and len(samples.ids(part)):
        whole = seen if seen is not None else embed_part(twin, samples, samples.ids(part), batch_size)
        for name, protocol in plain.items():
            for key, figure in protocol.evaluate(whole, chosen.get(name, {}), influences=influences).items():
                figures[f"{name}/{key}"] = figure
    if part == "test":
        for name, protocol in protocols.items():
            given = trials_name(protocol)
            if given is not None:
                _, whole = embed_trials(twin, samples, given, batch_size)
                for key, figure in protocol.evaluate(whole, {}, influences=influences).items():
                    figures[f"{name}/{key}"] = figure
    return figures


def refuse_unfit(
    samples: Samples, protocols: Mapping[str, EvaluationProtocol], parts: Sequence[str] = ("val", "test")
) -> None:
    """Refuses data that a protocol cannot evaluate, before anything is trained or embedded.

    Raises:
        LabError: naming the protocol, the part, and what to change.
    """
    for name, protocol in protocols.items():
        given = trials_name(protocol)
        for part in parts if given is None else ("test",):
            ids = samples.ids(part)
            if given is None and not len(ids):
                continue
            groups = {group: (codes[ids], names) for group, (codes, names) in samples.groups.items()}
            unseen = EmbeddedSet(
                torch.zeros(len(ids), 1),
                samples.labels[ids],
                samples.classes,
                Euclidean(),
                groups,
                samples.trials,
            )
            try:
                protocol.fits(unseen)
            except LabError as error:
                raise LabError(f"protocol {name} cannot evaluate the {part} part: {error}") from error


def trials_name(protocol: EvaluationProtocol) -> str | None:
    """The name of the publisher's episodes that a protocol evaluates; None for one that evaluates a part."""
    return protocol.trials if isinstance(protocol, GivenEpisodes) else None
