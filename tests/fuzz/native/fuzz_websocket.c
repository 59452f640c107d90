// SPDX-License-Identifier: Apache-2.0
/*
 * Two directions of a WebSocket with gaps and ticks. Where the input is cut must not change the
 * records, and freeing must leave nothing accounted.
 *
 * Input: one byte of options (bit 0: permessage-deflate, bits 1-2: no context takeover), then steps
 * of two bytes: bits 0-1 of the first say what, bit 2 the side; the second is a length.
 */
#include "exchange.h"
#include "input.h"
#include "websocket.h"

enum {
	STEP_DATA,
	STEP_LONG_DATA,
	STEP_GAP,
	STEP_TICK,
};

static void feed(struct websocket *websocket, bool server, uint64_t at_ns, struct input part,
		 size_t step)
{
	size_t at = 0;

	while (at < part.len) {
		size_t size = piece(part.len - at, step, at);
		uint8_t *copy = malloc(size); /* its own block: reads past the end are seen */

		memcpy(copy, part.data + at, size);
		websocket_feed(websocket, server, at_ns, copy, size);
		free(copy);
		at += size;
	}
}

static void run(struct core_shared *shared, struct input input, size_t step)
{
	struct exchanges exchanges = {
		.shared = shared, .identity = {.flow_id = 1, .family = 4}, .closer = -1};
	uint8_t options = take_byte(&input);
	struct websocket_terms terms = {.deflate = options & 1,
					.fresh = {options >> 1 & 1, options >> 2 & 1}};
	struct websocket *websocket = websocket_new(shared, &exchanges, &terms, 0, 0);

	CHECK(websocket);
	while (input.len) {
		uint8_t what = take_byte(&input);
		size_t len = take_byte(&input);
		bool server = what >> 2 & 1;

		shared->now_ns++;
		switch (what & 3) {
		case STEP_LONG_DATA:
			len = len << 4;
			/* fall through */
		case STEP_DATA:
			feed(websocket, server, shared->now_ns, take_part(&input, len), step);
			break;
		case STEP_GAP:
			websocket_gap(websocket, server, len + 1);
			break;
		case STEP_TICK:
			shared->now_ns += len << 20;
			websocket_tick(websocket);
			break;
		}
	}
	websocket_end(websocket, STREAM_INPUT_END);
	websocket_free(websocket);
	CHECK(shared->buffered_bytes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_cuts((struct input){data, size}, run);
	return 0;
}
