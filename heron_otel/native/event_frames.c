// SPDX-License-Identifier: Apache-2.0
#include "event_frames.h"

#include <zlib.h>

#define PRELUDE_BYTES 12u /* total length, length of the headers, CRC of both */
#define FRAME_BYTES 16u	  /* a frame without headers and payload */
#define MAX_HEADERS_BYTES (128u << 10)
#define MAX_FRAME_BYTES (24u << 20) /* both bounds are those of the specification */
#define MAX_NAME_BYTES 128u
#define MAX_MESSAGE_BYTES 2000u /* of an error; the stages behind keep as many characters */
#define SEEK_BYTES 4096u	/* looked at together where the place is lost */

enum {
	VALUE_BYTES = 6,
	VALUE_STRING = 7,
};

/* Sizes of header values by their type; strings and bytes tell theirs. */
static const uint8_t value_bytes[] = {0, 0, 1, 2, 4, 8, 0, 0, 8, 16};

static uint32_t read_u32(const uint8_t *data)
{
	return (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
}

static uint32_t crc_of(const uint8_t *data, size_t len)
{
	return (uint32_t)crc32(0, data, (uInt)len);
}

/* Whether 12 bytes begin a frame. */
static bool is_prelude(const uint8_t *data)
{
	uint32_t total = read_u32(data), headers = read_u32(data + 4);

	return total >= FRAME_BYTES && total <= MAX_FRAME_BYTES && headers <= MAX_HEADERS_BYTES &&
	       headers <= total - FRAME_BYTES && read_u32(data + 8) == crc_of(data, 8);
}

static bool is_name(const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t c = data[i];

		if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		      c == '_' || c == '-' || c == '.'))
			return false;
	}
	return len > 0 && len <= MAX_NAME_BYTES;
}

static bool equals(const uint8_t *data, size_t len, const char *text)
{
	return len == strlen(text) && !memcmp(data, text, len);
}

/* Finds the name of the frame in its headers, and the text of an error; false when they cannot be
 * read. */
static bool read_headers(const uint8_t *data, size_t len, struct event_frame *frame)
{
	size_t i = 0;

	while (i < len) {
		const uint8_t *name, *value;
		size_t name_len = data[i++], value_len;
		uint8_t type;

		if (len - i < name_len + 1)
			return false;
		name = data + i;
		i += name_len;
		type = data[i++];
		if (type >= sizeof(value_bytes))
			return false;
		value_len = value_bytes[type];
		if (type == VALUE_BYTES || type == VALUE_STRING) {
			if (len - i < 2)
				return false;
			value_len = (size_t)data[i] << 8 | data[i + 1];
			i += 2;
		}
		if (len - i < value_len)
			return false;
		value = data + i;
		i += value_len;
		if (type == VALUE_STRING && (equals(name, name_len, ":event-type") ||
					     equals(name, name_len, ":exception-type") ||
					     equals(name, name_len, ":error-code"))) {
			frame->name = value;
			frame->name_len = value_len;
		}
		if (type == VALUE_STRING && equals(name, name_len, ":error-message")) {
			frame->message = value;
			frame->message_len = value_len;
		}
	}
	return true;
}

/* Writes {"message":TEXT} into @out, which holds every text; returns its size. */
static size_t write_message(uint8_t *out, const uint8_t *text, size_t len)
{
	static const char head[] = "{\"message\":\"", tail[] = "\"}", hex[] = "0123456789abcdef";
	size_t size = sizeof(head) - 1;

	if (len > MAX_MESSAGE_BYTES) {
		len = MAX_MESSAGE_BYTES;
		while (len && (text[len] & 0xc0) == 0x80) /* inside a character of UTF-8 */
			len--;
	}
	memcpy(out, head, size);
	for (size_t i = 0; i < len; i++) {
		uint8_t c = text[i];

		if (c < 0x20) {
			memcpy(out + size, "\\u00", 4);
			out[size + 4] = (uint8_t)hex[c >> 4];
			out[size + 5] = (uint8_t)hex[c & 15];
			size += 6;
			continue;
		}
		if (c == '"' || c == '\\')
			out[size++] = '\\';
		out[size++] = c;
	}
	memcpy(out + size, tail, sizeof(tail) - 1);
	return size + sizeof(tail) - 1;
}

/* @data is a whole frame with a good prelude. */
static void take_frame(struct core_shared *shared, const uint8_t *data, event_frame_taker take,
		       void *context)
{
	uint8_t text[6 * MAX_MESSAGE_BYTES + 32];
	uint32_t total = read_u32(data), headers = read_u32(data + 4);
	struct event_frame frame = {.payload = data + PRELUDE_BYTES + headers,
				    .payload_len = total - FRAME_BYTES - headers};

	if (read_u32(data + total - 4) != crc_of(data, total - 4) ||
	    !read_headers(data + PRELUDE_BYTES, headers, &frame) || !frame.name ||
	    !is_name(frame.name, frame.name_len) ||
	    (frame.payload_len && frame.payload[0] != '{')) {
		shared->counters.event_frames_bad++;
		return;
	}
	if (frame.payload_len == 0) { /* of an error, whose text is in its headers */
		frame.payload_len = 2;
		if (frame.message)
			frame.payload_len = write_message(text, frame.message, frame.message_len);
		else
			memcpy(text, "{}", 2);
		frame.payload = text;
	}
	take(context, &frame);
}

/* Returns how many bytes are behind us; what is left is no whole frame. */
static size_t take_frames(struct core_shared *shared, struct event_frames *frames,
			  const uint8_t *data, size_t len, event_frame_taker take, void *context,
			  bool *whole)
{
	size_t i = 0;

	while (len - i >= PRELUDE_BYTES) {
		uint32_t total;

		if (!is_prelude(data + i)) {
			if (!frames->seeking)
				shared->counters.event_frames_bad++;
			frames->seeking = true;
			i++;
			continue;
		}
		frames->seeking = false;
		total = read_u32(data + i);
		if (total > shared->limits.max_event_bytes) {
			size_t here = total < len - i ? total : len - i;

			shared->counters.event_limit++;
			*whole = false;
			frames->skip = total - here;
			i += here;
			continue;
		}
		if (total > len - i)
			break;
		take_frame(shared, data + i, take, context);
		i += total;
	}
	return i;
}

/* How many bytes more make what is held a prelude, or a whole frame. */
static size_t wanted(const struct event_frames *frames)
{
	const struct bytes *held = &frames->held;

	if (frames->seeking)
		return SEEK_BYTES;
	if (held->size < PRELUDE_BYTES)
		return PRELUDE_BYTES - held->size;
	return read_u32(held->data) - held->size;
}

static bool hold(struct core_shared *shared, struct event_frames *frames, const uint8_t *data,
		 size_t len)
{
	if (bytes_append(shared, &frames->held, data, len))
		return true;
	event_frames_gap(shared, frames);
	return false;
}

bool event_frames_feed(struct core_shared *shared, struct event_frames *frames, const uint8_t *data,
		       size_t len, event_frame_taker take, void *context)
{
	bool whole = true;

	while (len) {
		struct bytes *held = &frames->held;
		size_t count;

		if (frames->skip) {
			count = frames->skip < len ? (size_t)frames->skip : len;
			frames->skip -= count;
		} else if (held->size) {
			count = wanted(frames);
			count = count < len ? count : len;
			if (!hold(shared, frames, data, count))
				return false;
			bytes_shift(held, take_frames(shared, frames, held->data, held->size, take,
						      context, &whole));
			if (held->size == 0)
				bytes_free(shared, held);
		} else {
			count = take_frames(shared, frames, data, len, take, context, &whole);
			if (count < len && !frames->skip) {
				if (!hold(shared, frames, data + count, len - count))
					return false;
				count = len;
			}
		}
		data += count;
		len -= count;
	}
	return whole;
}

void event_frames_gap(struct core_shared *shared, struct event_frames *frames)
{
	bytes_free(shared, &frames->held);
	frames->skip = 0;
	frames->seeking = true;
}

void event_frames_free(struct core_shared *shared, struct event_frames *frames)
{
	bytes_free(shared, &frames->held);
}
