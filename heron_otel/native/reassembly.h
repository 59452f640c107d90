/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One direction of a TCP connection: segments in any order to bytes in order. The first copy of a
 * byte wins. A hole becomes a gap when the peer acknowledged past it and ACK_GRACE_NS went by,
 * when it is older than gap_timeout_ns, or when what waits behind it reaches a limit.
 */
#ifndef HERON_REASSEMBLY_H
#define HERON_REASSEMBLY_H

#include "flow.h"

/*
 * A capture may hold an acknowledgement before the data it is for (receive queues, merged taps);
 * 200 ms is far above what such captures show and far below what a reader of traces notices.
 */
#define ACK_GRACE_NS 200000000ull
/* Farther from the expected byte than this is another connection, or damage: RFC 7323 windows
 * reach 1 GiB, windows in use stay below 64 MiB. */
#define PLAUSIBLE_BYTES (64 << 20)

enum receive_result {
	RECEIVE_OK,
	RECEIVE_OTHER_CONNECTION, /* numbers of an unseen successor on the same 4-tuple */
};

void direction_sync(struct direction *direction, uint32_t seq);
/* Payload and FIN of a segment that @side sent; its first payload byte has @seq. */
enum receive_result direction_receive(struct core_shared *shared, struct flow *flow, int side,
				      uint32_t seq, const struct segment *segment, uint64_t ts_ns);
/* @side's peer acknowledged everything before @ack. */
void direction_acked(struct core_shared *shared, struct direction *direction, uint32_t ack);
/* A timer may be due: direction_timer() has to be called on ticks. */
static inline bool direction_has_hole(const struct direction *direction)
{
	return direction->doubted || direction->first || (direction->has_fin && !direction->ended);
}

bool direction_due(const struct core_shared *shared, const struct direction *direction);
void direction_timer(struct core_shared *shared, struct flow *flow, int side);
/* Delivers all that is held in both directions, oldest first, holes as gaps. */
void directions_flush(struct core_shared *shared, struct flow *flow);
/* Frees all that is held. */
void direction_clear(struct core_shared *shared, struct direction *direction);

#endif
