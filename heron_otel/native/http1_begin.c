// SPDX-License-Identifier: Apache-2.0
#include "http1_stream.h"

/* The beginning of a request confirms or refutes what was supposed about earlier exchanges. */
static void review_pairs(struct http1 *http, uint64_t started_at_ns)
{
	struct exchange *next;

	for (struct exchange *exchange = http->exchanges.first; exchange; exchange = next) {
		struct message *response = exchange->response;

		next = exchange->next;
		if (!response)
			continue;
		if (exchange->unsure && response->started_at_ns >= started_at_ns) {
			exchanges_unpair(&http->exchanges, exchange);
			exchanges_close(&http->exchanges, exchange, END_LOST);
		} else if (response->guessed && response->ended_at_ns >= started_at_ns) {
			stream_reject_guess(http, response);
			exchanges_close(&http->exchanges, exchange, END_LOST);
		} else {
			exchange->unsure = false;
		}
	}
}

/* The same, once the new request stands behind them. */
static void close_confirmed(struct http1 *http)
{
	struct exchange *next;

	for (struct exchange *exchange = http->exchanges.first; exchange; exchange = next) {
		next = exchange->next;
		stream_close_complete(http, exchange);
	}
}

static void enter_length(struct stream *stream, uint64_t length)
{
	stream->place = AT_LENGTH;
	stream->remaining = length;
	stream->expected = length;
}

/* RFC 9112, section 6.3. */
static void enter_content(struct http1 *http, int side, const struct http1_head *head,
			  bool no_content)
{
	struct stream *stream = &http->streams[side];

	stream->expected = 0;
	if (no_content) {
		stream_finish_message(http, side, true);
	} else if (head->chunked) {
		stream_enter_chunk_size(stream);
	} else if (head->transfer_coded ? !head->status : head->bad_length) {
		stream_fault(http, side); /* the end of the message cannot be known */
	} else if (head->has_length && !head->transfer_coded) {
		enter_length(stream, head->length);
		if (head->length == 0)
			stream_finish_message(http, side, true);
	} else if (head->status) {
		stream->place = AT_CLOSE;
	} else {
		stream_finish_message(http, side, true);
	}
}

static void close_all(struct http1 *http, enum exchange_end end)
{
	while (http->exchanges.first)
		exchanges_close(&http->exchanges, http->exchanges.first, end);
	while (http->exchanges.first_orphan)
		exchanges_drop_orphan(&http->exchanges);
}

static void bound_pipeline(struct http1 *http)
{
	struct exchanges *exchanges = &http->exchanges;

	if (exchanges->open <= http->shared->limits.max_pipeline)
		return;
	http->shared->counters.pipeline_limit++;
	if (!http->seen[1 - exchanges->client]) {
		/* Only requests are captured here: nothing can be paired wrongly. */
		exchanges_close(exchanges, exchanges->first, END_LIMIT);
		return;
	}
	close_all(http, END_LIMIT);
	stream_skip_connection(http);
}

static void begin_request(struct http1 *http, int side, const struct http1_head *head,
			  uint64_t started_at_ns, uint32_t seq)
{
	struct core_shared *shared = http->shared;
	struct stream *stream = &http->streams[side];
	struct message *message;
	struct exchange *exchange;

	if (head->is_h2) {
		shared->counters.upgraded++;
		stream_skip_connection(http);
		return;
	}
	shared->counters.requests++;
	message = message_new(shared, head); /* first: records overwrite head->packed */
	review_pairs(http, started_at_ns);
	exchange = exchanges_request(&http->exchanges, message, head, started_at_ns, seq);
	if (!exchange) {
		message_free(shared, message);
		close_all(http, END_LIMIT);
		stream_skip_connection(http);
		return;
	}
	exchange->after_loss = stream->after_loss;
	close_confirmed(http);
	stream->after_loss = false;
	http->offered_upgrade = head->wants_upgrade || head->is_connect;
	http->offered_websocket = head->websocket;
	if (message) {
		message->started_at_ns = started_at_ns;
		message->head_at_ns = stream->clock_ns;
	}
	stream_read_by(stream, message);
	exchanges_claim_orphan(&http->exchanges, exchange);
	if (!message)
		stream_end_request(http, exchange);
	bound_pipeline(http);
	if (stream->place != AT_SKIP)
		enter_content(http, side, head, false);
}

static struct message *make_response(struct http1 *http, struct stream *stream,
				     const struct http1_head *head, uint64_t started_at_ns)
{
	struct message *message = message_new(http->shared, head);

	if (!message)
		return NULL;
	message->started_at_ns = started_at_ns;
	message->head_at_ns = stream->clock_ns;
	message->ended_at_ns = stream->clock_ns;
	message->interim = stream->interim;
	message->after_loss = stream->after_loss;
	return message;
}

/* Gives the response its exchange, or a place among those that wait for their request. */
static struct exchange *place_response(struct http1 *http, int side, const struct http1_head *head,
				       uint64_t started_at_ns)
{
	struct exchanges *exchanges = &http->exchanges;
	struct stream *stream = &http->streams[side];
	struct message *message = NULL;
	struct exchange *exchange;
	bool doubtful;

	exchange = exchanges_match(exchanges, started_at_ns, &doubtful);
	if (exchange && !exchanges->certain && stream->after_loss &&
	    stream_request_missing(http, exchange)) {
		exchange->response_lost = true; /* or this is it: that cannot be told */
		exchange = NULL;
	}
	if (doubtful)
		http->shared->counters.unpaired_responses++;
	else
		message = make_response(http, stream, head, started_at_ns);
	stream_read_by(stream, message);
	if (!message) {
		if (exchange)
			exchanges_close(exchanges, exchange, END_LIMIT);
		return NULL;
	}
	if (exchange) {
		exchanges_pair(exchanges, exchange, message);
		return exchange;
	}
	exchanges_add_orphan(exchanges, message);
	if (exchanges->orphans > http->shared->limits.max_pipeline) {
		http->shared->counters.pipeline_limit++;
		exchanges->certain = false;
		exchanges_drop_orphan(exchanges);
		if (exchanges->first_orphan)
			exchanges->first_orphan->after_loss = true;
	}
	return NULL;
}

static void upgrade(struct http1 *http, int side, const struct http1_head *head,
		    struct exchange *exchange)
{
	struct stream *stream = &http->streams[side];
	struct message *response = stream_release(stream);
	bool websocket = exchange && head->status == 101 && head->websocket;
	uint32_t index = exchange ? exchange->index : 0;
	uint32_t request_seq = exchange ? exchange->request_seq : 0;

	http->shared->counters.upgraded++;
	if (response)
		message_finish(http->shared, response, stream->clock_ns, true);
	if (exchange)
		exchanges_close(&http->exchanges, exchange, END_UPGRADED);
	close_all(http, END_UPGRADED);
	if (websocket)
		stream_enter_websocket(http, &head->terms, index, request_seq);
	else
		stream_skip_connection(http);
}

static void begin_response(struct http1 *http, int side, const struct http1_head *head,
			   uint64_t started_at_ns)
{
	struct stream *stream = &http->streams[side];
	struct stream *client = &http->streams[1 - side];
	struct exchange *exchange;
	bool no_content;

	if (head->status < 200 && head->status != 101) {
		http->shared->counters.interim_responses++;
		stream->interim++;
		stream_enter_head(stream);
		return;
	}
	http->shared->counters.responses++;
	exchange = place_response(http, side, head, started_at_ns);
	stream->after_loss = stream->message == NULL;
	stream->interim = 0;
	if (head->status == 101 || (exchange && exchange->is_connect && head->status < 300)) {
		upgrade(http, side, head, exchange);
		return;
	}
	no_content = head->status == 204 || head->status == 304 || (exchange && exchange->is_head);
	if (http->offered_upgrade && client->pending.size == 0 &&
	    (client->place == AT_SEEK || client->place == AT_OFFER))
		client->place = AT_HEAD; /* the offer was not taken */
	enter_content(http, side, head, no_content);
	if (client->place == AT_OFFER)
		stream_refuse_offer(http);
}

void stream_take_head(struct http1 *http, int side, const uint8_t *data, size_t len,
		      uint64_t started_at_ns, uint32_t seq)
{
	struct http1_head head;

	if (!http1_head_read(http->shared, stream_is_response(http, side), data, len, &head)) {
		http->shared->counters.skipped_bytes += len;
		stream_head_fault(http, side, started_at_ns, END_PROTOCOL);
		return;
	}
	stream_forget_pending(&http->streams[side]);
	if (stream_is_response(http, side))
		begin_response(http, side, &head, started_at_ns);
	else
		begin_request(http, side, &head, started_at_ns, seq);
}
