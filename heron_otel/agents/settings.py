# SPDX-License-Identifier: Apache-2.0
"""How an agent profile is described by data: the built-in ones and those of the configuration.

Patterns are those of the shell (``*``, ``?``, ``[...]``), compared with the whole text and with
letter case; they take linear time, so no pattern can stop the analysis.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from heron_otel.config.types import Problem

SESSION_SOURCES = ("header", "body")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_FIELD = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,128}")  # RFC 9110, section 5.6.2, in lower case
_TAG = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_MAX_MARKS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class AuxiliaryRule:
    """Calls beside the conversation: one that meets every stated condition has this kind."""

    kind: str
    """Value of ``heron.call.auxiliary_kind``, such as ``title``."""
    system: str = ""
    """Pattern of the start of the system text."""
    prompt: str = ""
    """Pattern of the last prompt."""
    tools: bool | None = None
    """Whether the request offers tools."""
    stream: bool | None = None
    """Whether the response is streamed."""
    structured: bool | None = None
    """Whether structured output (JSON) is asked for."""
    max_tokens: int | None = None
    """Most output tokens that the request allows."""

    def problems(self) -> Iterator[Problem]:
        """Yield a rule without a name or without a condition."""
        if not _NAME.fullmatch(self.kind):
            yield Problem("kind", f"must be a word in lower case, got {self.kind!r}")
        conditions = (self.tools, self.stream, self.structured, self.max_tokens)
        if not (self.system or self.prompt) and all(value is None for value in conditions):
            yield Problem("", "must state a condition")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileConfig:
    """One agent: the marks that tell its calls, and where they say what.

    A call is of this agent when any of ``user_agents``, ``headers``, ``tools``, ``systems`` and
    ``prompts`` agrees. What is left out is read as for the ``generic`` agent.
    """

    name: str
    """Value of ``gen_ai.agent.name``."""
    user_agents: tuple[str, ...] = ()
    """Patterns of the ``user-agent`` field; its first number is the version of the agent."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Request fields, lower case, with the pattern of a value that marks the agent."""
    tools: tuple[str, ...] = ()
    """Names of tools that only this agent offers."""
    min_tools: int = 2
    """How many of them a request must offer."""
    systems: tuple[str, ...] = ()
    """Patterns of the start of the system text."""
    prompts: tuple[str, ...] = ()
    """Patterns of the first user text of calls without tools: marks of side calls."""
    session: tuple[str, ...] = ()
    """Where the session id is: ``header:NAME`` or ``body:MEMBER[.MEMBER]``; the first counts.
    With ``=PATTERN`` behind it, only what matches is an id."""
    parent_session: tuple[str, ...] = ()
    """The same for the id of the session that spawned this one: marks calls of sub-agents."""
    client_tags: tuple[str, ...] = ()
    """Tags around text that the client puts into prompts of the user."""
    client_text: Mapping[str, str] = field(default_factory=dict)
    """What else such text begins with, ``<`` first, and what it ends with."""
    trailers: tuple[str, ...] = ()
    """Patterns of text that the client puts behind prompts of the user, up to the end."""
    preambles: tuple[str, ...] = ()
    """Patterns of user items that the client puts before a conversation, each with an answer that
    it made up: files, examples. The conversation begins behind them."""
    reports: tuple[str, ...] = ()
    """Patterns of prompts that are the client's own: an edit that did not apply, the result of a
    tool that was asked for in text. They go on with the turn."""
    report_header: str = ""
    """Request field, lower case, of the clients whose reports are waited for; empty: of all."""
    answer_tasks: Mapping[str, str] = field(default_factory=dict)
    """Patterns of the start of system texts, with the kind of the sub-agent that gets the answer
    of such a call as its task."""
    library: bool = False
    """Whether the marks are those of a library, so that its calls may belong to any agent."""
    subagent_reports: tuple[str, ...] = ()
    """Patterns of user messages with which the client reports on sub-agents: no prompts. The ids
    in them are those told when the sub-agents were launched."""
    task_arguments: tuple[str, ...] = ("prompt", "task", "message")
    """Arguments of a tool call that hold the task of a sub-agent: texts, or numbered texts
    (``prompt_1``, ``prompt_2``)."""
    task_objects: tuple[str, ...] = ()
    """Arguments that hold the same inside an object or a list of objects."""
    kind_arguments: tuple[str, ...] = (
        "subagent_type",
        "agent_name",
        "agent_type",
        "agent",
        "name",
    )
    """Arguments that hold the kind of the sub-agent."""
    tool_is_kind: bool = False
    """Whether a tool that takes a task is named after its sub-agent."""
    auxiliary: tuple[AuxiliaryRule, ...] = ()
    """Calls beside the conversation; the first rule that agrees counts."""

    def problems(self) -> Iterator[Problem]:
        """Yield marks and sources that cannot work."""
        if not _NAME.fullmatch(self.name):
            yield Problem(
                "name", f"must be lower-case letters, digits, '.', '_' or '-', got {self.name!r}"
            )
        if not (self.user_agents or self.headers or self.tools or self.systems or self.prompts):
            yield Problem("", "must have a mark: user_agents, headers, tools, systems or prompts")
        for name in self.headers:
            if not _FIELD.fullmatch(name):
                yield Problem(f"headers.{name}", "must be a field name in lower case")
        if self.report_header and not _FIELD.fullmatch(self.report_header):
            yield Problem("report_header", "must be a field name in lower case")
        for marks in (
            "user_agents",
            "tools",
            "systems",
            "prompts",
            "preambles",
            "reports",
            "subagent_reports",
            "trailers",
        ):
            values: tuple[str, ...] = getattr(self, marks)
            if "" in values:
                yield Problem(marks, "must not be empty")
            if len(values) > _MAX_MARKS:
                yield Problem(marks, f"must be at most {_MAX_MARKS}, got {len(values)}")
        if self.tools and not 1 <= self.min_tools <= len(self.tools):
            yield Problem("min_tools", f"must be from 1 to {len(self.tools)}, got {self.min_tools}")
        for sources in ("session", "parent_session"):
            for source in getattr(self, sources):
                kind, _, name = source.partition("=")[0].partition(":")
                if kind not in SESSION_SOURCES or not name:
                    yield Problem(sources, f"must be header:NAME or body:MEMBER, got {source!r}")
                elif kind == "header" and not _FIELD.fullmatch(name):
                    yield Problem(sources, f"{name!r} is not a field name in lower case")
        for tag in self.client_tags:
            if not _TAG.fullmatch(tag):
                yield Problem("client_tags", f"must be a tag without brackets, got {tag!r}")
        for first, last in self.client_text.items():
            if not first.startswith("<") or not last:
                yield Problem(f"client_text.{first}", "must begin with '<' and have an end")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentsConfig:
    """Which agents are known beside the built-in ones."""

    profiles: tuple[ProfileConfig, ...] = ()
    """Profiles of your own; they are asked before the built-in ones of the same form."""

    def __hash__(self) -> int:
        """Return a number that equal settings share; the profiles hold mappings without one."""
        return len(self.profiles)

    def problems(self) -> Iterator[Problem]:
        """Yield names that stand twice."""
        seen: set[str] = set()
        for profile in self.profiles:
            if profile.name in seen:
                yield Problem("profiles", f"{profile.name} stands twice")
            seen.add(profile.name)
