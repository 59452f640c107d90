// SPDX-License-Identifier: Apache-2.0
/*
 * Two directions of one connection with gaps and ends. Where the input is cut must not change the
 * records, and freeing must leave nothing accounted.
 *
 * Input: one byte of options, then steps of one byte and its operands: bits 0-1 what, bit 2 the
 * side.
 */
#include "input.h"

enum {
	STEP_DATA,
	STEP_LONG_DATA,
	STEP_GAP,
	STEP_END,
};

static void feed(struct http1 *http, int side, uint32_t *seq, struct input part, size_t step)
{
	size_t at = 0;

	while (at < part.len) {
		size_t size = piece(part.len - at, step, at);
		uint8_t *copy = malloc(size); /* its own block: reads past the end are seen */

		memcpy(copy, part.data + at, size);
		http1_data(http, side, 1, *seq, copy, size);
		free(copy);
		*seq += (uint32_t)size;
		at += size;
	}
}

static void run(struct core_shared *shared, struct input input, size_t step)
{
	static const struct connection_identity identity = {
		.flow_id = 1, .family = 4, .address = {{1}, {2}}, .port = {3, 4}};
	uint8_t options = take_byte(&input);
	struct http1 *http = http1_new(shared, &identity);
	uint32_t seq[2] = {0, 0};

	CHECK(http);
	if (options & 1)
		http1_set_client(http, options >> 1 & 1);
	while (input.len) {
		uint8_t what = take_byte(&input);
		int side = what >> 2 & 1;
		size_t len = take_byte(&input);

		switch (what & 3) {
		case STEP_LONG_DATA:
			len = len << 4;
			/* fall through */
		case STEP_DATA:
			feed(http, side, &seq[side], take_part(&input, len), step);
			break;
		case STEP_GAP:
			http1_gap(http, side, 1, len + 1);
			seq[side] += (uint32_t)len + 1;
			break;
		case STEP_END:
			if (options & 4)
				http1_tick(http);
			if (len < 32)
				http1_end(http, side, 1,
					  (enum stream_end)(len % (STREAM_INPUT_END + 1)));
			break;
		}
	}
	http1_end(http, 0, 1, STREAM_INPUT_END);
	CHECK(!http1_waiting(http));
	http1_free(http);
	CHECK(shared->buffered_bytes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_cuts((struct input){data, size}, run);
	return 0;
}
