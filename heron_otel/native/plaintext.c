/* SPDX-License-Identifier: Apache-2.0 */
#include "plaintext.h"

#include <stdlib.h>
#include <string.h>

#include "flow.h"

struct plaintext {
	struct core *core;
	struct http1 *http;
	uint64_t tick; /* of the last call */
};

/* Timers come first, as for packets. */
static void enter(struct plaintext *plaintext, uint64_t ts_ns)
{
	const struct core_shared *shared = core_enter(plaintext->core, ts_ns);
	uint64_t tick = shared->now_ns / TICK_NS;

	if (tick == plaintext->tick)
		return;
	plaintext->tick = tick;
	if (http1_waiting(plaintext->http))
		http1_tick(plaintext->http);
}

struct plaintext *plaintext_new(struct core *core, uint64_t ts_ns, uint8_t family,
				const uint8_t *address, uint16_t port0, uint16_t port1)
{
	struct core_shared *shared = core_enter(core, ts_ns);
	struct connection_identity identity = {
		.flow_id = shared->frame, .family = family, .port = {port0, port1}};
	struct plaintext *plaintext = calloc(1, sizeof(*plaintext));
	size_t len = family == 4 ? 4 : 16;

	if (!plaintext)
		return NULL;
	memcpy(identity.address[0], address, len);
	memcpy(identity.address[1], address + len, len);
	plaintext->core = core;
	plaintext->tick = shared->now_ns / TICK_NS;
	plaintext->http = http1_new(shared, &identity);
	if (!plaintext->http) {
		free(plaintext);
		return NULL;
	}
	return plaintext;
}

void plaintext_set_client(struct plaintext *plaintext, int side)
{
	http1_set_client(plaintext->http, side);
}

void plaintext_data(struct plaintext *plaintext, int side, uint64_t ts_ns, uint32_t seq,
		    const uint8_t *data, size_t len)
{
	enter(plaintext, ts_ns);
	if (len)
		http1_data(plaintext->http, side, ts_ns, seq, data, len);
}

void plaintext_gap(struct plaintext *plaintext, int side, uint64_t ts_ns, uint64_t missing)
{
	enter(plaintext, ts_ns);
	if (missing)
		http1_gap(plaintext->http, side, ts_ns, missing);
}

void plaintext_end(struct plaintext *plaintext, int side, uint64_t ts_ns, enum stream_end why)
{
	enter(plaintext, ts_ns);
	http1_end(plaintext->http, side, ts_ns, why);
}

void plaintext_advance(struct plaintext *plaintext, uint64_t now_ns)
{
	enter(plaintext, now_ns);
}

bool plaintext_waiting(const struct plaintext *plaintext)
{
	return http1_waiting(plaintext->http);
}

void plaintext_free(struct plaintext *plaintext)
{
	if (!plaintext)
		return;
	http1_free(plaintext->http);
	free(plaintext);
}
