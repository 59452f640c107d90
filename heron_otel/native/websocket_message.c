// SPDX-License-Identifier: Apache-2.0
#include "message.h"
#include "websocket_stream.h"

#define KEEP_BUFFER_BYTES (64u << 10) /* between messages */
/* A message may be this many times larger than what is kept of one before decoding stops. Not its
 * ratio decides: that depends on where the input is cut. */
#define DECODED_FACTOR 2
#define OUTPUT_BYTES 16384

/* RFC 7692, section 7.2.1: the sender takes these off the end of each message. */
static const uint8_t DEFLATE_TAIL[] = {0x00, 0x00, 0xff, 0xff};

static void lose_message(struct websocket_stream *stream, uint32_t flags)
{
	struct websocket_message *message = &stream->message;

	if (message->fate == FATE_LOST)
		return;
	message->fate = FATE_LOST;
	stream->shared->counters.websocket_lost++;
	websocket_lose(stream, 0, flags);
}

static void lose_context(struct websocket_stream *stream)
{
	if (stream->zlib_lost)
		return;
	stream->zlib_lost = true;
	stream->shared->counters.coding_corrupt++;
	if (stream->zlib_open)
		inflateEnd(&stream->zlib);
	stream->zlib_open = false;
}

static bool open_zlib(struct websocket_stream *stream)
{
	if (stream->zlib_open)
		return !stream->fresh || inflateReset(&stream->zlib) == Z_OK;
	stream->zlib = (z_stream){
		.zalloc = memory_zlib_alloc, .zfree = memory_zlib_free, .opaque = stream->shared};
	stream->zlib_open = inflateInit2(&stream->zlib, -15) == Z_OK;
	return stream->zlib_open;
}

void websocket_message_begin(struct websocket_stream *stream, bool text, bool compressed)
{
	struct websocket_message *message = &stream->message;

	message->begun = true;
	message->text = text;
	message->compressed = compressed;
	message->fate = FATE_OPEN;
	message->started_at_ns = stream->frame_at_ns;
	message->decoded_bytes = 0;
	message->data.size = 0;
	if (!compressed)
		return;
	if (stream->zlib_lost) {
		lose_message(stream, BODY_CODING_CORRUPT);
	} else if (!open_zlib(stream)) {
		lose_message(stream, BODY_TRUNCATED);
		lose_context(stream);
	}
}

static void take_decoded(struct websocket_stream *stream, const uint8_t *data, size_t len)
{
	struct websocket_message *message = &stream->message;
	struct core_shared *shared = stream->shared;

	if (len == 0)
		return;
	message->decoded_bytes += len;
	if (message->fate == FATE_OPEN)
		message->fate =
			message->text || data[0] == '{' || data[0] == '[' ? FATE_KEEP : FATE_SIZE;
	if (message->fate != FATE_KEEP)
		return;
	if (message->data.size + len > shared->limits.max_event_bytes) {
		shared->counters.event_limit++;
		lose_message(stream, BODY_TRUNCATED);
	} else if (!bytes_append(shared, &message->data, data, len)) {
		lose_message(stream, BODY_TRUNCATED);
	}
}

static bool is_bomb(const struct websocket_stream *stream)
{
	return stream->message.decoded_bytes / DECODED_FACTOR >
	       stream->shared->limits.max_event_bytes;
}

/* Returns 0, or the flag that says why decoding stopped. */
static uint32_t inflate_part(struct websocket_stream *stream, const uint8_t *data, size_t len)
{
	uint8_t out[OUTPUT_BYTES];
	z_stream *zlib = &stream->zlib;

	zlib->next_in = (Bytef *)(uintptr_t)data;
	zlib->avail_in = (uInt)len;
	for (;;) {
		int result;

		zlib->next_out = out;
		zlib->avail_out = sizeof(out);
		result = inflate(zlib, Z_SYNC_FLUSH);
		take_decoded(stream, out, sizeof(out) - zlib->avail_out);
		if (is_bomb(stream))
			return BODY_CODING_BOMB;
		/* RFC 7692, section 7.2.3.5: a final block ends nothing, the window stays. */
		if (result == Z_STREAM_END)
			result = inflateResetKeep(zlib);
		if (result == Z_MEM_ERROR)
			return BODY_TRUNCATED;
		if (result != Z_OK && result != Z_BUF_ERROR)
			return BODY_CODING_CORRUPT;
		if (zlib->avail_in == 0 && zlib->avail_out)
			return 0;
		if (result == Z_BUF_ERROR && zlib->avail_out)
			return BODY_CODING_CORRUPT; /* input left, room left, no progress */
	}
}

static void decode(struct websocket_stream *stream, const uint8_t *data, size_t len)
{
	uint32_t flag = inflate_part(stream, data, len);

	if (!flag)
		return;
	if (flag == BODY_CODING_BOMB)
		stream->shared->counters.coding_bomb++;
	lose_message(stream, flag);
	stream->lost_flags |= flag; /* also when the message was lost before */
	if (!stream->fresh)
		lose_context(stream);
	else if (flag == BODY_CODING_CORRUPT)
		stream->shared->counters.coding_corrupt++;
}

/* A message without context may be left unread; any other is read for those behind it. */
static bool is_read(const struct websocket_stream *stream)
{
	const struct websocket_message *message = &stream->message;

	return message->fate != FATE_LOST ||
	       (message->compressed && !stream->zlib_lost && !stream->fresh);
}

void websocket_message_part(struct websocket_stream *stream, const uint8_t *data, size_t len)
{
	struct websocket_message *message = &stream->message;

	if (!is_read(stream))
		return;
	if (message->compressed)
		decode(stream, data, len);
	else
		take_decoded(stream, data, len);
}

void websocket_message_end(struct websocket_stream *stream, uint64_t at_ns)
{
	struct websocket_message *message = &stream->message;
	struct core_counters *counters = &stream->shared->counters;

	if (message->compressed && is_read(stream))
		decode(stream, DEFLATE_TAIL, sizeof(DEFLATE_TAIL));
	message->begun = false;
	switch (message->fate) {
	case FATE_KEEP:
		counters->websocket_messages++;
		websocket_take(stream, at_ns, message->data.data, message->data.size);
		break;
	case FATE_OPEN:
	case FATE_SIZE:
		counters->websocket_binary++;
		counters->websocket_binary_bytes += message->decoded_bytes;
		break;
	case FATE_LOST:
		break;
	}
	message->data.size = 0;
	if (message->data.capacity > KEEP_BUFFER_BYTES)
		bytes_free(stream->shared, &message->data);
}

void websocket_message_gap(struct websocket_stream *stream)
{
	lose_message(stream, BODY_GAPPED);
	if (stream->message.compressed && !stream->fresh)
		lose_context(stream);
}

void websocket_message_abandon(struct websocket_stream *stream)
{
	if (stream->message.begun)
		lose_message(stream, BODY_GAPPED);
	stream->message.begun = false;
	bytes_free(stream->shared, &stream->message.data);
	if (stream->deflate && !stream->fresh)
		lose_context(stream);
}

void websocket_message_free(struct websocket_stream *stream)
{
	bytes_free(stream->shared, &stream->message.data);
	if (stream->zlib_open)
		inflateEnd(&stream->zlib);
	stream->zlib_open = false;
}
