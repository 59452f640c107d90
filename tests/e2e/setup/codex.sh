#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install the pinned Codex from npm into .cache/codex and print the path of its command.
set -eu

version=0.169.0
top=$(cd "$(dirname "$0")/../../.." && pwd)
prefix=$top/.cache/codex
package=$prefix/node_modules/@openai/codex/package.json
command=$prefix/node_modules/.bin/codex

# One at a time: several test processes may want it at once.
mkdir -p "$top/.cache"
exec 9>"$top/.cache/codex.lock"
flock 9

if ! [ -x "$command" ] || ! grep -q "\"version\": \"$version\"" "$package"; then
	command -v npm >/dev/null || {
		echo "codex.sh: npm is not installed (Debian: apt-get install npm)" >&2
		exit 1
	}
	mkdir -p "$prefix"
	timeout -k 10 1500 npm install --prefix "$prefix" --no-audit --no-fund --loglevel=error \
		"@openai/codex@$version" >&2
fi
printf '%s\n' "$command"
