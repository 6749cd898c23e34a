"""What a process keeps across config reloads: queues, conversations, limits, and what the ledger says."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from breakeven.gateway.accounting.estimates import TokenRatios
from breakeven.gateway.ledger.keeping import Prompt, Waiting
from breakeven.gateway.limits.rate_limits import Quotas
from breakeven.gateway.policy.active import Policies
from breakeven.gateway.road.candidate import Experiment
from breakeven.gateway.runtime.comparison_queue import ComparisonQueue
from breakeven.gateway.runtime.owners import Owners
from breakeven.gateway.runtime.response_affinity import ResponseAffinity
from breakeven.gateway.runtime.stored_responses import StoredResponses
from breakeven.gateway.runtime.text_queue import TextQueue
from breakeven.gateway.runtime.units import Units
from breakeven.gateway.runtime.unknown_workloads import UnknownWorkloads
from breakeven.gateway.upstreams.upstream import Upstream
from breakeven.router.sticky import Assessments, Conversations

if TYPE_CHECKING:
    from breakeven.gateway.observability.spans import Spans


@dataclass
class State:
    """State that is kept across config reloads."""

    # Those of the config in force, which the metrics export.
    policies: Policies
    quotas: Quotas
    # What waits to be stored: (request, microseconds since the epoch, text), and conversations with answers to them.
    prompts: TextQueue[Prompt]
    kept: TextQueue[Waiting]
    unknown_workloads: UnknownWorkloads
    # Whose stored responses, their items and conversations are.
    owners: Owners
    draining: bool = False
    # Set once running requests are aborted, so that their tasks know the cancellation comes from the shutdown.
    aborting: bool = False
    running: set[asyncio.Task[None]] = field(default_factory=set)
    # Requests whose clients are served, and whose unreported tokens are being counted.
    counting: set[asyncio.Task[None]] = field(default_factory=set)
    config_faults: tuple[str, ...] = ()
    conversations: Conversations = field(default_factory=Conversations)
    assessments: Assessments = field(default_factory=Assessments)
    # The upstreams of the config in force by label, whose state the metrics export.
    exported_upstreams: dict[str, Upstream] = field(default_factory=dict)
    responses: ResponseAffinity = field(default_factory=ResponseAffinity)
    # What is noted of them in a file, and what waits for the usage of those that are made in the background.
    stored: StoredResponses = field(default_factory=StoredResponses)
    # What records the spans of requests; None where traces are off.
    spans: Spans | None = None
    # Tokens per event and per counted token at each upstream, by label, to estimate those that it does not report.
    token_ratios: defaultdict[str, TokenRatios] = field(default_factory=lambda: defaultdict(TokenRatios))
    # The stage of each workload, and what decides its requests then.
    units: Units = field(default_factory=Units)
    # What became of the candidate for the next student.
    experiment: Experiment = field(default_factory=Experiment)
    # Requests whose answers are to be compared with the other upstream's.
    drawn: ComparisonQueue = field(default_factory=ComparisonQueue)

    def abort(self) -> None:
        """Cancel all running requests; each answers its client with 503, or ends its stream with an error event."""
        self.aborting = True
        for task in self.running:
            task.cancel()
