# SPDX-License-Identifier: Apache-2.0
"""Joins the settings and the class of the ``pcap`` receiver."""

from __future__ import annotations

from heron_otel.component.factory import ReceiverFactory, Stability
from heron_otel.component.receiver import Receiver
from heron_otel.receivers.pcap.config import PcapConfig


def create(component: str, config: PcapConfig) -> Receiver:
    """Return the receiver; imports what captures only now, so that ``validate`` works anywhere."""
    from heron_otel.receivers.pcap.receiver import PcapReceiver

    return PcapReceiver(component, config)


FACTORY = ReceiverFactory(type="pcap", config=PcapConfig, create=create, stability=Stability.ALPHA)
