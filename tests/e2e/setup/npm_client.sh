#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install PACKAGE@VERSION from npm into .cache/NAME, with the Node of .cache/node, and print the path of COMMAND.
# Usage: npm_client.sh NAME PACKAGE VERSION COMMAND
set -eu

node=24.21.0 # Qwen Code asks for 22 or newer
name=$1 package=$2 version=$3
top=$(cd "$(dirname "$0")/../../.." && pwd)
prefix=$top/.cache/$name
command=$prefix/node_modules/.bin/$4
bin=$top/.cache/node/node_modules/.bin

# install PREFIX PACKAGE VERSION COMMAND: unless it is there
install() {
	if ! [ -x "$4" ] || ! grep -q "\"version\": \"$3\"" "$1/node_modules/$2/package.json"; then
		command -v npm >/dev/null || {
			echo "npm_client.sh: npm is not installed (Debian: apt-get install npm)" >&2
			exit 1
		}
		mkdir -p "$1"
		timeout -k 10 1500 npm install --prefix "$1" --no-audit --no-fund --loglevel=error "$2@$3" >&2
	fi
}

# One at a time: several test processes may want them at once. First the Node of all, then the package.
mkdir -p "$top/.cache"
exec 9>"$top/.cache/node.lock"
flock 9
install "$top/.cache/node" node "$node" "$bin/node"
exec 9>"$top/.cache/$name.lock"
flock 9
PATH=$bin:$PATH
install "$prefix" "$package" "$version" "$command"
[ -e "$prefix/node_modules/.bin/node" ] || ln -s "$bin/node" "$prefix/node_modules/.bin/node"
printf '%s\n' "$command"
