# SPDX-License-Identifier: Apache-2.0
"""Every exception class of the project."""

from __future__ import annotations

from collections.abc import Mapping


class HeronError(Exception):
    """Root of all errors raised on purpose."""


class UsageError(HeronError):
    """A command was called with arguments that cannot work; exit status 2."""


class ConfigError(HeronError):
    """The configuration cannot be used; exit status 2.

    ``problems`` holds one line per problem: YAML path, rule, value.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class CaptureError(HeronError):
    """A capture cannot be opened or read; the message says what and where."""


class MissingExtraError(HeronError):
    """An optional part is not installed; the message names the extra."""


class StoreError(HeronError):
    """The store cannot be started, reached or read."""


class JsonError(HeronError):
    """A captured text gives no JSON value; never leaves ``wire/``."""


class RetryableExportError(HeronError):
    """A batch was not taken; sending the same batch later may work."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class PermanentExportError(HeronError):
    """A batch was refused; sending it again cannot work.

    ``lost`` is how much of it was refused, by the names of ``Items``; None: all. The rest arrived.
    """

    def __init__(self, message: str, lost: Mapping[str, int] | None = None) -> None:
        super().__init__(message)
        self.lost = lost
