# SPDX-License-Identifier: Apache-2.0
"""Stored turns to lines of training data, one conversation at a time.

Memory is bounded by one conversation: digests and signs of its messages, and the bodies of the
one trajectory that is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec

import heron_otel
from heron_otel.records.wire import Json
from heron_otel.store.conversations import ConversationQueries, Refs, Unit
from heron_otel.store.queries import Record
from heron_otel.telemetry.redact import DROPPED_TEXT
from heron_otel.training.history import Head, Heads, Ref, Sign, make_head, sign
from heron_otel.training.trajectory import (
    Trajectory,
    TrajectoryError,
    message_of,
    parts_of,
)

INCLUDABLE = ("auxiliary", "failed", "incomplete", "single")
"""What is left out unless it is asked for."""

_MAX_CHAIN = 1000  # calls joined by previous_response_id
_DEFAULT_POLICY = "redacted"  # services with another policy carry it in their resource
_DROPPED = DROPPED_TEXT.encode()


class LineFormat(Protocol):
    """Writes a trajectory in the form of one trainer."""

    def line(self, trajectory: Trajectory) -> dict[str, Json]:
        """Return the line of ``trajectory``, without metadata."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to export and how."""

    scope: str  # turn, session or batch: what the user asked for
    scope_id: str | None
    include: frozenset[str] = frozenset()  # out of INCLUDABLE
    per_turn: bool = False  # a turn does not stand for the turns before it


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A trajectory that cannot be whole."""

    turn_id: str
    call_id: str
    reason: str


@dataclass(slots=True, kw_only=True)
class Tally:
    """What happened so far."""

    turns: int = 0
    written: int = 0
    skipped: int = 0
    auxiliary: int = 0  # calls left out
    failed: int = 0  # calls left out
    held: int = 0  # calls whose messages are in a line of a later call


class Export:
    """Yields lines (JSON text, UTF-8, without line end) and what was skipped."""

    def __init__(self, store: ConversationQueries, form: LineFormat, options: Options) -> None:
        self._store = store
        self._form = form
        self._options = options
        self.tally = Tally()

    def run(self) -> Iterator[bytes | Skipped]:
        """Yield everything that was selected, oldest conversation first."""
        for unit in self._store.units(single=False):
            turns = self._store.turns(unit)
            groups = [[turn] for turn in turns] if self._options.per_turn else [turns]
            for group in groups:
                calls = list(self._store.calls([str(turn["turn_id"]) for turn in group]))
                yield from self._counted(self._conversation(group, calls))
            self.tally.turns += unit.turns
        if "single" in self._options.include:
            for unit in self._store.units(single=True):
                yield from self._counted(self._single(unit))
                self.tally.turns += unit.turns

    def _single(self, unit: Unit) -> Iterator[bytes | Skipped]:
        yield from self._conversation([], list(self._store.call(unit.key)))

    def _counted(self, found: Iterable[bytes | Skipped]) -> Iterator[bytes | Skipped]:
        for item in found:
            if isinstance(item, Skipped):
                self.tally.skipped += 1
            else:
                self.tally.written += 1
            yield item

    def _conversation(
        self, turns: Sequence[Record], calls: Sequence[Record]
    ) -> Iterator[bytes | Skipped]:
        """Yield the trajectories of one conversation."""
        wanted = [call for call in calls if self._is_wanted(call)]
        kept: list[tuple[Record, _Whole]] = []
        chains = _Chains(self._store, calls)
        empty: dict[tuple[str, str], Record] = {}
        for call, refs in self._store.refs(wanted):
            if not refs.inputs and not refs.outputs and not call["previous"]:
                empty[str(call["trace_id"]), _lane(call)] = call
                continue
            kept.append((call, chains.whole(call, refs)))
        for call in empty.values():
            yield _skip(call, _no_content(call))
        if not kept:
            return
        signs = self._signs(kept)
        heads = Heads(signs)
        facts = {str(call["call_id"]): (call, whole) for call, whole in kept}
        for call, whole in kept:
            answer = whole.outputs[0] if whole.outputs else None
            heads.add(
                make_head(
                    str(call["call_id"]),
                    _lane(call),
                    whole.inputs,
                    answer,
                    signs,
                    is_broken=_break_of(call) is not None or whole.problem is not None,
                )
            )
        last = {(str(call["trace_id"]), _lane(call)): str(call["call_id"]) for call, _ in kept}
        statuses = {str(turn["turn_id"]): turn for turn in turns}
        runs = self._store.subagents(sorted(statuses)) if statuses else {}
        for head in heads.heads:
            self.tally.held += len(head.held)
            call, whole = facts[head.call_id]
            is_last = last[str(call["trace_id"]), _lane(call)] == head.call_id
            try:
                self._check(call, whole, statuses, is_last=is_last)
                yield from self._lines(head, heads, facts, statuses, runs, is_last=is_last)
            except TrajectoryError as error:
                yield _skip(call, str(error))

    def _is_wanted(self, call: Record) -> bool:
        if call["role"] == "auxiliary" and "auxiliary" not in self._options.include:
            self.tally.auxiliary += 1
            return False
        if call["error_type"] and "failed" not in self._options.include:
            self.tally.failed += 1
            return False
        return True

    def _signs(self, kept: Sequence[tuple[Record, _Whole]]) -> dict[Ref, Sign]:
        refs: dict[Ref, None] = {}
        for _, whole in kept:
            refs.update(dict.fromkeys(whole.inputs))
            refs.update(dict.fromkeys(whole.outputs))
        signs: dict[Ref, Sign] = {}
        for ref, body in self._store.bodies(list(refs)):
            signs[ref] = sign(_decoded(body))
        return signs

    def _check(
        self, call: Record, whole: _Whole, turns: dict[str, Record], *, is_last: bool
    ) -> None:
        """Raise TrajectoryError when the trajectory that ends with ``call`` is not whole."""
        broken = whole.problem or _break_of(call)
        if broken is not None:
            raise TrajectoryError(broken)
        if not whole.outputs:
            raise TrajectoryError("the call has no answer")
        if not is_last:
            return  # its history was compacted or left: it is whole up to there
        include = self._options.include
        if call["role"] == "subagent":
            reasons = call["finish_reasons"]
            if isinstance(reasons, list) and "tool_call" in reasons and "incomplete" not in include:
                raise TrajectoryError("the sub-agent was not seen to end")
            return
        turn = turns.get(str(call["trace_id"]))
        status = "complete" if turn is None or call["role"] == "auxiliary" else turn["status"]
        allowed = "failed" if status == "error" else "incomplete"
        if status != "complete" and allowed not in include:
            word = "failed" if status == "error" else f"is {str(status).replace('_', ' ')}"
            raise TrajectoryError(f"the turn {word}")

    def _lines(
        self,
        head: Head,
        heads: Heads,
        facts: dict[str, tuple[Record, _Whole]],
        turns: dict[str, Record],
        runs: dict[str, Record],
        *,
        is_last: bool,
    ) -> Iterator[bytes]:
        """Yield the line of each choice of the last answer."""
        call, whole = facts[head.call_id]
        refs, restored = heads.messages(head)
        bodies = self._bodies([*refs, *whole.outputs, *whole.beside])
        system = _parts(bodies, whole.system)
        tools = _parts(bodies, whole.tools)
        messages = [message_of(bodies.get(ref)) for ref in refs[:-1]]
        if any(part.get("type") == "compaction" for turn in messages for part in turn.parts):
            raise TrajectoryError("the provider compacted the history, and its summary is hidden")
        calls = [facts[held][0] for held in head.held] + [call]
        for choice, output in enumerate(whole.outputs):
            trajectory = Trajectory(
                wire_api=str(call["wire_api"]),
                system=system,
                tools=tools,
                turns=[*messages, message_of(bodies.get(output))],
                notes={},
            )
            line = self._form.line(trajectory)
            meta = self._meta(calls, turns, runs)
            if len(whole.outputs) > 1:
                meta["choice"] = choice
            if not is_last:
                meta["continued_elsewhere"] = True
            if restored:
                meta["restored_answers"] = restored
            if whole.joined:
                meta["joined_responses"] = whole.joined
            line["_meta"] = {**meta, **trajectory.notes}
            yield msgspec.json.encode(line)

    def _bodies(self, refs: Sequence[Ref]) -> dict[Ref, Json]:
        """Return the decoded messages. Raises TrajectoryError when one cannot be had."""
        bodies: dict[Ref, Json] = {}
        for ref, body in self._store.bodies(refs):
            if _DROPPED in body:
                raise TrajectoryError("redaction failed and dropped content of a message")
            bodies[ref] = _decoded(body)
        missing = len(set(refs)) - len(bodies)
        if missing:
            raise TrajectoryError(
                f"{missing} of {len(set(refs))} messages are not in the store any more"
            )
        return bodies

    def _meta(
        self, calls: Sequence[Record], turns: dict[str, Record], runs: dict[str, Record]
    ) -> dict[str, Json]:
        last = calls[-1]
        models = list(dict.fromkeys(_model(call) for call in calls))
        turn = turns.get(str(last["trace_id"]))
        reasons = last["finish_reasons"]
        policies = {call["policy"] or _DEFAULT_POLICY for call in calls}
        started = str(last["started_at"])
        meta: dict[str, Json] = {
            "source": "heron",
            "scope": self._options.scope,
            "source_id": self._options.scope_id,
            "session_id": last["session_id"],
            "turn_id": None if turn is None else last["trace_id"],
            "turn_ids": list(
                dict.fromkeys(call["trace_id"] for call in calls if call["trace_id"] in turns)
            ),
            "terminal_call_id": last["call_id"],
            "call_ids": [call["call_id"] for call in calls],
            "wire_api": last["wire_api"],
            "provider": last["provider"],
            "agent_kind": last["agent"],
            "agent_version": None if turn is None else turn["agent_version"] or None,
            "role": last["role"],
            "model": models[0],
            "models": list[Json](models),
            "final_finish_reason": reasons[0] if isinstance(reasons, list) and reasons else None,
            "turn_status": None if turn is None else turn["status"],
            "total_input_tokens": _sum(calls, "input_tokens"),
            "total_output_tokens": _sum(calls, "output_tokens"),
            "total_cache_read_tokens": _sum(calls, "cache_read_tokens"),
            "total_reasoning_tokens": _sum(calls, "reasoning_tokens"),
            "usage_estimated": any(call["usage_estimated"] is True for call in calls),
            "captured_at": started,
            "captured_at_ms": _milliseconds(started),
            "policy": policies.pop() if len(policies) == 1 else "mixed",
            "heron_version": heron_otel.__version__,
        }
        if last["error_type"]:
            meta["error_type"] = last["error_type"]
        run = runs.get(str(last["parent_span_id"]))
        if last["role"] == "subagent":
            meta["subagent"] = {
                "name": None if run is None else run["name"],
                "span_id": last["parent_span_id"],
                "tool_call_id": None if run is None else run["tool_call_id"],
                "parent_turn_id": last["trace_id"],
            }
        else:
            traces = set(map(str, meta["turn_ids"] if isinstance(meta["turn_ids"], list) else []))
            begun = [
                {"name": each["name"], "span_id": key, "tool_call_id": each["tool_call_id"]}
                for key, each in runs.items()
                if str(each["trace_id"]) in traces
            ]
            if begun and last["role"] != "auxiliary":
                meta["subagents"] = list[Json](begun)
        return meta


@dataclass(frozen=True, slots=True, kw_only=True)
class _Whole:
    """All messages of a call, those the server kept included."""

    inputs: tuple[Ref, ...]
    outputs: tuple[Ref, ...]
    system: Ref | None
    tools: Ref | None
    joined: int = 0  # stored responses before it
    problem: str | None = None

    @property
    def beside(self) -> list[Ref]:
        return [ref for ref in (self.system, self.tools) if ref is not None]


class _Chains:
    """Puts the messages of earlier responses in front of those of a call that names them."""

    def __init__(self, store: ConversationQueries, calls: Sequence[Record]) -> None:
        self._store = store
        self._by_response = {str(call["response_id"]): call for call in calls}

    def whole(self, call: Record, refs: Refs) -> _Whole:
        """Return all messages of ``call``; responses that are not stored are a problem."""
        own = _own(refs)
        before: list[tuple[Ref, ...]] = []
        problem = None
        seen = {str(call["call_id"])}
        previous = call["previous"]
        while previous and problem is None:
            found = self._by_response.get(str(previous)) or self._store.answered_by(str(previous))
            if found is None:
                problem = f"the response before it, {previous}, is not stored"
                break
            if str(found["call_id"]) in seen or len(seen) > _MAX_CHAIN:
                problem = "the responses before it do not end"
                break
            seen.add(str(found["call_id"]))
            problem = _break_of(found)
            for _, earlier in self._store.refs([found]):
                part = _own(earlier)
                before.append((*part.inputs, *part.outputs[:1]))
                if not part.outputs:
                    problem = problem or "a response before it has no stored answer"
            previous = found["previous"]
        inputs = tuple(ref for part in reversed(before) for ref in part) + own.inputs
        return _Whole(
            inputs=inputs,
            outputs=own.outputs,
            system=own.system,
            tools=own.tools,
            joined=len(before),
            problem=problem,
        )


def _own(refs: Refs) -> _Whole:
    conversation = refs.conversation
    return _Whole(
        inputs=tuple((conversation, digest) for digest in refs.inputs),
        outputs=tuple((conversation, digest) for digest in refs.outputs),
        system=("", refs.system) if refs.system else None,
        tools=("", refs.tools) if refs.tools else None,
    )


def _lane(call: Record) -> str:
    """Return whose call it is: the conversation's, one sub-agent's, or its own."""
    if call["role"] == "subagent":
        return str(call["parent_span_id"])
    return str(call["call_id"]) if call["role"] == "auxiliary" else ""


def _break_of(call: Record) -> str | None:
    """Return why the record of a call is not whole, None when it is."""
    lost = call["lost_bytes"]
    if isinstance(lost, int) and lost:
        return f"the capture lost {lost} bytes of it"
    if call["truncated"] is True:
        return "a capture limit cut it"
    if call["incomplete"] is True:
        return "its answer is not complete"
    return None


def _no_content(call: Record) -> str:
    policy = call["policy"] or _DEFAULT_POLICY
    if policy == "metadata":
        return "the capture policy is metadata: no content was kept"
    return "the store holds no content of it"


def _skip(call: Record, reason: str) -> Skipped:
    return Skipped(turn_id=str(call["trace_id"]), call_id=str(call["call_id"]), reason=reason)


def _decoded(body: bytes) -> Json:
    try:
        value: Json = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value


def _parts(bodies: dict[Ref, Json], ref: Ref | None) -> list[dict[str, Json]]:
    return [] if ref is None else parts_of(bodies.get(ref))


def _model(call: Record) -> str | None:
    model = call["response_model"] or call["request_model"]
    return str(model) if model else None


def _sum(calls: Sequence[Record], name: str) -> int | None:
    """Return the sum of a count over calls; None when none of them had it."""
    counts = [value for call in calls if isinstance(value := call[name], int)]
    return sum(counts) if counts else None


def _milliseconds(moment: str) -> int:
    """Return ms since the epoch of a moment as the store writes it (RFC 3339, UTC)."""
    whole, _, fraction = moment.rstrip("Z").partition(".")
    seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    return seconds * 1000 + int((fraction + "000")[:3])
