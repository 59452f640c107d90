# SPDX-License-Identifier: Apache-2.0
"""aider: what it sends is all text, so its own words are told from those of the user here.

Sources: its published prompts and captures of 0.86.2, see docs/agents-and-turns.md.
"""

from __future__ import annotations

from heron_otel.agents.settings import AuxiliaryRule, ProfileConfig

_ARCHITECT = "Act as an expert architect engineer*"
_SYSTEMS = (
    # Other programs begin with the same sentence and go on in the same line.
    "Act as an expert software developer.\n*",
    "Act as an expert software developer who edits source code.\n*",
    "Act as an expert code analyst.\n*",
    _ARCHITECT,
    "You are an expert on the AI coding tool called Aider.\n*",
)
_COMMIT = "You are an expert software engineer that generates concise*"
_SUMMARY = "[*]Briefly[*] summarize this partial conversation about programming*"
# Put before the system text for reasoning models; that is a user item for some of them.
_PREFIX = "Formatting re-enabled. \n"
_LEADS = (*_SYSTEMS, *(_PREFIX + system for system in _SYSTEMS))

AIDER = ProfileConfig(
    name="aider",
    systems=(*_LEADS, _COMMIT, _SUMMARY),
    prompts=_LEADS,
    preambles=(
        *_LEADS,
        # Examples of how to answer.
        "Change get_factorial() to use math.factorial",
        "Refactor hello() into its own file.",
        "Change the greeting to be more casual",
        "Replace is_prime with a call to sympy.",
        "I switched to a new code base. Please don't consider the above files"
        " or try to edit them any longer.",
        # The repository and the files.
        "Here are summaries of some files present in my git repository.\n*",
        "I am working with you on code in a git repository.\nHere are summaries of some files *",
        "Here are some READ ONLY files, provided for your reference.\n*",
        "I have [*]added these files to the chat[*] so you *",
        "These files have been [*]added these files to the chat[*] *",
        "These are some files we have been discussing that we may want to edit after you answer *",
        "I am not sharing any files that you can edit yet.",
        "I am not sharing any files with you.",
        "I am not sharing any files yet.",
        "I am not sharing the full contents of any files with you yet.",
        "Don't try and edit any existing code without asking me to add the files to the chat!\n*",
    ),
    # Where a model is reminded in the prompt, not in a system item behind it.
    trailers=(
        "\n\n# [*]SEARCH/REPLACE block[*] Rules:\n\nEvery [*]SEARCH/REPLACE block[*] must use *",
        "\n\nTo suggest changes to a file you MUST return the entire content of the updated file.\n"
        "You MUST use this [*]file listing[*] format:\n*",
        "\n\n# File editing rules:\n\nReturn edits similar to unified diffs that *",
        "\n\n# V4A Diff Format Rules:\n\nYour entire response containing the patch MUST start *",
        "\n\nNEVER RETURN CODE!\n",
        "\n\nYou are diligent and tireless!\nYou NEVER leave comments describing code without *",
        "\n\nPay careful attention to the scope of the user's request.\nDo what they ask, but no *",
        "\n\nReply in [A-Z]*.\n",  # the name of a language
    ),
    reports=(
        "# [0-9]* SEARCH/REPLACE block* failed to match!\n\n## SearchReplaceNoExactMatch: *",
        "# Fix any errors below, if possible.\n\n*",
        "I ran this command:\n\n*\n\nAnd got this output:*",
        "I added these files to the chat: *\nLet me know if there are others we should add.",
        "I have updated the set of files added to the chat.\nReview them to decide if this is *",
        "UnifiedDiffNoMatch: hunk failed to apply!\n*",
        "UnifiedDiffNotUnique: hunk failed to apply!\n*",
        "Error parsing patch content: *",
        "No filename provided before * in file listing",
        # A malformed edit is quoted up to where it broke.
        "*\n^^^ Expected `=======`",
        "*\n^^^ Expected `>>>>>>> REPLACE` or `=======`",
        "*\n^^^ Bad/missing filename. The filename must be alone on the line before *",
    ),
    answer_tasks={_ARCHITECT: "editor", _PREFIX + _ARCHITECT: "editor"},
    auxiliary=(
        AuxiliaryRule(kind="commit_message", tools=False, system=_COMMIT),
        AuxiliaryRule(kind="compaction", tools=False, system=_SUMMARY),
    ),
)
