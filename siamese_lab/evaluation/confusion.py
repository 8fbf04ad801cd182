"""What the queries of one-shot recognition were taken for, with the images behind it."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from siamese_lab.evaluation.evaluator import embed_trials, trials_name
from siamese_lab.metrics.recognition import Confusion, QueryOutcomes
from siamese_lab.model.twin import Twin
from siamese_lab.structures.contracts import EvaluationProtocol
from siamese_lab.structures.embedded_set import EmbeddedSet
from siamese_lab.structures.samples import Samples


@runtime_checkable
class Recognises(Protocol):
    """A protocol of N-way recognition: it gives each query one class."""

    def classify_queries(self, embedded: EmbeddedSet) -> QueryOutcomes:
        """What each query was taken for."""


def confusions(
    twin: Twin,
    samples: Samples,
    part: str,
    protocols: Mapping[str, EvaluationProtocol],
    batch_size: int,
    seen: EmbeddedSet | None,
) -> dict[str, Confusion]:
    """By protocol, for those that recognise; the publisher's trials belong to the test part.

    Args:
        twin: the twin encoder.
        samples: the data set.
        part: "val" or "test".
        protocols: by name.
        batch_size: images embedded at once.
        seen: the part, evaluated; None where there is none.
    """
    by_protocol = {}
    for name, protocol in protocols.items():
        if not isinstance(protocol, Recognises):
            continue
        given = trials_name(protocol)
        if given is None and seen is not None:
            ids, embedded = samples.ids(part), seen
        elif given is not None and part == "test":
            ids, embedded = embed_trials(twin, samples, given, batch_size)
        else:
            continue
        found = protocol.classify_queries(embedded)
        by_protocol[name] = Confusion(ids[found.query_row], ids[found.answer_row], found.wrong)
    return by_protocol
