// SPDX-License-Identifier: Apache-2.0
/*
 * Server-Sent Events. Where the input is cut changes nothing, and expanding the template runs gives
 * the very events that a plain splitter finds.
 *
 * Input: one byte of options (bit 0: the end is complete, bit 1: JSON lines), then the stream.
 */
#include "input.h"
#include "memory.h"
#include "sse.h"

/* MessagePack as far as sse_write() uses it. */
struct reader {
	const uint8_t *at;
	const uint8_t *end;
};

static uint64_t read_be(struct reader *reader, size_t bytes)
{
	uint64_t value = 0;

	CHECK((size_t)(reader->end - reader->at) >= bytes);
	while (bytes--)
		value = value << 8 | *reader->at++;
	return value;
}

/* Size of the array, str or bin, or the value of the number, that starts here. */
static uint64_t read_head(struct reader *reader)
{
	uint8_t format = (uint8_t)read_be(reader, 1);

	if (format < 0x80)
		return format;
	if (format < 0xa0)
		return format & 0x0f;
	if (format < 0xc0)
		return format & 0x1f;
	switch (format) {
	case 0xc4: /* bin 8 */
	case 0xd9: /* str 8 */
	case 0xcc: /* uint 8 */
		return read_be(reader, 1);
	case 0xc5:
	case 0xda:
	case 0xdc: /* array 16 */
	case 0xcd:
		return read_be(reader, 2);
	case 0xc6:
	case 0xdb:
	case 0xdd:
	case 0xce:
		return read_be(reader, 4);
	default:
		CHECK(!"a format that sse_write() does not use");
	}
	return 0;
}

static struct input read_text(struct reader *reader)
{
	size_t len = (size_t)read_head(reader);
	struct input text = {reader->at, len};

	CHECK((size_t)(reader->end - reader->at) >= len);
	reader->at += len;
	return text;
}

static void put(struct core_shared *shared, struct bytes *out, struct input text)
{
	CHECK(bytes_append(shared, out, text.data, text.len));
}

/* One event in the form that both sides are compared in: data, NUL, LF. */
static void put_end(struct core_shared *shared, struct bytes *out)
{
	CHECK(bytes_append(shared, out, "\0\n", 2));
}

static uint32_t expand_run(struct core_shared *shared, struct reader *reader, struct bytes *out)
{
	struct input parts[5], values[4], lengths;
	uint32_t count, slots;

	CHECK(read_head(reader) == 7);
	read_text(reader);
	count = (uint32_t)read_head(reader);
	slots = (uint32_t)read_head(reader) - 1;
	CHECK(count >= 1 && slots <= 4 && (slots || count == 1));
	for (uint32_t k = 0; k <= slots; k++)
		parts[k] = read_text(reader);
	CHECK(read_head(reader) == slots);
	for (uint32_t k = 0; k < slots; k++) {
		struct input key = read_text(reader);

		CHECK(utf8_valid(key.data, key.len));
	}
	CHECK(read_head(reader) >> slots == 0);
	CHECK(read_head(reader) == slots);
	for (uint32_t k = 0; k < slots; k++)
		values[k] = read_text(reader);
	lengths = read_text(reader);
	CHECK(lengths.len == (size_t)count * slots * sizeof(uint32_t));
	for (uint32_t i = 0; i < count; i++) {
		put(shared, out, parts[0]);
		for (uint32_t k = 0; k < slots; k++) {
			uint32_t len;

			memcpy(&len, lengths.data, sizeof(len));
			lengths.data += sizeof(len);
			CHECK(len <= values[k].len);
			put(shared, out, take_part(&values[k], len));
			put(shared, out, parts[k + 1]);
		}
		put_end(shared, out);
	}
	for (uint32_t k = 0; k < slots; k++)
		CHECK(values[k].len == 0);
	return count;
}

static void expand(struct core_shared *shared, const struct batch *batch, struct bytes *out)
{
	struct reader reader = {batch->data + batch->start, batch->data + batch->size};
	uint64_t runs = read_head(&reader);
	uint64_t events = 0;

	while (runs--)
		events += expand_run(shared, &reader, out);
	CHECK(read_text(&reader).len == events * sizeof(uint64_t));
	CHECK(reader.at == reader.end);
	CHECK(events == shared->counters.events);
}

/* The plain splitter: byte by byte, no limits. */
struct plain {
	struct core_shared *shared;
	struct bytes line, data, out;
	bool has_data, first, json_lines;
};

static void plain_line(struct plain *plain)
{
	struct bytes *line = &plain->line;
	size_t skip = 0;

	if (plain->first && line->size >= 3 && !memcmp(line->data, "\xef\xbb\xbf", 3))
		bytes_shift(line, 3);
	plain->first = false;
	if (plain->json_lines) {
		if (line->size) {
			put(plain->shared, &plain->out, (struct input){line->data, line->size});
			put_end(plain->shared, &plain->out);
		}
		line->size = 0;
		return;
	}
	if (line->size == 0) {
		if (plain->has_data) {
			put(plain->shared, &plain->out,
			    (struct input){plain->data.data, plain->data.size});
			put_end(plain->shared, &plain->out);
		}
		plain->has_data = false;
		plain->data.size = 0;
		return;
	}
	if (line->size == 4 && !memcmp(line->data, "data", 4))
		skip = 4;
	else if (line->size > 4 && !memcmp(line->data, "data:", 5))
		skip = line->size > 5 && line->data[5] == ' ' ? 6 : 5;
	if (skip && plain->has_data)
		CHECK(bytes_append(plain->shared, &plain->data, "\n", 1));
	if (skip)
		put(plain->shared, &plain->data,
		    (struct input){line->data + skip, line->size - skip});
	plain->has_data |= skip > 0;
	line->size = 0;
}

static void plain_split(struct plain *plain, struct input input, bool complete)
{
	for (size_t i = 0; i < input.len; i++) {
		if (input.data[i] == '\n' && i && input.data[i - 1] == '\r')
			continue;
		if (input.data[i] == '\n' || input.data[i] == '\r')
			plain_line(plain);
		else
			CHECK(bytes_append(plain->shared, &plain->line, input.data + i, 1));
	}
	if (complete && plain->line.size)
		plain_line(plain);
	plain->line.size = 0;
	plain_line(plain);
}

enum { COMPLETE = 1, JSON_LINES = 2 };

static void run(struct core_shared *shared, struct input input, size_t step, uint8_t options,
		bool *truncated)
{
	struct sse *sse = sse_new(shared, options & JSON_LINES ? FRAMING_JSON_LINES : FRAMING_SSE);
	size_t at = 0;

	CHECK(sse);
	while (at < input.len) {
		size_t size = piece(input.len - at, step, at);
		uint8_t *copy = malloc(size);

		memcpy(copy, input.data + at, size);
		sse_feed(sse, 1, copy, size);
		free(copy);
		at += size;
	}
	sse_finish(sse, 1, options & COMPLETE);
	*truncated = sse_truncated(sse);
	batch_begin(shared->batch);
	sse_write(sse, shared->batch);
	CHECK(batch_commit(shared->batch));
	sse_free(sse);
	CHECK(shared->buffered_bytes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t STEPS[] = {0, 1, 9};
	struct input input = {data, size};
	uint8_t options = take_byte(&input);
	struct core_shared shared, first_shared;
	struct batch batch, first;
	bool truncated;

	shared_init(&first_shared, &first);
	for (size_t i = 0; i < sizeof(STEPS) / sizeof(STEPS[0]); i++) {
		shared_init(&shared, &batch);
		run(&shared, input, STEPS[i], options, &truncated);
		if (i == 0) {
			first = batch;
			first_shared.counters = shared.counters;
			continue;
		}
		CHECK(batch.size == first.size && !memcmp(batch.data, first.data, batch.size));
		CHECK(!memcmp(&shared.counters, &first_shared.counters, sizeof(shared.counters)));
		batch_free(&batch);
	}
	if (!truncated) {
		struct plain plain = {
			.shared = &shared, .first = true, .json_lines = options & JSON_LINES};
		struct bytes out = {0};

		expand(&shared, &first, &out);
		plain_split(&plain, input, options & COMPLETE);
		CHECK(out.size == plain.out.size);
		CHECK(!out.size || !memcmp(out.data, plain.out.data, out.size));
		bytes_free(&shared, &out);
		bytes_free(&shared, &plain.out);
		bytes_free(&shared, &plain.line);
		bytes_free(&shared, &plain.data);
	}
	batch_free(&first);
	return 0;
}
