# SPDX-License-Identifier: Apache-2.0
"""What one call costs: its token counts times the rates of the price book.

Token counts are totals (``Usage``): what was read from a cache or written to it is part of the
input, reasoning is part of the output, audio is part of both. Each token is charged once, at the
rate of the smallest part that it belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping

from heron_otel.cost.book import PriceBook, Tariff, Use
from heron_otel.records.cost import CallCost, TokenRates, Unpriced
from heron_otel.records.wire import Json, LlmCall, Usage

_GENERATION = frozenset({"chat", "generate_content", "text_completion"})
PAID_OPERATIONS = _GENERATION | {
    "embeddings",
    "rerank",
    "images",
    "speech",
    "transcriptions",
    "translations",
}
"""Operations that providers charge for; batches are charged for when their requests are run."""
_FAST = "fast"  # "speed" in the usage of Anthropic


def cost_of(call: LlmCall, book: PriceBook) -> CallCost | None:
    """Return the cost of a logical call; None when its operation is not paid for.

    A call that went over several hops is priced on the leg nearest to the provider that answered
    and says what it used.
    """
    if call.operation not in PAID_OPERATIONS:
        return None
    leg = call if call.folded is None else nearest_leg(call)
    server = leg.server
    reported = None if server is None else server.cost_pusd
    if reported is None and leg is not call and call.server is not None:
        reported = call.server.cost_pusd
    moment_ns = leg.timing.started_at_ns
    for tariff in book.tariffs(_use(leg)):
        if tariff.is_always or tariff.price.is_valid_at(moment_ns):
            return _charged(leg, tariff, reported)
    return CallCost(reported_pusd=reported, unknown=Unpriced.PRICE)


def nearest_leg(call: LlmCall) -> LlmCall:
    """Return the hop of ``call`` to price: the last that answered with token counts, or itself."""
    if call.folded is None or not call.folded.hops:
        return call
    answered = [
        hop.call
        for hop in call.folded.hops
        if hop.call.error is None
        and hop.call.response is not None
        and hop.call.response.usage is not None
        and not hop.call.response.usage.estimated
    ]
    if not answered:
        return call
    return max(answered, key=lambda each: (each.timing.started_at_ns, each.key))


def _use(call: LlmCall) -> Use:
    """Return what chooses the price of ``call``: the tier that served it, else that asked for."""
    request, response, server = call.request, call.response, call.server
    tier = None if server is None else server.service_tier
    speed = region = answered = None
    if response is not None:
        answered = response.model
        if metadata := response.metadata:
            if tier is None:
                tier = _word(metadata, "service_tier") or _word(metadata, "trafficType")
            speed = _FAST if metadata.get("speed") == _FAST else None
            region = _word(metadata, "inference_geo")
    if tier is None and request.metadata:
        tier = _word(request.metadata, "service_tier")
    return Use(call.provider, request.model, answered, tier, speed, region)


def _charged(call: LlmCall, tariff: Tariff, reported: int | None) -> CallCost:
    response, price = call.response, tariff.price
    usage = None if response is None else response.usage
    if usage is None or usage.input_tokens is None:
        if price.request_pusd and response is not None and call.error is None:
            usage = Usage(input_tokens=0, output_tokens=0)  # paid for by the request
        else:
            return CallCost(reported_pusd=reported, unknown=Unpriced.USAGE)
    if usage.output_tokens is None and call.operation in _GENERATION:
        return CallCost(reported_pusd=reported, unknown=Unpriced.USAGE)
    rates = tariff.rates
    if (usage.input_tokens or 0) > tariff.long_above:
        rates = tariff.long_rates
    if rates is None:
        return CallCost(reported_pusd=reported, unknown=Unpriced.TIER)
    parts = _parts(usage, rates)
    if parts is None:
        return CallCost(reported_pusd=reported, unknown=Unpriced.TOKENS)
    uncached, read, written, output = parts
    fees = price.request_pusd
    if price.search_pusd:
        fees += _searches(call) * price.search_pusd
    return CallCost(
        priced_pusd=uncached + read + written + output + fees,
        input_pusd=uncached,
        cache_read_pusd=read,
        cache_write_pusd=written,
        output_pusd=output,
        fees_pusd=fees,
        reported_pusd=reported,
        book=price.book,
        tier=tariff.tier,
        rates=rates,
        estimated=usage.estimated,
    )


def _word(metadata: Mapping[str, Json], name: str) -> str | None:
    value = metadata.get(name)
    return value if value and isinstance(value, str) else None


def _searches(call: LlmCall) -> int:
    """Return how many web searches the server says it ran."""
    metadata = {} if call.response is None else call.response.metadata
    used = metadata.get("server_tool_use")
    count = used.get("web_search_requests") if isinstance(used, dict) else None
    return count if isinstance(count, int) and 0 < count < 1 << 32 else 0


def _parts(usage: Usage, rates: TokenRates) -> tuple[int, int, int, int] | None:
    """Return the pico-dollars of uncached input, cache reads, cache writes and output.

    None when there are tokens of a kind without a rate. A kind without tokens costs one look.
    """
    uncached, rate = usage.input_tokens or 0, rates.input
    if rate is None:
        if uncached:
            return None
        rate = 0
    read_pusd = 0
    written_pusd: int | None = 0
    output_pusd: int | None = 0
    if read := usage.cache_read_tokens:
        uncached -= read
        read_pusd = read * (rate if rates.cache_read is None else rates.cache_read)
    if written := usage.cache_write_tokens:
        uncached -= written
        written_pusd = _written(usage, written, rates, rate)
    if output := usage.output_tokens:
        output_pusd = _output(usage, output, rates)
    if uncached < 0 or written_pusd is None or output_pusd is None:
        return None  # below 0: counts that contradict each other
    input_pusd = uncached * rate
    if uncached and usage.audio_input_tokens:
        if rates.audio_input is None:
            return None
        input_pusd += min(usage.audio_input_tokens, uncached) * (rates.audio_input - rate)
    return input_pusd, read_pusd, written_pusd, output_pusd


def _written(usage: Usage, written: int, rates: TokenRates, input_rate: int) -> int | None:
    hour = min(usage.cache_write_1h_tokens or 0, written)
    if hour and rates.cache_write_1h is None:
        return None
    short = input_rate if rates.cache_write is None else rates.cache_write
    return (written - hour) * short + hour * (rates.cache_write_1h or 0)


def _output(usage: Usage, output: int, rates: TokenRates) -> int | None:
    rate = rates.output
    if rate is None:
        return None
    pusd = output * rate
    if rates.reasoning is not None and usage.reasoning_tokens:
        reasoning = min(usage.reasoning_tokens, output)
        pusd += reasoning * (rates.reasoning - rate)
        output -= reasoning
    if usage.audio_output_tokens:
        if rates.audio_output is None:
            return None
        pusd += min(usage.audio_output_tokens, output) * (rates.audio_output - rate)
    return pusd
