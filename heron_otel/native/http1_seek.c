// SPDX-License-Identifier: Apache-2.0
#include "http1_stream.h"

#define MAX_SOUGHT_CHUNK_LINE 64

enum found { FOUND_NOTHING, FOUND_REQUEST, FOUND_RESPONSE, FOUND_CHUNK };

/* A chunk size line, with a CR before its LF: strict, for places where one may be. */
static enum line_match match_chunk_line(const uint8_t *data, size_t len)
{
	size_t i = 0;

	while (i < len && i < 8 && stream_hex_value(data[i]) >= 0)
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
		stream_enter_chunk_size(stream);
	} else {
		stream_break_message(http, side, END_LOST);
		stream->place = AT_HEAD;
	}
}

size_t stream_seek(struct http1 *http, int side, uint64_t ts_ns, uint32_t seq, const uint8_t *data,
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
