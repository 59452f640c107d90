# SPDX-License-Identifier: Apache-2.0
"""``python -m heron_otel`` is the command ``heron-otel``."""

import sys

from heron_otel.cli.main import main

sys.exit(main())
