# SPDX-License-Identifier: Apache-2.0
"""Agents that are described by data: their marks, where their ids are, their side calls."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

from heron_otel.agents.generic import Generic
from heron_otel.agents.profile import is_program_call, spawns
from heron_otel.agents.prompts import ClientTags
from heron_otel.agents.settings import AuxiliaryRule, ProfileConfig
from heron_otel.agents.view import CallView
from heron_otel.records.agents import AgentFacts, CallRole
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
        self._session = _sources(config.session)
        self._parent = _sources(config.parent_session)
        self._rules = tuple(_Rule(rule) for rule in config.auxiliary)
        self._task_arguments = config.task_arguments
        self._kind_arguments = config.kind_arguments
        self._tool_is_kind = config.tool_is_kind
        self._generic = Generic(ClientTags(config.client_tags, config.client_text))

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
        found = self._generic.facts(view) or AgentFacts(agent_name=self._name)
        kind = next((rule.kind for rule in self._rules if rule.agrees(view, found)), None)
        if kind is None and is_program_call(view):
            kind = "other"
        session = _first(view, self._session)
        parent = _first(view, self._parent)
        is_subagent = parent is not None and parent != session
        role = CallRole.SUBAGENT if is_subagent else CallRole.MAIN
        named = parent if is_subagent else session
        return msgspec.structs.replace(
            found,
            agent_name=self._name,
            marked=True,
            agent_version=self._version(view),
            session_id=named or found.session_id,
            conversation_id=named or found.conversation_id,
            # Words tell a session only where no id does.
            opening=() if named else found.opening,
            side_kind=None if named else found.side_kind,
            role=role if kind is None else CallRole.AUXILIARY,
            auxiliary_kind=kind,
            subagent_id=session if is_subagent else None,
            spawns=spawns(
                found.tool_calls,
                self._task_arguments,
                self._kind_arguments,
                tool_is_kind=self._tool_is_kind,
            )
            if found.tool_calls
            else (),
        )

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


def _sources(sources: Sequence[str]) -> tuple[tuple[bool, tuple[str, ...]], ...]:
    """Return for each source whether it is a field, and its name or path."""
    found = []
    for source in sources:
        kind, _, name = source.partition(":")
        found.append((kind == "header", (name,) if kind == "header" else tuple(name.split("."))))
    return tuple(found)


def _first(view: CallView, sources: tuple[tuple[bool, tuple[str, ...]], ...]) -> str | None:
    for is_field, path in sources:
        value: Json = None
        if is_field:
            value = view.headers.get(path[0])
        else:
            members: Json | Mapping[str, Json] = view.request.metadata
            for name in path:
                members = members.get(name) if isinstance(members, Mapping) else None
            value = members if isinstance(members, str) else None
        if isinstance(value, str) and value and len(value) <= _MAX_ID_CHARS:
            return value
    return None
