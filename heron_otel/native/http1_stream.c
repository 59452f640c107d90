// SPDX-License-Identifier: Apache-2.0
#include "http1_stream.h"

#define MAX_CHUNK_LINE 4096 /* extensions included; far above any seen */
#define MAX_CHUNK_DIGITS 15 /* 2^60 bytes */
#define MAX_SOUGHT_CHUNK_LINE 64

enum found { FOUND_NOTHING, FOUND_REQUEST, FOUND_RESPONSE, FOUND_CHUNK };

static bool is_response(const struct http1 *http, int side)
{
	return side != http->exchanges.client;
}

static void forget_pending(struct stream *stream)
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

static void enter_head(struct stream *stream)
{
	stream->place = AT_HEAD;
	forget_pending(stream);
}

static void read_by(struct stream *stream, struct message *message)
{
	stream->message = message;
	if (message)
		message->reader = &stream->message;
}

static struct message *release(struct stream *stream)
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
	forget_pending(stream);
	http->exchanges.certain = false;
	http->shared->counters.resyncs++;
}

void stream_skip_connection(struct http1 *http)
{
	for (int side = 0; side < 2; side++) {
		release(&http->streams[side]);
		http->streams[side].place = AT_SKIP;
		stream_drop_pending(http, side);
	}
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

static void end_request(struct http1 *http, struct exchange *exchange)
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
	struct message *message = release(stream);

	if (stream->place != AT_SKIP)
		enter_head(stream);
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
		stream->place = AT_SEEK; /* what follows may be the other protocol */
	end_request(http, message->exchange);
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
		release(&http->streams[server]);
		message_finish(http->shared, response, http->streams[server].clock_ns, false);
		stream_lose_place(http, server);
	}
}

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

static void fault(struct http1 *http, int side)
{
	stream_break_message(http, side, END_PROTOCOL);
	stream_lose_place(http, side);
}

/* A head that cannot be read stands where the oldest waiting request expects its response. */
static void head_fault(struct http1 *http, int side, uint64_t ts_ns, enum exchange_end end)
{
	struct exchange *waiting = exchanges_waiting(&http->exchanges);

	if (is_response(http, side) && waiting && waiting->started_at_ns <= ts_ns)
		exchanges_close(&http->exchanges, waiting, end);
	stream_lose_place(http, side);
}

static void enter_length(struct stream *stream, uint64_t length)
{
	stream->place = AT_LENGTH;
	stream->remaining = length;
	stream->expected = length;
}

static void enter_chunk_size(struct stream *stream)
{
	stream->place = AT_CHUNK_SIZE;
	stream->chunk_line = CHUNK_DIGITS;
	stream->line_bytes = 0;
	stream->remaining = 0;
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
		enter_chunk_size(stream);
	} else if (head->transfer_coded ? !head->status : head->bad_length) {
		fault(http, side); /* the end of the message cannot be known */
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
	if (message) {
		message->started_at_ns = started_at_ns;
		message->head_at_ns = stream->clock_ns;
	}
	read_by(stream, message);
	exchanges_claim_orphan(&http->exchanges, exchange);
	if (!message)
		end_request(http, exchange);
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
	read_by(stream, message);
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

static void upgrade(struct http1 *http, int side, struct exchange *exchange)
{
	struct stream *stream = &http->streams[side];
	struct message *response = release(stream);

	http->shared->counters.upgraded++;
	if (response)
		message_finish(http->shared, response, stream->clock_ns, true);
	if (exchange)
		exchanges_close(&http->exchanges, exchange, END_UPGRADED);
	close_all(http, END_UPGRADED);
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
		enter_head(stream);
		return;
	}
	http->shared->counters.responses++;
	exchange = place_response(http, side, head, started_at_ns);
	stream->after_loss = stream->message == NULL;
	stream->interim = 0;
	if (head->status == 101 || (exchange && exchange->is_connect && head->status < 300)) {
		upgrade(http, side, exchange);
		return;
	}
	if (http->offered_upgrade && client->place == AT_SEEK && client->pending.size == 0)
		client->place = AT_HEAD; /* the offer was not taken */
	no_content = head->status == 204 || head->status == 304 || (exchange && exchange->is_head);
	enter_content(http, side, head, no_content);
}

static void take_head(struct http1 *http, int side, const uint8_t *data, size_t len,
		      uint64_t started_at_ns, uint32_t seq)
{
	struct http1_head head;

	if (!http1_head_read(http->shared, is_response(http, side), data, len, &head)) {
		http->shared->counters.skipped_bytes += len;
		head_fault(http, side, started_at_ns, END_PROTOCOL);
		return;
	}
	forget_pending(&http->streams[side]);
	if (is_response(http, side))
		begin_response(http, side, &head, started_at_ns);
	else
		begin_request(http, side, &head, started_at_ns, seq);
}

/* Adds to the head that is not complete yet. */
static size_t continue_head(struct http1 *http, int side, uint64_t ts_ns, uint32_t seq,
			    const uint8_t *data, size_t len)
{
	struct core_shared *shared = http->shared;
	struct stream *stream = &http->streams[side];
	size_t before = stream->pending.size;
	size_t limit = shared->limits.max_head_bytes;
	size_t take = before + len > limit ? limit - before : len;
	size_t end;

	if (before == 0) {
		stream->pending_at_ns = ts_ns;
		stream->pending_seq = seq;
	}
	if (take == 0 || !bytes_append(shared, &stream->pending, data, take)) {
		shared->counters.head_limit++;
		shared->counters.skipped_bytes += before;
		head_fault(http, side, stream->pending_at_ns, END_LIMIT);
		return 0;
	}
	if (http1_line_begins(is_response(http, side), stream->pending.data,
			      stream->pending.size) == LINE_NO) {
		/* As read_head() does it: one byte is given up, the rest is searched. */
		shared->counters.skipped_bytes++;
		head_fault(http, side, stream->pending_at_ns, END_PROTOCOL);
		stream->pending.size = before;
		bytes_shift(&stream->pending, 1);
		stream->pending_seq++;
		return 0;
	}
	end = http1_head_end(stream->pending.data, stream->pending.size, &stream->scanned);
	if (end == 0)
		return take;
	take_head(http, side, stream->pending.data, end, stream->pending_at_ns,
		  stream->pending_seq);
	return end - before;
}

static size_t read_head(struct http1 *http, int side, uint64_t ts_ns, uint32_t seq,
			const uint8_t *data, size_t len)
{
	struct stream *stream = &http->streams[side];
	size_t blank = 0, end, scanned = 0;

	if (stream->pending.size)
		return continue_head(http, side, ts_ns, seq, data, len);
	/* RFC 9112, section 2.2: empty lines before a start line are ignored. */
	while (blank < len && (data[blank] == '\r' || data[blank] == '\n'))
		blank++;
	if (blank)
		return blank;
	if (http1_line_begins(is_response(http, side), data, len) == LINE_NO) {
		http->shared->counters.skipped_bytes++;
		head_fault(http, side, ts_ns, END_PROTOCOL);
		return 1;
	}
	end = http1_head_end(data, len, &scanned);
	if (end == 0 || end > http->shared->limits.max_head_bytes)
		return continue_head(http, side, ts_ns, seq, data, len);
	take_head(http, side, data, end, ts_ns, seq);
	return end;
}

static size_t read_content(struct http1 *http, int side, const uint8_t *data, size_t len)
{
	struct stream *stream = &http->streams[side];

	if (stream->place != AT_CLOSE && len > stream->remaining)
		len = (size_t)stream->remaining;
	if (stream->message)
		message_body(http->shared, stream->message, stream->clock_ns, data, len,
			     stream->expected);
	else
		http->shared->counters.skipped_bytes += len;
	if (stream->place == AT_CLOSE)
		return len;
	stream->remaining -= len;
	if (stream->remaining)
		return len;
	if (stream->place == AT_LENGTH) {
		stream_finish_message(http, side, true);
	} else {
		stream->place = AT_CHUNK_END;
		stream->line_bytes = 0;
	}
	return len;
}

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void bad_chunk(struct http1 *http, int side)
{
	http->shared->counters.bad_chunk++;
	fault(http, side);
}

static void end_chunk_line(struct stream *stream)
{
	stream->line_bytes = 0;
	stream->trailer_bytes = 0;
	stream->place = stream->remaining ? AT_CHUNK_DATA : AT_TRAILERS;
}

/* False: not part of a chunk size line (RFC 9112, section 7.1). */
static bool take_chunk_line_byte(struct stream *stream, uint8_t c)
{
	int digit = hex_value(c);

	if (++stream->line_bytes > MAX_CHUNK_LINE)
		return false;
	if (c == '\n') {
		if (stream->chunk_line == CHUNK_DIGITS && stream->line_bytes == 1)
			return false;
		end_chunk_line(stream);
		return true;
	}
	switch (stream->chunk_line) {
	case CHUNK_DIGITS:
		if (digit >= 0) {
			stream->remaining = stream->remaining << 4 | (uint64_t)digit;
			return stream->line_bytes <= MAX_CHUNK_DIGITS;
		}
		stream->chunk_line = c == '\r' ? CHUNK_LF : CHUNK_EXTENSION;
		return stream->line_bytes > 1 && (c == '\r' || c == ';' || c == ' ' || c == '\t');
	case CHUNK_EXTENSION:
		return true;
	case CHUNK_LF:
		break;
	}
	return false;
}

static size_t read_chunk_size(struct http1 *http, int side, const uint8_t *data, size_t len)
{
	struct stream *stream = &http->streams[side];

	for (size_t i = 0; i < len; i++) {
		if (!take_chunk_line_byte(stream, data[i])) {
			bad_chunk(http, side);
			return i;
		}
		if (stream->place != AT_CHUNK_SIZE)
			return i + 1;
	}
	return len;
}

static size_t read_chunk_end(struct http1 *http, int side, const uint8_t *data)
{
	struct stream *stream = &http->streams[side];

	if (*data == '\n') {
		enter_chunk_size(stream);
		return 1;
	}
	if (*data != '\r' || stream->line_bytes++) {
		bad_chunk(http, side);
		return 0;
	}
	return 1;
}

static size_t read_trailers(struct http1 *http, int side, const uint8_t *data, size_t len)
{
	struct stream *stream = &http->streams[side];

	for (size_t i = 0; i < len; i++) {
		if (++stream->trailer_bytes > http->shared->limits.max_head_bytes) {
			http->shared->counters.head_limit++;
			fault(http, side);
			return i;
		}
		if (data[i] == '\n') {
			if (stream->line_bytes == 0) {
				stream_finish_message(http, side, true);
				return i + 1;
			}
			stream->line_bytes = 0;
		} else if (data[i] != '\r') {
			stream->line_bytes = 1;
		}
	}
	return len;
}

/* A chunk size line, with a CR before its LF: strict, for places where one may be. */
static enum line_match match_chunk_line(const uint8_t *data, size_t len)
{
	size_t i = 0;

	while (i < len && i < 8 && hex_value(data[i]) >= 0)
		i++;
	if (i == 0)
		return LINE_NO;
	if (i < len && data[i] == ';')
		while (i < len && i < MAX_SOUGHT_CHUNK_LINE && data[i] >= ' ' && data[i] < 0x7f)
			i++;
	if (i == len)
		return LINE_MORE;
	if (data[i] != '\r')
		return LINE_NO;
	if (i + 1 == len)
		return LINE_MORE;
	return data[i + 1] == '\n' ? LINE_YES : LINE_NO;
}

struct search {
	const uint8_t *data;
	size_t len;
	bool line_start; /* data[0] begins a line */
	bool requests;
	bool responses;
	bool chunks;
	size_t at;	  /* where the match is, or how much can be forgotten */
	enum found found; /* FOUND_NOTHING with at < len: more bytes will tell */
};

static bool try_match(struct search *search, size_t at, enum found found)
{
	const uint8_t *data = search->data + at;
	size_t len = search->len - at;
	enum line_match match = found == FOUND_CHUNK
					? match_chunk_line(data, len)
					: http1_line_matches(found == FOUND_RESPONSE, data, len);

	if (match == LINE_NO)
		return false;
	search->at = at;
	search->found = match == LINE_YES ? found : FOUND_NOTHING;
	return true;
}

static size_t next_byte(const struct search *search, size_t from, uint8_t byte)
{
	const uint8_t *at = memchr(search->data + from, byte, search->len - from);

	return at ? (size_t)(at - search->data) : search->len;
}

/* Linear: candidates are found by memchr() and each is looked at once, to a bounded length. */
static void run_search(struct search *search)
{
	size_t len = search->len;
	size_t space = search->requests ? next_byte(search, 0, ' ') : len;
	size_t letter = search->responses ? next_byte(search, 0, 'H') : len;
	size_t line = len, method;

	search->found = FOUND_NOTHING;
	if (search->chunks) {
		if (search->line_start && try_match(search, 0, FOUND_CHUNK))
			return;
		line = next_byte(search, 0, '\n');
	}
	while (space < len || letter < len || line < len) {
		if (line < space && line < letter) {
			if (line + 1 < len && try_match(search, line + 1, FOUND_CHUNK))
				return;
			line = next_byte(search, line + 1, '\n');
		} else if (space < letter) {
			method = http1_method_before(search->data, space);
			if (method && try_match(search, space - method, FOUND_REQUEST))
				return;
			space = next_byte(search, space + 1, ' ');
		} else {
			if (try_match(search, letter, FOUND_RESPONSE))
				return;
			letter = next_byte(search, letter + 1, 'H');
		}
	}
	search->at = len - (search->requests ? http1_method_tail(search->data, len) : 0);
}

/* What was searched in vain belongs to nothing, or to the body whose framing a gap hid. */
static void forget_searched(struct http1 *http, struct stream *stream, size_t count)
{
	if (stream->message)
		stream->message->lost_bytes += count;
	else
		http->shared->counters.skipped_bytes += count;
}

static void found_line(struct http1 *http, int side, enum found found)
{
	struct stream *stream = &http->streams[side];

	if (http->exchanges.client < 0)
		http->exchanges.client = found == FOUND_REQUEST ? side : 1 - side;
	if (found == FOUND_CHUNK) {
		enter_chunk_size(stream);
	} else {
		stream_break_message(http, side, END_LOST);
		stream->place = AT_HEAD;
	}
}

static size_t seek(struct http1 *http, int side, uint64_t ts_ns, uint32_t seq, const uint8_t *data,
		   size_t len)
{
	struct core_shared *shared = http->shared;
	struct stream *stream = &http->streams[side];
	struct bytes *pending = &stream->pending;
	int client = http->exchanges.client;
	size_t before, kept;
	struct search search = {
		.data = data,
		.len = len,
		.line_start = stream->line_start,
		.requests = client < 0 || client == side,
		.responses = client < 0 || client != side,
		.chunks = stream->place == AT_CHUNK_SEEK,
	};

	if (pending->size && !bytes_append(shared, pending, data, len)) {
		forget_searched(http, stream, pending->size);
		pending->size = 0; /* a line that spans this cut is missed */
	}
	before = pending->size ? pending->size - len : 0;
	if (pending->size) {
		search.data = pending->data;
		search.len = pending->size;
	}
	run_search(&search);
	forget_searched(http, stream, search.at);
	if (search.at)
		stream->line_start = search.data[search.at - 1] == '\n';
	if (search.at >= before) {
		stream->pending_at_ns = ts_ns;
		stream->pending_seq = seq + (uint32_t)(search.at - before);
	} else {
		stream->pending_seq += (uint32_t)search.at;
	}
	if (search.found == FOUND_NOTHING) {
		kept = search.len - search.at;
		if (pending->size)
			bytes_shift(pending, search.at);
		else if (kept)
			bytes_append(shared, pending, data + search.at, kept);
		return len;
	}
	kept = search.at < before ? before - search.at : 0;
	if (pending->size && kept)
		bytes_shift(pending, search.at);
	if (search.found == FOUND_CHUNK) {
		struct bytes again = *pending;

		*pending = (struct bytes){0};
		found_line(http, side, search.found);
		stream_read(http, side, ts_ns, stream->pending_seq, again.data, kept);
		bytes_free(shared, &again);
	} else {
		/* The head starts with what pending held of its line. */
		found_line(http, side, search.found);
		pending->size = kept;
		stream->scanned = 0;
	}
	return search.at < before ? 0 : search.at - before;
}

void stream_read(struct http1 *http, int side, uint64_t ts_ns, uint32_t seq, const uint8_t *data,
		 size_t len)
{
	struct stream *stream = &http->streams[side];

	while (len) {
		size_t used = len;

		switch (stream->place) {
		case AT_SEEK:
		case AT_CHUNK_SEEK:
			used = seek(http, side, ts_ns, seq, data, len);
			break;
		case AT_HEAD:
			used = read_head(http, side, ts_ns, seq, data, len);
			break;
		case AT_LENGTH:
		case AT_CHUNK_DATA:
		case AT_CLOSE:
			used = read_content(http, side, data, len);
			break;
		case AT_CHUNK_SIZE:
			used = read_chunk_size(http, side, data, len);
			break;
		case AT_CHUNK_END:
			used = read_chunk_end(http, side, data);
			break;
		case AT_TRAILERS:
			used = read_trailers(http, side, data, len);
			break;
		case AT_SKIP:
			/* Where a parser of the protocol that took over reads on. */
			http->shared->counters.skipped_bytes += len;
			break;
		}
		data += used;
		seq += (uint32_t)used;
		len -= used;
	}
}
