#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install the pinned Claude Code from npm into .cache/claude-code and print the path of its command.
set -eu

version=2.1.330
top=$(cd "$(dirname "$0")/../../.." && pwd)
prefix=$top/.cache/claude-code
package=$prefix/node_modules/@anthropic-ai/claude-code/package.json
command=$prefix/node_modules/.bin/claude

# One at a time: several test processes may want it at once.
mkdir -p "$top/.cache"
exec 9>"$top/.cache/claude-code.lock"
flock 9

if ! [ -x "$command" ] || ! grep -q "\"version\": \"$version\"" "$package"; then
	command -v npm >/dev/null || {
		echo "claude_code.sh: npm is not installed (Debian: apt-get install npm)" >&2
		exit 1
	}
	mkdir -p "$prefix"
	timeout -k 10 1500 npm install --prefix "$prefix" --no-audit --no-fund --loglevel=error \
		"@anthropic-ai/claude-code@$version" >&2
fi
printf '%s\n' "$command"
