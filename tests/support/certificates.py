# SPDX-License-Identifier: Apache-2.0
"""Test certificates, made with the openssl command."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """PEM files of a self-signed certificate."""

    certificate: Path
    key: Path


def make_certificate(folder: Path, name: str, *, address: bool = True) -> Certificate:
    """Make a self-signed certificate for ``name``, and for 127.0.0.1 if ``address``."""
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    names = f"DNS:{name},IP:127.0.0.1" if address else f"DNS:{name}"
    options = (
        f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        f"-subj /CN={name} -addext subjectAltName={names} "
        f"-out {made.certificate} -keyout {made.key}"
    )
    subprocess.run(
        ["openssl", *options.split()],
        check=True,
        capture_output=True,
    )
    return made
