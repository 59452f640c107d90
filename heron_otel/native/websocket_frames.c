// SPDX-License-Identifier: Apache-2.0
#include "message.h"
#include "websocket_stream.h"

/* A frame that is looked for after a gap is held until it is confirmed. Longer ones are not found;
 * most frames of streamed answers have a few hundred bytes. */
#define SEEK_BYTES (256u << 10)
#define UNMASK_BYTES 4096

/* RFC 6455, section 5.2 */
#define BIT_FINAL 0x80
#define BIT_RSV1 0x40
#define BITS_RSV23 0x30
#define BIT_MASK 0x80
#define BIT_CONTROL 0x08
#define MAX_CONTROL_BYTES 125

enum opcode {
	OP_CONTINUATION = 0,
	OP_TEXT = 1,
	OP_BINARY = 2,
	OP_CLOSE = 8,
	OP_PING = 9,
	OP_PONG = 10,
};

enum verdict {
	NO,
	MORE, /* cannot be told yet */
	YES,
};

struct frame_header {
	uint8_t size;
	uint8_t opcode;
	bool final;
	bool compressed;
	const uint8_t *mask; /* in the input; NULL: none */
	uint64_t length;
};

static bool is_opcode(uint8_t opcode)
{
	return opcode <= OP_BINARY || (opcode >= OP_CLOSE && opcode <= OP_PONG);
}

/* Reads a header of the direction of @stream; NO as soon as the first bytes show that it is none.
 */
static enum verdict read_header(const struct websocket_stream *stream, const uint8_t *data,
				size_t len, struct frame_header *header)
{
	uint64_t length;
	size_t extended;

	if (len == 0)
		return MORE;
	header->opcode = data[0] & 0x0f;
	header->final = data[0] & BIT_FINAL;
	header->compressed = data[0] & BIT_RSV1;
	if (!is_opcode(header->opcode) || (data[0] & BITS_RSV23))
		return NO;
	if (header->compressed &&
	    (!stream->deflate || (header->opcode != OP_TEXT && header->opcode != OP_BINARY)))
		return NO;
	if ((header->opcode & BIT_CONTROL) && !header->final)
		return NO;
	if (len == 1)
		return MORE;
	if (!(data[1] & BIT_MASK) != stream->server)
		return NO;
	length = data[1] & 0x7f;
	if ((header->opcode & BIT_CONTROL) && length > MAX_CONTROL_BYTES)
		return NO;
	extended = length == 126 ? 2 : (length == 127 ? 8 : 0);
	header->size = (uint8_t)(2 + extended + (stream->server ? 0 : 4));
	if (len > 2 && extended == 8 && (data[2] & 0x80))
		return NO;
	if (len < header->size)
		return MORE;
	if (extended)
		length = 0;
	for (size_t i = 0; i < extended; i++)
		length = length << 8 | data[2 + i];
	/* The shortest form is a must. */
	if ((extended == 2 && length < 126) || (extended == 8 && length <= UINT16_MAX))
		return NO;
	header->length = length;
	header->mask = stream->server ? NULL : data + 2 + extended;
	return YES;
}

static uint8_t unmasked(const struct frame_header *header, const uint8_t *payload, uint64_t at)
{
	return header->mask ? payload[at] ^ header->mask[at & 3] : payload[at];
}

static bool begins_json(uint8_t c)
{
	return c == '{' || c == '[';
}

/* Whether the frame behind one with @before can begin at @data. */
static enum verdict follows(const struct websocket_stream *stream,
			    const struct frame_header *before, const uint8_t *data, size_t len,
			    struct frame_header *header)
{
	enum verdict verdict = read_header(stream, data, len, header);
	bool continues = header->opcode == OP_CONTINUATION;

	if (len && verdict != NO && !(header->opcode & BIT_CONTROL) && continues == before->final)
		return NO;
	return verdict;
}

/*
 * Whether the first frame of a message begins at @data. One that is not compressed must begin like
 * JSON, and end like it or be followed by the header of a frame; a compressed one must be followed
 * by two headers.
 */
static enum verdict confirm(const struct websocket_stream *stream, const uint8_t *data, size_t len)
{
	struct frame_header header = {0}, second = {0}, third = {0};
	enum verdict verdict = read_header(stream, data, len, &header);
	size_t end, next;

	if (verdict == NO || (len && header.opcode != OP_TEXT && header.opcode != OP_BINARY))
		return NO;
	if (verdict == MORE)
		return MORE;
	if (header.length == 0 || header.length > SEEK_BYTES - FRAME_HEADER_BYTES)
		return NO;
	if (len == header.size)
		return MORE;
	if (!header.compressed && !begins_json(unmasked(&header, data + header.size, 0)))
		return NO;
	end = header.size + (size_t)header.length;
	if (len < end)
		return MORE;
	if (!header.compressed && header.final) {
		uint8_t last = unmasked(&header, data + header.size, header.length - 1);

		if (last == '}' || last == ']')
			return YES;
	}
	verdict = follows(stream, &header, data + end, len - end, &second);
	if (verdict != YES || !header.compressed)
		return verdict;
	if (second.length > SEEK_BYTES - end)
		return NO;
	next = end + second.size + (size_t)second.length;
	if (len < next)
		return MORE;
	/* Behind a control frame the message goes on as before. */
	return follows(stream, (second.opcode & BIT_CONTROL) ? &header : &second, data + next,
		       len - next, &third);
}

/* The bytes up to the next frame cannot be read. */
static void begin_seek(struct websocket_stream *stream)
{
	stream->seeking = true;
	stream->in_payload = false;
	stream->remaining = 0;
	websocket_message_abandon(stream);
}

static void skip(struct websocket_stream *stream, uint64_t bytes)
{
	if (!bytes)
		return;
	stream->shared->counters.skipped_bytes += bytes;
	websocket_lose(stream, bytes, BODY_GAPPED);
}

/* True: a frame begins at sought_at. */
static bool find(struct websocket_stream *stream)
{
	const struct bytes *sought = &stream->sought;
	size_t from = stream->sought_at;
	enum verdict verdict = NO;

	while (stream->sought_at < sought->size) {
		verdict = confirm(stream, sought->data + stream->sought_at,
				  sought->size - stream->sought_at);
		if (verdict != NO)
			break;
		stream->sought_at++;
	}
	skip(stream, stream->sought_at - from);
	return verdict == YES;
}

static void end_frame(struct websocket_stream *stream, uint64_t at_ns)
{
	stream->in_payload = false;
	if (stream->opcode & BIT_CONTROL) {
		stream->shared->counters.websocket_control++;
		return;
	}
	if (stream->final)
		websocket_message_end(stream, at_ns);
}

/* False: no frame may stand here. */
static bool begin_frame(struct websocket_stream *stream, const struct frame_header *header,
			uint64_t at_ns)
{
	bool control = header->opcode & BIT_CONTROL;
	bool continues = header->opcode == OP_CONTINUATION;

	if (!control && continues != stream->message.begun)
		return false;
	stream->header_size = 0;
	stream->in_payload = true;
	stream->opcode = header->opcode;
	stream->final = header->final;
	stream->remaining = header->length;
	stream->mask_at = 0;
	memset(stream->mask, 0, sizeof(stream->mask));
	if (header->mask)
		memcpy(stream->mask, header->mask, sizeof(stream->mask));
	if (!control && !continues)
		websocket_message_begin(stream, header->opcode == OP_TEXT, header->compressed);
	if (header->opcode == OP_CLOSE) {
		stream->close_size = 0;
		if (!stream->closed_at_ns)
			stream->closed_at_ns = at_ns;
	}
	if (header->length == 0)
		end_frame(stream, at_ns);
	return true;
}

/* Takes the next byte of a header. False: this is no frame. */
static bool read_header_byte(struct websocket_stream *stream, uint64_t at_ns, uint8_t c)
{
	struct frame_header header = {0};

	if (stream->header_size == 0)
		stream->frame_at_ns = at_ns;
	stream->header[stream->header_size++] = c;
	switch (read_header(stream, stream->header, stream->header_size, &header)) {
	case MORE:
		return true;
	case YES:
		return begin_frame(stream, &header, at_ns);
	case NO:
		break;
	}
	return false;
}

static void deliver(struct websocket_stream *stream, const uint8_t *data, size_t len)
{
	if (!(stream->opcode & BIT_CONTROL)) {
		websocket_message_part(stream, data, len);
		return;
	}
	for (size_t i = 0; stream->opcode == OP_CLOSE && i < len && stream->close_size < 2; i++)
		stream->close_bytes[stream->close_size++] = data[i];
}

static size_t read_payload(struct websocket_stream *stream, uint64_t at_ns, const uint8_t *data,
			   size_t len)
{
	if (len > stream->remaining)
		len = (size_t)stream->remaining;
	if (stream->server) {
		deliver(stream, data, len);
	} else {
		uint8_t plain[UNMASK_BYTES];

		if (len > sizeof(plain))
			len = sizeof(plain);
		for (size_t i = 0; i < len; i++)
			plain[i] = data[i] ^ stream->mask[(stream->mask_at + i) & 3];
		stream->mask_at = (uint32_t)(stream->mask_at + len) & 3;
		deliver(stream, plain, len);
	}
	stream->remaining -= len;
	if (stream->remaining == 0)
		end_frame(stream, at_ns);
	return len;
}

/* Reads until the end or to where the place is lost; returns how much was read. */
static size_t read_frames(struct websocket_stream *stream, uint64_t at_ns, const uint8_t *data,
			  size_t len)
{
	size_t used = 0;

	while (used < len) {
		if (stream->in_payload) {
			used += read_payload(stream, at_ns, data + used, len - used);
			continue;
		}
		if (!read_header_byte(stream, at_ns, data[used++])) {
			stream->shared->counters.websocket_bad_frames++;
			begin_seek(stream);
			break;
		}
	}
	return used;
}

/* Searches @data too. */
static void hold(struct websocket_stream *stream, const uint8_t *data, size_t len)
{
	if (!bytes_append(stream->shared, &stream->sought, data, len))
		skip(stream, len);
}

/* The header that turned out to be none is searched from its second byte on. */
static void hold_header(struct websocket_stream *stream)
{
	uint8_t size = stream->header_size;

	stream->header_size = 0;
	if (!size)
		return;
	skip(stream, 1);
	hold(stream, stream->header + 1, size - 1u);
}

static void forget_sought(struct websocket_stream *stream)
{
	if (!stream->seeking || stream->sought_at == stream->sought.size)
		bytes_free(stream->shared, &stream->sought);
	else
		bytes_shift(&stream->sought, stream->sought_at);
	stream->sought_at = 0;
}

void websocket_stream_feed(struct websocket_stream *stream, uint64_t at_ns, const uint8_t *data,
			   size_t len)
{
	struct bytes *sought = &stream->sought;

	if (!stream->seeking) {
		size_t used = read_frames(stream, at_ns, data, len);

		if (!stream->seeking)
			return;
		hold_header(stream);
		data += used;
		len -= used;
	}
	hold(stream, data, len);
	while (stream->seeking && find(stream)) {
		stream->seeking = false;
		stream->sought_at += read_frames(stream, at_ns, sought->data + stream->sought_at,
						 sought->size - stream->sought_at);
		if (stream->seeking && stream->header_size) {
			/* All but its first byte is searched again. */
			stream->sought_at -= stream->header_size - 1u;
			stream->header_size = 0;
			skip(stream, 1);
		}
	}
	forget_sought(stream);
}

void websocket_stream_gap(struct websocket_stream *stream, uint64_t missing)
{
	bool control = stream->opcode & BIT_CONTROL;

	websocket_lose(stream, missing, BODY_GAPPED);
	if (stream->in_payload && missing <= stream->remaining) {
		stream->mask_at = (uint32_t)(stream->mask_at + (missing & 3)) & 3;
		stream->remaining -= missing;
		if (!control)
			websocket_message_gap(stream);
		if (stream->remaining == 0)
			end_frame(stream, stream->frame_at_ns);
		return;
	}
	if (!stream->seeking)
		begin_seek(stream);
	skip(stream, stream->sought.size + stream->header_size);
	stream->header_size = 0;
	bytes_free(stream->shared, &stream->sought);
	stream->sought_at = 0;
}

void websocket_stream_end(struct websocket_stream *stream)
{
	skip(stream, stream->sought.size);
	bytes_free(stream->shared, &stream->sought);
}

void websocket_stream_free(struct websocket_stream *stream)
{
	bytes_free(stream->shared, &stream->sought);
	websocket_message_free(stream);
}
