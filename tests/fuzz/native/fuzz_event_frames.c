// SPDX-License-Identifier: Apache-2.0
/*
 * Binary event frames. Where the input is cut changes nothing, and every event is the only member
 * of an object.
 *
 * Input: one byte of options (bit 0: the end is complete, bit 1: a gap in the middle, bit 2: the
 * CRCs of what looks like a frame are made right), then the stream.
 */
#include <zlib.h>

#include "input.h"
#include "memory.h"
#include "sse.h"

enum { COMPLETE = 1, GAP = 2, MEND = 4 };

static uint32_t get_u32(const uint8_t *data)
{
	return (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
}

static void put_u32(uint8_t *data, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		data[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* Frames that follow each other get right CRCs: random bytes would never have them. */
static void mend(uint8_t *data, size_t len)
{
	while (len >= 16) {
		uint32_t total = get_u32(data);

		if (total < 16 || total > len)
			return;
		put_u32(data + 8, (uint32_t)crc32(0, data, 8));
		put_u32(data + total - 4, (uint32_t)crc32(0, data, total - 4));
		data += total;
		len -= total;
	}
}

static void run(struct core_shared *shared, struct input input, size_t step, uint8_t options)
{
	struct sse *sse = sse_new(shared, FRAMING_FRAMES);
	size_t half = options & GAP ? input.len / 2 : input.len;
	size_t at = 0;

	CHECK(sse);
	while (at < input.len) {
		size_t end = at < half ? half : input.len;
		size_t size = piece(end - at, step, at);
		uint8_t *copy = malloc(size);

		memcpy(copy, input.data + at, size);
		sse_feed(sse, 1, copy, size);
		free(copy);
		at += size;
		if (at == half && half < input.len)
			sse_gap(sse);
	}
	sse_finish(sse, 1, options & COMPLETE);
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
	uint8_t *copy = malloc(input.len + 1);

	memcpy(copy, input.data, input.len);
	if (options & MEND)
		mend(copy, input.len);
	input.data = copy;
	shared_init(&first_shared, &first);
	for (size_t i = 0; i < sizeof(STEPS) / sizeof(STEPS[0]); i++) {
		shared_init(&shared, &batch);
		run(&shared, input, STEPS[i], options);
		if (i == 0) {
			first = batch;
			first_shared.counters = shared.counters;
			continue;
		}
		CHECK(batch.size == first.size && !memcmp(batch.data, first.data, batch.size));
		CHECK(!memcmp(&shared.counters, &first_shared.counters, sizeof(shared.counters)));
		batch_free(&batch);
	}
	batch_free(&first);
	free(copy);
	return 0;
}
