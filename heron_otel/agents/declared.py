# SPDX-License-Identifier: Apache-2.0
"""Agents that are described by data: their marks, where their ids are, their side calls."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

from heron_otel.agents.generic import Generic
from heron_otel.agents.profile import is_program_call, spawns
from heron_otel.agents.prompts import ClientTags, named_in
from heron_otel.agents.settings import AuxiliaryRule, ProfileConfig
from heron_otel.agents.view import CallView
from heron_otel.records.agents import AgentFacts, CallRole, SubagentSpawn
from heron_otel.records.wire import Json

_MAX_ID_CHARS = 256
_PROMPT_CHARS = 2000  # of a prompt, seen by the patterns of rules
_VERSION = re.compile(r"[/ ]v?(\d[0-9A-Za-z.+_-]{0,63})")
_WILD = re.compile(r"[*?\[]")

Match = Callable[[str], object]


class Declared:
    """The profiles of a list as one; the first in the list that knows a call has it.

    Most calls are of none of them, and are told so by one look at each kind of mark.
    """

    name = "declared"

    def __init__(self, configs: Sequence[ProfileConfig]) -> None:
        self._profiles = tuple(_Profile(config) for config in configs)
        self._agents = _Beginnings([p for c in configs for p in c.user_agents])
        self._fields = frozenset(name for config in configs for name in config.headers)
        self._tools = frozenset(name for config in configs for name in config.tools)
        self._systems = _Beginnings([p for c in configs for p in c.systems])
        self._prompts = _Beginnings([p for c in configs for p in c.prompts])

    def facts(self, view: CallView) -> AgentFacts | None:
        """Return the facts of a call with the marks of one of the profiles, else None."""
        headers = view.headers
        if (
            not self._agents.may_match(headers.get("user-agent", ""))
            and self._fields.isdisjoint(headers)
            and self._tools.isdisjoint(view.request.tool_names)
            and not (self._systems and self._systems.may_match(view.system_text))
            and not (self._prompts and self._prompts.may_match(_side_prompt(view)))
        ):
            return None
        for profile in self._profiles:
            if profile.knows(view):
                return profile.facts(view)
        return None


class _Beginnings:
    """What texts that match one of some patterns begin with."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._literals = tuple(filter(None, map(_literal, patterns)))
        self._open = _any_of([pattern for pattern in patterns if not _literal(pattern)])

    def __bool__(self) -> bool:
        """Return whether there are patterns."""
        return bool(self._literals) or self._open is not None

    def may_match(self, text: str) -> bool:
        """Return False when none of the patterns matches ``text``."""
        if text.startswith(self._literals):
            return True
        return self._open is not None and bool(self._open(text))


class _Profile:
    """One description, ready to be compared with calls."""

    def __init__(self, config: ProfileConfig) -> None:
        self._name = config.name
        self._user_agents = _any_of(config.user_agents)
        self._headers = {name: _any_of((value,)) for name, value in config.headers.items()}
        self._tools = frozenset(config.tools)
        self._min_tools = config.min_tools
        self._systems = _any_of(config.systems)
        self._prompts = _any_of(config.prompts)
        self._session = tuple(map(_Source, config.session))
        self._parent = tuple(map(_Source, config.parent_session))
        self._subagent_reports = _any_of(config.subagent_reports)
        self._rules = tuple(_Rule(rule) for rule in config.auxiliary)
        self._task_arguments = config.task_arguments
        self._kind_arguments = config.kind_arguments
        self._task_objects = config.task_objects
        self._tool_is_kind = config.tool_is_kind
        self._is_preamble = _any_of(config.preambles)
        self._is_report = _any_of(config.reports)
        self._report_header = config.report_header
        self._answer_tasks = [
            (_any_of((system,)), kind) for system, kind in config.answer_tasks.items()
        ]
        self._library = config.library
        self._generic = Generic(ClientTags(config.client_tags, config.client_text, config.trailers))

    def knows(self, view: CallView) -> bool:
        """Return whether the call carries a mark of this agent."""
        headers = view.headers
        if self._user_agents is not None and self._user_agents(headers.get("user-agent", "")):
            return True
        for name, match in self._headers.items():
            value = headers.get(name)
            if value is not None and match is not None and match(value):
                return True
        if self._tools:
            offered = self._tools.intersection(view.request.tool_names)
            if len(offered) >= self._min_tools:
                return True
        if self._systems is not None and self._systems(view.system_text):
            return True
        return self._prompts is not None and bool(self._prompts(_side_prompt(view)))

    def facts(self, view: CallView) -> AgentFacts:
        """Return what the call says, read as that of any agent where the profile is silent."""
        if self._is_preamble is not None:
            view.leave_out(self._is_preamble)
        found = self._generic.facts(view) or AgentFacts(agent_name=self._name)
        told = (found.user_text or "")[:_PROMPT_CHARS]
        if self._subagent_reports is not None and self._subagent_reports(told):
            found = msgspec.structs.replace(
                found,
                user_start=False,
                user_text=None,
                user_digest=None,
                notifications=named_in(told),
            )
        kind = next((rule.kind for rule in self._rules if rule.agrees(view, found)), None)
        if kind is None and is_program_call(view):
            kind = "other"
        session = _first(view, self._session)
        parent = _first(view, self._parent)
        is_subagent = parent is not None and parent != session
        role = CallRole.SUBAGENT if is_subagent else CallRole.MAIN
        named = parent if is_subagent else session
        is_report = self._is_report
        reports = not self._report_header or self._report_header in view.headers
        return msgspec.structs.replace(
            found,
            agent_name=self._name,
            marked=not self._library,
            agent_version=self._version(view),
            session_id=named or found.session_id,
            conversation_id=named or found.conversation_id,
            # Words tell a session only where no id does.
            opening=() if named else found.opening,
            side_kind=None if named else found.side_kind,
            role=role if kind is None else CallRole.AUXILIARY,
            auxiliary_kind=kind,
            subagent_id=session if is_subagent else None,
            spawns=self._spawns(view, found),
            report=bool(is_report and found.user_text and is_report(found.user_text)),
            # Where tools are offered, a text without a call of one is the answer.
            awaits_report=(
                is_report is not None and reports and found.terminal and not view.request.tools
            ),
        )

    def _spawns(self, view: CallView, found: AgentFacts) -> tuple[SubagentSpawn, ...]:
        """Return the tasks that the answer hands over, in tool calls or as a whole."""
        if found.tool_calls:
            return spawns(
                found.tool_calls,
                self._task_arguments,
                self._kind_arguments,
                tool_is_kind=self._tool_is_kind,
                object_names=self._task_objects,
            )
        text = view.response.text.strip() if view.response is not None else ""
        for match, kind in self._answer_tasks:
            if text and found.terminal and match is not None and match(view.lead_text):
                return (SubagentSpawn(index=None, prompt=text, name=kind, waits=True),)
        return ()

    def _version(self, view: CallView) -> str | None:
        """Return the first number in the user agent, unless that names another program."""
        agent = view.headers.get("user-agent", "")
        if self._user_agents is None or not self._user_agents(agent):
            return None
        found = _VERSION.search(agent)
        return found[1] if found else None


class _Rule:
    """One rule of side calls."""

    def __init__(self, rule: AuxiliaryRule) -> None:
        self.kind = rule.kind
        self._rule = rule
        self._system = _any_of((rule.system,)) if rule.system else None
        self._prompt = _any_of((rule.prompt,)) if rule.prompt else None

    def agrees(self, view: CallView, facts: AgentFacts) -> bool:
        """Return whether the call meets every condition."""
        rule, request = self._rule, view.request
        if rule.tools is not None and rule.tools is not bool(request.tools):
            return False
        if rule.stream is not None and rule.stream is not request.stream:
            return False
        if rule.structured is not None and rule.structured is not (
            request.metadata.get("output_type") == "json"
        ):
            return False
        if rule.max_tokens is not None:
            limit = request.parameters.get("max_tokens")
            if not isinstance(limit, int) or limit > rule.max_tokens:
                return False
        if self._system is not None and not self._system(view.system_text):
            return False
        return self._prompt is None or bool(self._prompt((facts.user_text or "")[:_PROMPT_CHARS]))


def _side_prompt(view: CallView) -> str:
    """Return the start of the first user text of a call without tools, else nothing."""
    if view.request.tools:
        return ""
    return next(iter(view.opening_texts()), "")[:_PROMPT_CHARS]


def _literal(pattern: str) -> str:
    """Return what comes before the first wildcard of a pattern."""
    wild = _WILD.search(pattern)
    return pattern if wild is None else pattern[: wild.start()]


def _any_of(patterns: Sequence[str]) -> Match | None:
    if not patterns:
        return None
    matches = [re.compile(fnmatch.translate(pattern)).match for pattern in patterns]
    if len(matches) == 1:
        return matches[0]
    return lambda text: any(match(text) for match in matches)


class _Source:
    """Where a call may have an id."""

    def __init__(self, text: str) -> None:
        where, _, pattern = text.partition("=")
        kind, _, name = where.partition(":")
        self._is_field = kind == "header"
        self._path = (name,) if self._is_field else tuple(name.split("."))
        self._match = _any_of((pattern,)) if pattern else None

    def value(self, view: CallView) -> str | None:
        """Return the id that a call has here, or None."""
        value: Json | Mapping[str, Json] = view.headers if self._is_field else view.request.metadata
        for name in self._path:
            value = value.get(name) if isinstance(value, Mapping) else None
        if not isinstance(value, str) or not 0 < len(value) <= _MAX_ID_CHARS:
            return None
        return value if self._match is None or self._match(value) else None


def _first(view: CallView, sources: Sequence[_Source]) -> str | None:
    return next(filter(None, (source.value(view) for source in sources)), None)
