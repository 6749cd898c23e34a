"""The pydantic models of breakeven.yaml: unknown keys are errors, and names contain their unit.

Instances come from `load.load_config`. Values of environment variables are read only when needed and are never part of
a model, so that no dump of the config contains a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr, model_validator

from breakeven.gateway.config.access import WORKLOAD, Admin, Auth
from breakeven.gateway.config.hosting import HostingObserved
from breakeven.gateway.config.log import Log
from breakeven.gateway.config.models import CHAT, ModelSettings, check_names
from breakeven.gateway.config.road import Road
from breakeven.gateway.config.routing import Routing
from breakeven.gateway.config.server import Server
from breakeven.gateway.config.student import Candidate, Student
from breakeven.gateway.config.teacher import Teacher
from breakeven.gateway.config.tracing import Tracing
from breakeven.gateway.config.types import Moment, Section, Usd
from breakeven.gateway.config.upstream import MESSAGES, Upstream
from breakeven.router.policy import Route


class FurtherModel(ModelSettings, Upstream):
    """An upstream whose model clients name, and that is never routed to."""

    # Embeddings and images have long ones.
    max_answer_bytes: int = Field(
        33_554_432, ge=1024, description="Longest answer in JSON, decompressed; a longer one is a failure."
    )
    messages: Literal["native", "translate", "auto"] = Field(
        "translate", description=f"{MESSAGES} Where `paths` has `/messages`, the default is `native`."
    )


class Economics(Section):
    investment_usd: Usd = Field(Decimal("0"), description="One-time cost of distilling the student, in USD.")
    hosting_since: Moment | None = Field(
        None, description="Time from which hosting is paid for; null: the first use of this ledger."
    )


class LedgerConfig(Section):
    url: str = Field("sqlite:///breakeven.db", description="SQLAlchemy URL; a SQLite path is relative to this file.")
    keep_days: int | None = Field(
        None,
        ge=1,
        le=36_500,
        description="Days to keep single requests, whose hourly sums are kept forever; null: no limit.",
    )
    keep_hours: int | None = Field(
        None,
        ge=1,
        le=876_000,
        description="The same in hours, for many requests: they are deleted an hour at a time, so that between "
        "this and an hour more of them is kept.",
    )
    store_prompts: bool = Field(
        False, description="Store the text that the router read of each request, for `breakeven train --from-ledger`."
    )
    store_conversations: bool = Field(
        False,
        description="Store the conversations of routed requests with their answers, for `breakeven distill harvest`, "
        "and both answers of each comparison, for `breakeven road audit`.",
    )
    redact: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="Your own function as `module:function`, which gets each text that is to be stored and returns it "
        "without personal data; null: texts are stored as they came.",
    )
    keep_prompts_days: int = Field(30, ge=1, le=36_500, description="Days to keep stored prompts and conversations.")
    journal: str | None = Field(
        None,
        description="Folder of the journal of records not yet stored; null: beside the SQLite file, or this file.",
    )

    @model_validator(mode="after")
    def _kept_for_one_time(self) -> LedgerConfig:
        if self.keep_days is not None and self.keep_hours is not None:
            raise ValueError("keep_hours: stands in place of keep_days; remove one of them")
        return self

    @property
    def hours_kept(self) -> int | None:
        """How many hours single requests are kept; None: forever."""
        return self.keep_hours if self.keep_days is None else self.keep_days * 24


class Config(Section):
    """A whole breakeven.yaml, validated. Its sections are described by its fields."""

    server: Server = Field(Server(), description="The gateway's HTTP server.")
    student: Student | None = Field(
        None,
        description="The self-hosted distilled model on vLLM; without it everything goes to the teacher, and is "
        "recorded and accounted.",
    )
    candidate: Candidate | None = Field(
        None,
        description="What may become the next student, with the keys of `student`: compared with it on the same "
        "requests, and promoted or dropped by what that shows.",
    )
    teacher: Teacher = Field(description="The API that the student was distilled from.")
    models: list[FurtherModel] = Field(
        [],
        max_length=64,
        description="Further upstreams by the name of their model, such as one for embeddings: passed through and "
        "accounted, never routed.",
    )
    routing: Routing = Field(Routing(), description="How the upstream of a request is chosen.")
    economics: Economics = Field(Economics(), description="Investment and start of hosting.")
    ledger: LedgerConfig = Field(LedgerConfig(), description="The database of usage and cost.")
    road: Road = Field(Road(), description="Comparing the student with the teacher, and handing traffic over.")
    auth: Auth = Field(Auth(), description="Authentication of clients.")
    workloads: list[Annotated[str, Field(pattern=WORKLOAD)]] = Field(
        [],
        max_length=64,
        description="Names of workloads that requests can give in `x-breakeven-workload`, beside those of auth.keys; "
        "savings are reported by workload.",
    )
    admin: Admin = Field(Admin(), description="Authentication of operators.")
    tracing: Tracing = Field(Tracing(), description="Traces by OpenTelemetry.")
    log: Log = Field(Log(), description="Which requests the log has.")
    # In whose place a promoted candidate is the student; clients may still ask for it by its name.
    _former_student: str | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _hosting_begins_before_it_changes(self) -> Config:
        since, changes = self.economics.hosting_since, self.student.hosting_changes if self.student else []
        if since is not None and changes and changes[0].since <= since:
            raise ValueError("student.hosting_changes[0].since: must come after economics.hosting_since")
        return self

    @model_validator(mode="after")
    def _upstreams_differ(self) -> Config:
        reserved = {"auto", "student", "teacher"}
        for name, upstream in self.upstreams.items():
            if upstream.model in reserved - {name} or upstream.model.startswith("auto@"):
                raise ValueError(f"{name}.model: {upstream.model!r} is reserved here; rename the model at the upstream")
        if self.student is not None and self.student.model == self.teacher.model:
            raise ValueError("student.model and teacher.model are the same; rename one, so that clients can select it")
        student = self.student
        for path, section in self.sections.items():
            if section is student or section is self.candidate:
                continue
            if student is not None and section.reaches_the_same(student):
                raise ValueError(f"{path}: this is the student; name another provider")
        return self

    @model_validator(mode="after")
    def _candidate_is_another(self) -> Config:
        candidate, student = self.candidate, self.student
        if candidate is None:
            return self
        if student is None:
            raise ValueError("candidate: needs a student to be compared with; name this section student")
        if candidate.named == student.named:
            raise ValueError(
                "candidate: the same model and revision as the student, so that nothing could tell their answers "
                "apart; give it another model, or a revision of its own"
            )
        if candidate.model == self.teacher.model or candidate.model in {"auto", "student", "teacher"}:
            raise ValueError(f"candidate.model: {candidate.model!r} is reserved here; rename the model at the upstream")
        return self

    @model_validator(mode="after")
    def _aliases_mean_something(self) -> Config:
        reserved = {"auto", "student", "teacher"}
        known = {*reserved, *(upstream.model for upstream in self.upstreams.values())}
        # What metrics call the teacher's other providers.
        labels = {f"teacher:{one.name}" for one in self.teacher.fallbacks}
        check_names(self.models, known | labels, self.routing.aliases)
        known |= {one.name for one in self.models}
        if self.student is None:
            known -= {"student"}
        for alias, meant in self.routing.aliases.items():
            path = f"routing.aliases.{alias}"
            if alias in reserved or alias.startswith("auto@"):
                raise ValueError(f"{path}: this name has a meaning of its own; choose another")
            if meant not in known and not re.fullmatch(r"auto@(0(\.\d+)?|1(\.0+)?)", meant):
                raise ValueError(f"{path}: {meant!r} is no name here; use one of {', '.join(sorted(known))}, auto@0.35")
        return self

    @model_validator(mode="after")
    def _student_is_there(self) -> Config:
        if self.student is None:
            needed = {
                "routing.start": self.routing.start == "share",
                "road.advance": self.road.advance == "auto",
                "routing.escalation": self.routing.escalation is not None,
            }
            path = next((path for path, given in needed.items() if given), None) or next(self._of_a_student(), None)
            if path is not None:
                raise ValueError(f"{path}: needs a student; add the section student, or remove this key")
        return self

    def _of_a_student(self) -> Iterator[str]:
        """What client keys have that only a student makes sense of."""
        for index, key in enumerate(self.auth.keys):
            if key.over_budget == "student":
                yield f"auth.keys[{index}].over_budget"
            if not key.teacher:
                yield f"auth.keys[{index}].teacher"

    @model_validator(mode="after")
    def _judge_is_there(self) -> Config:
        for name in self.road.judges:
            judge = next((one for one in self.models if one.name == name), None)
            if judge is None:
                raise ValueError(f"road.judge: {name!r} is none of `models`; add it there, or remove this key")
            if CHAT not in judge.paths:
                raise ValueError(f"road.judge: {name!r} has no {CHAT} in its paths; add it there")
        if self.road.judge == [] or len(set(self.road.judges)) < len(self.road.judges):
            raise ValueError("road.judge: must name different models, at least one; null: the teacher judges")
        return self

    def with_candidate_as_student(self, candidate: Candidate) -> Config:
        """This config with a candidate in the student's place."""
        found = self.model_copy(update={"student": candidate.as_student(), "candidate": None})
        found._former_student = None if self.student is None else self.student.model
        return found

    @property
    def student_names(self) -> tuple[str, ...]:
        """The names that models of the student have for clients."""
        known = (None if self.student is None else self.student.model, self._former_student)
        return tuple(name for name in known if name is not None)

    @property
    def operator_routes(self) -> bool:
        """Whether the config says what routes, an artifact or a threshold, so that no stage does."""
        return self.routing.artifact is not None or self.routing.threshold is not None

    def sources_of_prices(self) -> Iterator[str]:
        """A sentence for each upstream whose prices are from a file or package."""
        if self.teacher.prices_source is not None:
            yield f"The teacher's prices are from {self.teacher.prices_source}."
        for what, sections in (("teacher's fallback", self.teacher.fallbacks), ("model", self.models)):
            for one in sections:
                if one.prices_source is not None:
                    yield f"The prices of the {what} {one.name} are from {one.prices_source}."

    @property
    def workload_names(self) -> frozenset[str]:
        """The names of workloads that the config has, without the default one."""
        return frozenset((*self.workloads, *(key.workload for key in self.auth.keys if key.workload is not None)))

    @property
    def hosting_observed(self) -> HostingObserved | None:
        """How the student's replicas are observed; None where they are not, and without a student."""
        return None if self.student is None else self.student.hosting_observed

    @property
    def upstreams(self) -> dict[Route, Student | Teacher]:
        """The sections of the upstreams that are configured."""
        both = {Route.STUDENT: self.student, Route.TEACHER: self.teacher}
        return {route: section for route, section in both.items() if section is not None}

    @property
    def sections(self) -> dict[str, Upstream]:
        """All sections of upstreams that are configured, by their paths in the file, in order."""
        fallbacks = {f"teacher.fallbacks[{index}]": one for index, one in enumerate(self.teacher.fallbacks)}
        further = {f"models[{index}]": section for index, section in enumerate(self.models)}
        candidate = {} if self.candidate is None else {"candidate": self.candidate}
        routed = {str(route): section for route, section in self.upstreams.items()}
        return {**routed, **candidate, **fallbacks, **further}
