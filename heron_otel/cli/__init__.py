# SPDX-License-Identifier: Apache-2.0
"""The command ``heron-otel``, one module per subcommand."""
