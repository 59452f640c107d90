/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input: steps of a capture. Each step is one byte of kind, and what that kind reads:
 *
 *   kind & 3: connection, kind & 4: side
 *   kind >> 3 & 7: 0-3 a segment in sequence, 4 a segment anywhere near, 5 a raw frame of any
 *                  link type, 6 time passes, 7 a segment with any numbers
 *
 * Sequence numbers, lengths and headers are right unless the step says otherwise, so that bytes
 * get through to HTTP. Small limits bring every limit within reach.
 */
#include "core.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CONNECTIONS 4
#define MAX_FRAME (54 + 4096)
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_ACK 0x10

struct input {
	const uint8_t *data;
	size_t left;
};

static uint32_t number(struct input *input, size_t bytes)
{
	uint32_t value = 0;

	while (bytes-- && input->left) {
		value = value << 8 | *input->data++;
		input->left--;
	}
	return value;
}

static void put_be(uint8_t *at, uint32_t value, int bytes)
{
	while (bytes--) {
		at[bytes] = (uint8_t)value;
		value >>= 8;
	}
}

static void must(bool holds)
{
	if (!holds)
		abort();
}

static const uint32_t LINKTYPES[] = {0, 1, 12, 14, 101, 108, 113, 147, 228, 229, 276};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	uint32_t next[CONNECTIONS][2];
	uint64_t now_ns = 1700000000000000000ull;
	uint8_t frame[MAX_FRAME];
	struct core_limits limits;
	struct core *core;

	core_limits_default(&limits);
	limits.max_flows = 3;
	limits.max_reorder_bytes = 16 << 10;
	limits.max_buffered_bytes = 1 << 20;
	limits.max_head_bytes = 2048;
	limits.max_fields = 20;
	limits.max_pipeline = 4;
	limits.max_body_bytes = 64 << 10;
	limits.max_event_bytes = 8 << 10;
	core = core_new(&limits, "authorization\nx-api-key\n", 0, 1);
	must(core);
	for (int i = 0; i < CONNECTIONS; i++) {
		next[i][0] = 0xffffff00u + 40u * (uint32_t)i;
		next[i][1] = 1000;
	}
	while (input.left) {
		uint32_t kind = number(&input, 1);
		uint32_t connection = kind & 3;
		uint32_t side = kind >> 2 & 1;
		uint32_t action = kind >> 3 & 7;
		uint32_t flags = kind & 0x40 ? number(&input, 1) : TCP_ACK;
		uint32_t seq = next[connection][side];
		uint32_t ack = next[connection][!side];
		uint32_t len = 0;
		uint32_t orig_len;
		uint32_t linktype = 1;

		now_ns += 100000;
		if (action == 6) {
			uint64_t units = number(&input, 2);

			now_ns += units * units * 100000;
			if (kind & 0x80)
				core_advance(core, now_ns);
			continue;
		}
		if (action == 4)
			seq += (uint32_t)(int16_t)number(&input, 2);
		if (action == 7) {
			seq = number(&input, 4);
			ack = number(&input, 4);
		}
		len = number(&input, 2) & 0xfff;
		if (len > input.left)
			len = (uint32_t)input.left;
		if (action == 5) {
			linktype = LINKTYPES[number(&input, 1) % 11];
			len = len > input.left ? (uint32_t)input.left : len;
			memcpy(frame, input.data, len);
			input.data += len;
			input.left -= len;
			core_packet(core, linktype, now_ns, len, len + (kind & 3), frame);
			continue;
		}
		memset(frame, 0, 54);
		frame[12] = 8;
		frame[14] = 0x45;
		put_be(frame + 16, 40 + len, 2);
		frame[23] = 6;
		put_be(frame + 26, 0x0a000000 + (side ? 99 : connection), 4);
		put_be(frame + 30, 0x0a000000 + (side ? connection : 99), 4);
		put_be(frame + 34, side ? 80 : 5000, 2);
		put_be(frame + 36, side ? 5000 : 80, 2);
		put_be(frame + 38, seq, 4);
		put_be(frame + 42, ack, 4);
		frame[46] = 0x50;
		frame[47] = (uint8_t)flags;
		memcpy(frame + 54, input.data, len);
		input.data += len;
		input.left -= len;
		orig_len = 54 + len;
		if (kind & 0x80 && len > 3) /* cut by the snapshot length */
			len -= 3;
		if (action < 4)
			next[connection][side] =
				seq + (orig_len - 54) + !!(flags & (TCP_SYN | TCP_FIN));
		core_packet(core, linktype, now_ns, 54 + len, orig_len, frame);
		must(core_buffered_bytes(core) <= limits.max_buffered_bytes + sizeof(frame) * 4);
		if (core_batch_size(core) > 1 << 20)
			core_batch_clear(core);
	}
	core_finish(core);
	must(!core_buffered_bytes(core));
	core_free(core);
	return 0;
}
