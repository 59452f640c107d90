// SPDX-License-Identifier: Apache-2.0
#include "http1_stream.h"

#define MAX_CHUNK_LINE 4096 /* extensions included; far above any seen */
#define MAX_CHUNK_DIGITS 15 /* 2^60 bytes */

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
		shared->counters.skipped_bytes += before ? before : 1;
		stream_head_fault(http, side, stream->pending_at_ns, END_LIMIT);
		/* One byte at least is given up: the search would find the same line again. */
		return before ? 0 : 1;
	}
	if (http1_line_begins(stream_is_response(http, side), stream->pending.data,
			      stream->pending.size) == LINE_NO) {
		/* As read_head() does it: one byte is given up, the rest is searched. */
		shared->counters.skipped_bytes++;
		stream_head_fault(http, side, stream->pending_at_ns, END_PROTOCOL);
		stream->pending.size = before;
		bytes_shift(&stream->pending, 1);
		stream->pending_seq++;
		return 0;
	}
	end = http1_head_end(stream->pending.data, stream->pending.size, &stream->scanned);
	if (end == 0)
		return take;
	stream_take_head(http, side, stream->pending.data, end, stream->pending_at_ns,
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
	if (http1_line_begins(stream_is_response(http, side), data, len) == LINE_NO) {
		http->shared->counters.skipped_bytes++;
		stream_head_fault(http, side, ts_ns, END_PROTOCOL);
		return 1;
	}
	end = http1_head_end(data, len, &scanned);
	if (end == 0 || end > http->shared->limits.max_head_bytes)
		return continue_head(http, side, ts_ns, seq, data, len);
	stream_take_head(http, side, data, end, ts_ns, seq);
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

static void bad_chunk(struct http1 *http, int side)
{
	http->shared->counters.bad_chunk++;
	stream_fault(http, side);
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
	int digit = stream_hex_value(c);

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

/* Reads a whole line of nothing but digits, as most are; 0: this one is read byte by byte. */
static size_t read_plain_chunk_size(struct stream *stream, const uint8_t *data, size_t len)
{
	uint64_t size = 0;
	size_t i;

	if (stream->line_bytes)
		return 0;
	for (i = 0; i < len && i < MAX_CHUNK_DIGITS; i++) {
		int digit = stream_hex_value(data[i]);

		if (digit < 0)
			break;
		size = size << 4 | (uint64_t)digit;
	}
	if (i == 0 || len - i < 2 || data[i] != '\r' || data[i + 1] != '\n')
		return 0;
	stream->remaining = size;
	end_chunk_line(stream);
	return i + 2;
}

static size_t read_chunk_size(struct http1 *http, int side, const uint8_t *data, size_t len)
{
	struct stream *stream = &http->streams[side];
	size_t line = read_plain_chunk_size(stream, data, len);

	if (line)
		return line;
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

static size_t read_chunk_end(struct http1 *http, int side, const uint8_t *data, size_t len)
{
	struct stream *stream = &http->streams[side];

	if (len > 1 && data[0] == '\r' && data[1] == '\n' && !stream->line_bytes) {
		stream_enter_chunk_size(stream);
		return 2;
	}
	if (*data == '\n') {
		stream_enter_chunk_size(stream);
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
			stream_fault(http, side);
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

/* A hole in front of the answer lets the first frames be read before it. */
static size_t hold_offer(struct http1 *http, int side, uint64_t ts_ns, uint32_t seq,
			 const uint8_t *data, size_t len)
{
	struct stream *stream = &http->streams[side];

	if (stream->pending.size == 0) {
		stream->pending_at_ns = ts_ns;
		stream->pending_seq = seq;
	}
	if (len <= http->shared->limits.max_head_bytes &&
	    stream->pending.size <= http->shared->limits.max_head_bytes - len &&
	    bytes_append(http->shared, &stream->pending, data, len))
		return len;
	http->shared->counters.head_limit++;
	stream_drop_pending(http, side);
	stream_lose_place(http, side);
	return 0;
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
			used = stream_seek(http, side, ts_ns, seq, data, len);
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
			used = read_chunk_end(http, side, data, len);
			break;
		case AT_TRAILERS:
			used = read_trailers(http, side, data, len);
			break;
		case AT_OFFER:
			used = hold_offer(http, side, ts_ns, seq, data, len);
			break;
		case AT_WEBSOCKET:
			websocket_feed(http->websocket, stream_is_response(http, side),
				       stream->clock_ns, data, len);
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
