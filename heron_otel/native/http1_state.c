// SPDX-License-Identifier: Apache-2.0
#include "http1_stream.h"

void stream_forget_pending(struct stream *stream)
{
	stream->pending.size = 0;
	stream->scanned = 0;
}

void stream_drop_pending(struct http1 *http, int side)
{
	struct stream *stream = &http->streams[side];

	http->shared->counters.skipped_bytes += stream->pending.size;
	bytes_free(http->shared, &stream->pending);
	stream->scanned = 0;
}

void stream_enter_head(struct stream *stream)
{
	stream->place = AT_HEAD;
	stream_forget_pending(stream);
}

void stream_read_by(struct stream *stream, struct message *message)
{
	stream->message = message;
	if (message)
		message->reader = &stream->message;
}

struct message *stream_release(struct stream *stream)
{
	struct message *message = stream->message;

	if (message)
		message->reader = NULL;
	stream->message = NULL;
	return message;
}

void stream_lose_place(struct http1 *http, int side)
{
	struct stream *stream = &http->streams[side];

	stream->place = AT_SEEK;
	stream->after_loss = true;
	stream->interim = 0;
	stream_forget_pending(stream);
	http->exchanges.certain = false;
	http->shared->counters.resyncs++;
}

void stream_skip_connection(struct http1 *http)
{
	for (int side = 0; side < 2; side++) {
		stream_release(&http->streams[side]);
		http->streams[side].place = AT_SKIP;
		stream_drop_pending(http, side);
	}
}

/* Takes what is held of @side out of it; the caller frees it. */
static struct bytes take_pending(struct stream *stream)
{
	struct bytes held = stream->pending;

	stream->pending = (struct bytes){0};
	stream->scanned = 0;
	return held;
}

void stream_enter_websocket(struct http1 *http, const struct websocket_terms *terms, uint32_t index,
			    uint32_t request_seq)
{
	struct core_shared *shared = http->shared;
	struct stream *client = &http->streams[http->exchanges.client];
	bool lost = client->place != AT_OFFER;
	struct bytes held = {0};

	if (!terms->unknown)
		http->websocket =
			websocket_new(shared, &http->exchanges, terms, index, request_seq);
	if (!http->websocket) {
		shared->counters.websockets_refused++;
		stream_skip_connection(http);
		return;
	}
	if (client->place == AT_OFFER)
		held = take_pending(client);
	stream_skip_connection(http);
	for (int side = 0; side < 2; side++)
		if (!http->streams[side].ended)
			http->streams[side].place = AT_WEBSOCKET;
	if (lost)
		websocket_gap(http->websocket, false, 0);
	websocket_feed(http->websocket, false, client->clock_ns, held.data, held.size);
	bytes_free(shared, &held);
}

void stream_refuse_offer(struct http1 *http)
{
	int side = http->exchanges.client;
	struct stream *client = &http->streams[side];
	struct bytes held = take_pending(client);

	client->place = AT_HEAD;
	stream_read(http, side, client->pending_at_ns, client->pending_seq, held.data, held.size);
	bytes_free(http->shared, &held);
}

/* Order alone pairs again once nothing is outstanding and both sides are between messages. */
static void settle(struct http1 *http)
{
	const struct exchanges *exchanges = &http->exchanges;

	if (exchanges->first || exchanges->first_orphan)
		return;
	for (int side = 0; side < 2; side++)
		if (http->streams[side].place != AT_HEAD || http->streams[side].pending.size)
			return;
	http->exchanges.certain = true;
}

void stream_close_complete(struct http1 *http, struct exchange *exchange)
{
	if (!exchange->request_done || !exchange->response || !exchange->response->done ||
	    exchange_unconfirmed(exchange))
		return;
	exchanges_close(&http->exchanges, exchange, END_COMPLETE);
	settle(http);
}

void stream_end_request(struct http1 *http, struct exchange *exchange)
{
	exchange->request_done = true;
	if (!exchange->response && http->streams[1 - http->exchanges.client].ended)
		exchanges_close(&http->exchanges, exchange, END_NO_RESPONSE);
	else
		stream_close_complete(http, exchange);
}

void stream_finish_message(struct http1 *http, int side, bool complete)
{
	struct stream *stream = &http->streams[side];
	struct message *message = stream_release(stream);

	if (stream->place != AT_SKIP)
		stream_enter_head(stream);
	if (!message)
		return;
	message_finish(http->shared, message, stream->clock_ns, complete);
	if (message->status) {
		if (message->exchange)
			stream_close_complete(http, message->exchange);
		return;
	}
	message->exchange->ended_at_ns = message->ended_at_ns;
	if (http->offered_upgrade)
		/* What follows may be the other protocol. */
		stream->place = http->offered_websocket ? AT_OFFER : AT_SEEK;
	stream_end_request(http, message->exchange);
}

bool stream_request_missing(const struct http1 *http, const struct exchange *exchange)
{
	return exchange->next ? exchange->next->after_loss
			      : http->streams[http->exchanges.client].after_loss;
}

void stream_break_message(struct http1 *http, int side, enum exchange_end end)
{
	struct message *message = http->streams[side].message;

	if (message) {
		message->end = (uint8_t)end;
		if (message->exchange && message->exchange->end == END_COMPLETE)
			message->exchange->end = end;
	}
	stream_finish_message(http, side, false);
}

void stream_reject_guess(struct http1 *http, struct message *response)
{
	int server = 1 - http->exchanges.client;

	message_roll_back(response);
	response->guessed = false;
	response->end = END_LOST;
	if (http->streams[server].message == response) {
		stream_release(&http->streams[server]);
		message_finish(http->shared, response, http->streams[server].clock_ns, false);
		stream_lose_place(http, server);
	}
}

void stream_fault(struct http1 *http, int side)
{
	stream_break_message(http, side, END_PROTOCOL);
	stream_lose_place(http, side);
}

void stream_head_fault(struct http1 *http, int side, uint64_t ts_ns, enum exchange_end end)
{
	struct exchange *waiting = exchanges_waiting(&http->exchanges);

	if (stream_is_response(http, side) && waiting && waiting->started_at_ns <= ts_ns)
		exchanges_close(&http->exchanges, waiting, end);
	stream_lose_place(http, side);
}

void stream_enter_chunk_size(struct stream *stream)
{
	stream->place = AT_CHUNK_SIZE;
	stream->chunk_line = CHUNK_DIGITS;
	stream->line_bytes = 0;
	stream->remaining = 0;
}
