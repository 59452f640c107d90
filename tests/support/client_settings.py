# SPDX-License-Identifier: Apache-2.0
"""Clients that several tests run: their pinned versions, and the scripted server as their model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.npm_clients import PORT, install

URL = f"http://127.0.0.1:{PORT}/v1"
KEY = "sk-dummy-not-a-key"

COPILOT = {
    # Without a login; the client then leaves out the fields that name it.
    "COPILOT_OFFLINE": "true",
    "COPILOT_PROVIDER_BASE_URL": URL,
    "COPILOT_PROVIDER_API_KEY": KEY,
    "COPILOT_MODEL": "big",
    "COPILOT_AUTO_UPDATE": "false",
}
"""Environment of GitHub Copilot CLI."""

OPENCODE_VERSION = "1.18.33"
OPENCODE = {
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
}
"""Environment of opencode."""
OPENCODE_FILE = ".config/opencode/opencode.json"
OPENCODE_CONFIG: dict[str, Any] = {
    "autoupdate": False,
    "share": "disabled",
    "model": "scripted/big",
    "small_model": "scripted/small",
    "provider": {
        "scripted": {
            "npm": "@ai-sdk/openai-compatible",
            "name": "scripted",
            "options": {"baseURL": URL, "apiKey": KEY},
            "models": {"big": {"name": "big", "tool_call": True}, "small": {"name": "small"}},
        }
    },
    "permission": {"bash": "allow", "task": "allow"},
}


def install_copilot() -> Path:
    """Return the command of GitHub Copilot CLI."""
    return install("copilot-cli", "@github/copilot", "1.0.102", "copilot")


def install_opencode() -> Path:
    """Return the command of opencode."""
    return install("opencode", "opencode-ai", OPENCODE_VERSION, "opencode")
