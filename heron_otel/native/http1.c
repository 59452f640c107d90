// SPDX-License-Identifier: Apache-2.0
#include "http1_stream.h"

struct http1 *http1_new(struct core_shared *shared, const struct connection_identity *identity)
{
	struct http1 *http = memory_new(shared, sizeof(*http));

	if (!http)
		return NULL;
	http->shared = shared;
	http->exchanges.shared = shared;
	http->exchanges.identity = *identity;
	http->exchanges.client = -1;
	http->exchanges.closer = -1;
	return http;
}

void http1_free(struct http1 *http)
{
	if (!http)
		return;
	websocket_free(http->websocket);
	exchanges_free(&http->exchanges);
	for (int side = 0; side < 2; side++)
		bytes_free(http->shared, &http->streams[side].pending);
	memory_free(http->shared, http, sizeof(*http));
}

void http1_set_client(struct http1 *http, int side)
{
	if (http->exchanges.client >= 0 || http->seen[0] || http->seen[1])
		return;
	http->exchanges.client = side;
	http->exchanges.certain = true;
	http->streams[0].place = AT_HEAD;
	http->streams[1].place = AT_HEAD;
}

/*
 * After a gap inside chunks the next chunk that was found may belong to a later response. A later
 * request that is older than what the server sends now says so.
 */
static bool guessed_wrong(const struct http1 *http, int side, uint64_t ts_ns)
{
	const struct message *message = http->streams[side].message;
	const struct exchange *next;

	if (!message || !message->guessed || !message->status || !message->exchange)
		return false;
	next = message->exchange->next;
	return next && next->started_at_ns <= ts_ns;
}

static void give_up_message(struct http1 *http, int side)
{
	stream_break_message(http, side, END_LOST);
	stream_lose_place(http, side);
}

void http1_data(struct http1 *http, int side, uint64_t ts_ns, uint32_t seq, const uint8_t *data,
		size_t len)
{
	struct stream *stream = &http->streams[side];

	http->seen[side] = true;
	if (ts_ns > stream->clock_ns)
		stream->clock_ns = ts_ns;
	if (guessed_wrong(http, side, ts_ns))
		give_up_message(http, side);
	stream_read(http, side, ts_ns, seq, data, len);
}

static void gap_in_head(struct http1 *http, int side, uint64_t ts_ns)
{
	struct exchange *waiting = exchanges_waiting(&http->exchanges);

	/* The first byte missing is the first of the next response, or behind it. */
	if (side != http->exchanges.client && waiting && waiting->started_at_ns <= ts_ns)
		waiting->response_lost = true;
	stream_drop_pending(http, side);
	stream_lose_place(http, side);
}

static void gap_to_chunk_seek(struct http1 *http, int side)
{
	struct stream *stream = &http->streams[side];
	const struct message *message = stream->message;

	/* The next chunk may be of the response to a request that is missing. */
	if (side != http->exchanges.client && message && message->exchange &&
	    stream_request_missing(http, message->exchange)) {
		give_up_message(http, side);
		return;
	}
	if (stream->message)
		message_guess(stream->message);
	stream->place = AT_CHUNK_SEEK;
	stream->line_start = true;
	stream->after_loss = true;
	stream->pending.size = 0;
	http->exchanges.certain = false;
	http->shared->counters.resyncs++;
}

/* A gap of @missing bytes, at a place where @stream->remaining bytes of content are to come. */
static void gap_in_content(struct http1 *http, int side, uint64_t ts_ns, uint64_t missing)
{
	struct stream *stream = &http->streams[side];
	uint64_t inside = missing < stream->remaining ? missing : stream->remaining;

	if (stream->message)
		message_gap(http->shared, stream->message, inside);
	stream->remaining -= inside;
	if (stream->remaining)
		return;
	if (stream->place == AT_CHUNK_DATA) {
		stream->place = AT_CHUNK_END;
		stream->line_bytes = 0;
		if (missing > inside)
			gap_to_chunk_seek(http, side);
	} else if (missing == inside) {
		stream_finish_message(http, side, true);
	} else {
		stream_break_message(http, side, END_LOST);
		gap_in_head(http, side, ts_ns);
	}
}

/* A request is missing: what is not confirmed yet may be about that one. */
static void reject_unconfirmed(struct http1 *http)
{
	struct exchange *exchange = http->exchanges.last;

	if (!exchange || !exchange_unconfirmed(exchange))
		return;
	if (exchange->response->guessed)
		stream_reject_guess(http, exchange->response);
	if (exchange->unsure)
		exchanges_unpair(&http->exchanges, exchange);
	exchanges_close(&http->exchanges, exchange, END_LOST);
}

void http1_gap(struct http1 *http, int side, uint64_t ts_ns, uint64_t missing)
{
	struct stream *stream = &http->streams[side];
	int client = http->exchanges.client;

	http->seen[side] = true;
	if (ts_ns > stream->clock_ns)
		stream->clock_ns = ts_ns;
	switch (stream->place) {
	case AT_SEEK:
		stream_drop_pending(http, side);
		stream->after_loss = true;
		http->exchanges.certain = false;
		break;
	case AT_HEAD:
		gap_in_head(http, side, ts_ns);
		break;
	case AT_LENGTH:
	case AT_CHUNK_DATA:
		gap_in_content(http, side, ts_ns, missing);
		break;
	case AT_CHUNK_SIZE:
	case AT_CHUNK_END:
	case AT_CHUNK_SEEK:
		if (stream->message)
			message_gap(http->shared, stream->message, missing + stream->pending.size);
		gap_to_chunk_seek(http, side);
		break;
	case AT_TRAILERS:
		if (stream->message)
			message_gap(http->shared, stream->message, missing);
		give_up_message(http, side);
		break;
	case AT_CLOSE:
		if (stream->message)
			message_gap(http->shared, stream->message, missing);
		break;
	case AT_OFFER:
		stream_drop_pending(http, side);
		stream_lose_place(http, side);
		break;
	case AT_WEBSOCKET:
		websocket_gap(http->websocket, stream_is_response(http, side), missing);
		break;
	case AT_SKIP:
		break;
	}
	if (side == client && (stream->place == AT_SEEK || stream->place == AT_CHUNK_SEEK))
		reject_unconfirmed(http);
}

static void stop_stream(struct http1 *http, int side)
{
	struct stream *stream = &http->streams[side];

	stream->ended = true;
	stream->place = AT_SKIP;
	stream_drop_pending(http, side);
}

static void end_client(struct http1 *http, int side)
{
	stop_stream(http, side);
	/* A response to a request that was never finished is still a response. */
	stream_finish_message(http, side, false);
}

static void end_server(struct http1 *http, int side, uint64_t ts_ns)
{
	struct exchanges *exchanges = &http->exchanges;
	struct stream *stream = &http->streams[side];
	bool delimited = stream->place == AT_CLOSE;
	bool lost = stream->place == AT_CHUNK_SEEK;
	bool unsure = stream->place == AT_SEEK && stream->after_loss;
	struct exchange *next;

	stop_stream(http, side);
	if (delimited) {
		if (stream->message && stream->message->exchange)
			stream->message->exchange->until_close = true;
		if (ts_ns > stream->clock_ns)
			stream->clock_ns = ts_ns; /* the end of the connection is its last part */
		stream_finish_message(http, side, true);
	} else {
		stream_break_message(http, side, lost ? END_LOST : END_RESPONSE_CUT);
	}
	for (struct exchange *exchange = exchanges->first; exchange; exchange = next) {
		next = exchange->next;
		if (exchange->request_done && !exchange->response)
			exchanges_close(exchanges, exchange,
					unsure || exchange->response_lost ? END_LOST
									  : END_NO_RESPONSE);
	}
}

static enum exchange_end end_of(const struct http1 *http, const struct exchange *exchange,
				enum stream_end why)
{
	const struct stream *client = &http->streams[http->exchanges.client];

	if (exchange->response && exchange->response->done &&
	    !(exchange->response->flags & BODY_INCOMPLETE))
		return END_COMPLETE; /* answered before its request was through */
	if (exchange->response_lost)
		return END_LOST;
	/* A client that closed and is reset for it left in order. */
	if (why == STREAM_FIN || (why == STREAM_RESET && client->ended))
		return exchange->response ? END_RESPONSE_CUT : END_NO_RESPONSE;
	return exchange_end_of(why);
}

static void end_connection(struct http1 *http, enum stream_end why)
{
	struct exchanges *exchanges = &http->exchanges;

	for (int side = 0; side < 2; side++) {
		struct message *message = http->streams[side].message;

		if (!message)
			continue;
		message->reader = NULL;
		http->streams[side].message = NULL;
		message_finish(http->shared, message, http->streams[side].clock_ns, false);
	}
	while (exchanges->first)
		exchanges_close(exchanges, exchanges->first, end_of(http, exchanges->first, why));
	while (exchanges->first_orphan)
		exchanges_drop_orphan(exchanges);
	if (http->websocket)
		websocket_end(http->websocket, why);
	websocket_free(http->websocket);
	http->websocket = NULL;
	stop_stream(http, 0);
	stop_stream(http, 1);
}

void http1_closing(struct http1 *http, int side)
{
	if (http->exchanges.closer < 0)
		http->exchanges.closer = side;
}

void http1_end(struct http1 *http, int side, uint64_t ts_ns, enum stream_end why)
{
	struct stream *stream = &http->streams[side];

	if (why == STREAM_FIN || why == STREAM_RESET)
		http1_closing(http, side);
	if (why == STREAM_FIN && stream->ended)
		return;
	if (why != STREAM_FIN || http->exchanges.client < 0) {
		if (why == STREAM_FIN)
			stop_stream(http, side);
		else
			end_connection(http, why);
		return;
	}
	if (side == http->exchanges.client)
		end_client(http, side);
	else
		end_server(http, side, ts_ns);
	if (http->streams[1 - side].ended)
		end_connection(http, STREAM_FIN);
}

/* When no hole is left that could hide a request behind @last. */
static uint64_t confirmed_ns(const struct http1 *http, const struct exchange *last)
{
	uint64_t ended_at_ns;

	if (!last || !exchange_unconfirmed(last) || !last->response->done)
		return UINT64_MAX;
	ended_at_ns = last->response->ended_at_ns;
	if (ended_at_ns >= UINT64_MAX - http->shared->limits.gap_timeout_ns)
		return UINT64_MAX;
	return ended_at_ns + http->shared->limits.gap_timeout_ns + 1;
}

uint64_t http1_timer(const struct http1 *http)
{
	uint64_t announce_ns, confirm_ns;

	if (http->websocket)
		return websocket_timer(http->websocket);
	announce_ns = exchanges_announce_ns(&http->exchanges);
	confirm_ns = confirmed_ns(http, http->exchanges.last);
	return announce_ns < confirm_ns ? announce_ns : confirm_ns;
}

void http1_tick(struct http1 *http)
{
	struct exchange *last = http->exchanges.last;

	if (http->shared->now_ns >= confirmed_ns(http, last)) {
		last->unsure = false;
		last->response->guessed = false;
		stream_close_complete(http, last);
	}
	exchanges_announce(&http->exchanges);
	if (http->websocket)
		websocket_tick(http->websocket);
}

bool http1_waiting(const struct http1 *http)
{
	return http->exchanges.first != NULL || http->websocket != NULL;
}
