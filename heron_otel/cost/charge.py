# SPDX-License-Identifier: Apache-2.0
"""What one call costs: its token counts times the rates of the price book.

Token counts are totals (``Usage``): what was read from a cache or written to it is part of the
input, reasoning is part of the output, audio is part of both. Each token is charged once, at the
rate of the smallest part that it belongs to.
"""

from __future__ import annotations

from heron_otel.cost.book import Price, PriceBook, undated
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
_STANDARD = frozenset({"", "auto", "default", "standard", "standard_only", "on_demand"})
_ALIASES = {"on_demand_flex": "flex", "on_demand_priority": "priority"}  # Vertex AI, trafficType
_FAST = "fast"  # "speed" in the usage of Anthropic


def cost_of(call: LlmCall, book: PriceBook) -> CallCost | None:
    """Return the cost of a logical call; None when its operation is not paid for.

    A call that went over several hops is priced on the leg nearest to the provider that answered
    and says what it used.
    """
    if call.operation not in PAID_OPERATIONS:
        return None
    leg = nearest_leg(call)
    reported = None if leg.server is None else leg.server.cost_pusd
    if reported is None and call.server is not None:
        reported = call.server.cost_pusd
    price = _price_of(leg, book)
    if price is None:
        return CallCost(reported_pusd=reported, unknown=Unpriced.PRICE)
    return _charged(leg, price, reported)


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


def _price_of(call: LlmCall, book: PriceBook) -> Price | None:
    """Return the price of the model that answered.

    An answer can name the model in another form than the provider's price list does: the name
    that was asked for is looked up when it holds the one that was answered.
    """
    asked, moment_ns = call.request.model, call.timing.started_at_ns
    answered = asked if call.response is None else call.response.model or asked
    if answered is None:
        return None
    price = book.find(call.provider, answered, moment_ns)
    if price is None and asked is not None and asked != answered and undated(answered) in asked:
        price = book.find(call.provider, asked, moment_ns)
    return price


def _charged(call: LlmCall, price: Price, reported: int | None) -> CallCost:
    response = call.response
    usage = None if response is None else response.usage
    if usage is None or usage.input_tokens is None:
        if price.request_pusd and response is not None and call.error is None:
            usage = Usage(input_tokens=0, output_tokens=0)  # paid for by the request
        else:
            return CallCost(reported_pusd=reported, unknown=Unpriced.USAGE)
    if usage.output_tokens is None and call.operation in _GENERATION:
        return CallCost(reported_pusd=reported, unknown=Unpriced.USAGE)
    words = _words(call, price)
    rates = price.rates(words, long=price.is_long(usage.input_tokens or 0))
    if rates is None:
        return CallCost(reported_pusd=reported, unknown=Unpriced.TIER)
    parts = _parts(usage, rates)
    if parts is None:
        return CallCost(reported_pusd=reported, unknown=Unpriced.TOKENS)
    uncached, read, written, output = parts
    fees = price.request_pusd + _searches(call) * (price.search_pusd or 0)
    return CallCost(
        priced_pusd=uncached + read + written + output + fees,
        input_pusd=uncached,
        cache_read_pusd=read,
        cache_write_pusd=written,
        output_pusd=output,
        fees_pusd=fees,
        reported_pusd=reported,
        book=price.book,
        tier=" ".join(words) or None,
        rates=rates,
        estimated=usage.estimated,
    )


def _words(call: LlmCall, price: Price) -> tuple[str, ...]:
    """Return the tiers that choose the price: those that served the call, else the one asked for.

    A region without a price of its own costs what the others cost.
    """
    metadata = {} if call.response is None else call.response.metadata
    tier = None if call.server is None else call.server.service_tier
    if tier is None:
        tier = (
            _text(metadata.get("service_tier"))
            or _text(metadata.get("trafficType"))
            or _text(call.request.metadata.get("service_tier"))
        )
    speed, region = metadata.get("speed"), metadata.get("inference_geo")
    if not speed and not region and (tier is None or tier in _STANDARD):
        return ()
    words: list[str] = []
    tier = "" if tier is None else tier.lower()
    if tier not in _STANDARD:
        words.append(_ALIASES.get(tier, tier))
    if speed == _FAST:
        words.append(_FAST)
    if isinstance(region, str) and region in price.entry.tiers:
        words.append(region)
    return tuple(words)


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _searches(call: LlmCall) -> int:
    """Return how many web searches the server says it ran."""
    metadata = {} if call.response is None else call.response.metadata
    used = metadata.get("server_tool_use")
    count = used.get("web_search_requests") if isinstance(used, dict) else None
    return count if isinstance(count, int) and 0 < count < 1 << 32 else 0


def _parts(usage: Usage, rates: TokenRates) -> tuple[int, int, int, int] | None:
    """Return the pico-dollars of uncached input, cache reads, cache writes and output.

    None when there are tokens of a kind without a rate.
    """
    input_tokens, output_tokens = usage.input_tokens or 0, usage.output_tokens or 0
    read, written = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
    rate = rates.input
    if rate is None and input_tokens:
        return None
    rate = rate or 0
    uncached = input_tokens - read - written
    if uncached < 0:
        return None  # counts that contradict each other
    audio = min(usage.audio_input_tokens or 0, uncached)
    if audio:
        if rates.audio_input is None:
            return None
        input_pusd = (uncached - audio) * rate + audio * rates.audio_input
    else:
        input_pusd = uncached * rate
    read_pusd = read * (rate if rates.cache_read is None else rates.cache_read)
    written_pusd = 0
    if written:
        hour = min(usage.cache_write_1h_tokens or 0, written)
        if hour and rates.cache_write_1h is None:
            return None
        short = rate if rates.cache_write is None else rates.cache_write
        written_pusd = (written - hour) * short + hour * (rates.cache_write_1h or 0)
    output_pusd = _output(usage, output_tokens, rates)
    return None if output_pusd is None else (input_pusd, read_pusd, written_pusd, output_pusd)


def _output(usage: Usage, output_tokens: int, rates: TokenRates) -> int | None:
    if not output_tokens:
        return 0
    rate = rates.output
    if rate is None:
        return None
    reasoning = audio = 0
    if rates.reasoning is not None:
        reasoning = min(usage.reasoning_tokens or 0, output_tokens)
    if usage.audio_output_tokens:
        if rates.audio_output is None:
            return None
        audio = min(usage.audio_output_tokens, output_tokens - reasoning)
    plain = output_tokens - reasoning - audio
    return plain * rate + reasoning * (rates.reasoning or 0) + audio * (rates.audio_output or 0)
