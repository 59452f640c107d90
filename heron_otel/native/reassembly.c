/* SPDX-License-Identifier: Apache-2.0 */
#include "reassembly.h"

#include <stdlib.h>
#include <string.h>

/* Counted for every chunk beside its bytes: bounds the number of chunks, so also the walk that
 * finds the place of a new one. */
#define CHUNK_COST 256u

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void direction_sync(struct direction *direction, uint32_t seq)
{
	direction->synced = true;
	direction->next_seq = seq;
	direction->base_seq = seq;
}

static void skip(struct core_shared *shared, struct flow *flow, int side, uint64_t ts_ns,
		 uint64_t missing)
{
	struct direction *direction = &flow->direction[side];

	shared->counters.gaps++;
	shared->counters.gap_bytes += missing;
	if (flow->http)
		http1_gap(flow->http, side, ts_ns, missing);
	direction->next_seq += (uint32_t)missing;
	direction->offset += missing;
}

static void deliver(struct core_shared *shared, struct flow *flow, int side, uint64_t ts_ns,
		    const uint8_t *data, uint32_t caplen, uint32_t len)
{
	struct direction *direction = &flow->direction[side];

	if (caplen) {
		if (flow->http)
			http1_data(flow->http, side, ts_ns, direction->next_seq, data, caplen);
		direction->next_seq += caplen;
		direction->offset += caplen;
	}
	if (len > caplen) /* cut by the capture's snapshot length */
		skip(shared, flow, side, ts_ns, len - caplen);
}

static void unlink_first(struct core_shared *shared, struct direction *direction)
{
	struct chunk *chunk = direction->first;
	uint64_t cost = CHUNK_COST + chunk->caplen;

	direction->first = chunk->next;
	if (chunk->next)
		chunk->next->prev = NULL;
	else
		direction->last = NULL;
	direction->held_bytes -= cost;
	shared->buffered_bytes -= cost;
	free(chunk);
}

void direction_clear(struct core_shared *shared, struct direction *direction)
{
	while (direction->first)
		unlink_first(shared, direction);
}

/* Ends the direction once every byte before its FIN is delivered. */
static void end_at_fin(struct core_shared *shared, struct flow *flow, int side, uint64_t ts_ns)
{
	struct direction *direction = &flow->direction[side];

	if (!direction->has_fin || direction->ended || direction->offset < direction->fin)
		return;
	direction->ended = true;
	direction->next_seq++;
	direction->offset++;
	while (direction->first) { /* bytes past the end of the stream */
		shared->counters.stray_segments++;
		unlink_first(shared, direction);
	}
	if (flow->http)
		http1_end(flow->http, side, max_u64(ts_ns, direction->fin_ts_ns), STREAM_FIN);
}

/*
 * Delivers chunks as far as they connect. A chunk that waited for @ts_ns counts as captured then:
 * before, the receiver could not read it either.
 */
static void drain(struct core_shared *shared, struct flow *flow, int side, uint64_t ts_ns)
{
	struct direction *direction = &flow->direction[side];

	while (direction->first && direction->first->offset == direction->offset &&
	       !direction->ended) {
		struct chunk *chunk = direction->first;

		ts_ns = max_u64(ts_ns, chunk->ts_ns);
		deliver(shared, flow, side, ts_ns, chunk->data, chunk->caplen, chunk->len);
		unlink_first(shared, direction);
	}
	end_at_fin(shared, flow, side, ts_ns);
}

/* Gives up the hole in front of the first chunk, or of the FIN. */
static void release_front(struct core_shared *shared, struct flow *flow, int side)
{
	struct direction *direction = &flow->direction[side];
	struct chunk *chunk = direction->first;
	uint64_t ts_ns = chunk ? chunk->ts_ns : direction->fin_ts_ns;
	uint64_t end = chunk ? chunk->offset : direction->fin;

	if (end > direction->offset)
		skip(shared, flow, side, ts_ns, end - direction->offset);
	drain(shared, flow, side, ts_ns);
}

static void trim(uint64_t *offset, uint32_t *len, uint32_t *caplen, const uint8_t **data,
		 uint32_t bytes)
{
	uint32_t captured = bytes < *caplen ? bytes : *caplen;

	*offset += bytes;
	*len -= bytes;
	*caplen -= captured;
	*data += captured;
}

static struct chunk *insert_after(struct core_shared *shared, struct direction *direction,
				  struct chunk *before, uint32_t caplen)
{
	struct chunk *chunk = malloc(sizeof(*chunk) + caplen);

	if (!chunk)
		return NULL;
	chunk->prev = before;
	chunk->next = before ? before->next : direction->first;
	if (before)
		before->next = chunk;
	else
		direction->first = chunk;
	if (chunk->next)
		chunk->next->prev = chunk;
	else
		direction->last = chunk;
	chunk->caplen = caplen;
	direction->held_bytes += CHUNK_COST + caplen;
	shared->buffered_bytes += CHUNK_COST + caplen;
	return chunk;
}

/* Keeps the parts of a segment that no chunk covers yet; out of memory loses them. */
static void hold(struct core_shared *shared, struct direction *direction, uint64_t offset,
		 uint32_t len, const uint8_t *data, uint32_t caplen, uint64_t ts_ns)
{
	struct chunk *before = direction->last;

	while (before && before->offset > offset)
		before = before->prev;
	while (len) {
		struct chunk *after;
		uint32_t part = len;

		if (before && before->offset + before->len > offset) {
			uint64_t covered = before->offset + before->len - offset;

			part = (uint32_t)min_u64(covered, len);
			shared->counters.retransmitted_bytes += part;
			trim(&offset, &len, &caplen, &data, part);
			if (!len)
				return;
			part = len;
		}
		after = before ? before->next : direction->first;
		if (after && after->offset - offset < len)
			part = (uint32_t)(after->offset - offset);
		if (part) {
			uint32_t captured = part < caplen ? part : caplen;
			struct chunk *chunk = insert_after(shared, direction, before, captured);

			if (!chunk) {
				shared->counters.reorder_limit++;
				return;
			}
			chunk->offset = offset;
			chunk->ts_ns = ts_ns;
			chunk->arrived_ns = shared->now_ns;
			chunk->len = part;
			memcpy(chunk->data, data, captured);
			trim(&offset, &len, &caplen, &data, part);
		}
		before = after;
	}
}

static bool fits(const struct core_shared *shared, const struct direction *direction,
		 uint32_t caplen)
{
	uint64_t cost = CHUNK_COST + caplen;

	return direction->held_bytes + cost <= shared->limits.max_reorder_bytes &&
	       shared->buffered_bytes + cost <= shared->limits.max_buffered_bytes;
}

/* A segment ahead of the expected byte, or one that meets held chunks. */
static void receive_out_of_order(struct core_shared *shared, struct flow *flow, int side,
				 uint64_t offset, uint32_t len, const uint8_t *data,
				 uint32_t caplen, uint64_t ts_ns)
{
	struct direction *direction = &flow->direction[side];

	if (offset > direction->offset)
		shared->counters.reordered_segments++;
	while (offset > direction->offset && !fits(shared, direction, caplen)) {
		shared->counters.reorder_limit++;
		if (direction->first && direction->first->offset <= offset)
			release_front(shared, flow, side);
		else
			skip(shared, flow, side, ts_ns, offset - direction->offset);
	}
	if (direction->ended)
		return;
	if (offset < direction->offset) { /* what was released overlaps this segment */
		uint64_t known = min_u64(direction->offset - offset, len);

		shared->counters.retransmitted_bytes += known;
		trim(&offset, &len, &caplen, &data, (uint32_t)known);
		if (!len)
			return;
	}
	if (offset == direction->offset &&
	    (!direction->first || direction->first->offset >= offset + len))
		deliver(shared, flow, side, ts_ns, data, caplen, len);
	else
		hold(shared, direction, offset, len, data, caplen, ts_ns);
	drain(shared, flow, side, ts_ns);
}

/*
 * Far from where the stream is. One such segment is damage and is dropped; a second one that
 * continues it is the stream after a long loss, or another connection.
 */
static bool confirms_stray(struct core_shared *shared, struct direction *direction, uint32_t seq,
			   uint32_t len)
{
	bool confirmed = direction->stray && direction->stray_seq == seq;

	if (!confirmed)
		shared->counters.stray_segments++;
	direction->stray = !confirmed;
	direction->stray_seq = seq + len;
	return confirmed;
}

enum receive_result direction_receive(struct core_shared *shared, struct flow *flow, int side,
				      uint32_t seq, const struct segment *segment, uint64_t ts_ns)
{
	struct direction *direction = &flow->direction[side];
	const uint8_t *data = segment->data;
	uint32_t len = segment->len;
	uint32_t caplen = segment->caplen;

	if (!direction->synced)
		direction_sync(direction, seq);
	int32_t ahead = (int32_t)(seq - direction->next_seq);

	if (!ahead && !direction->first && !direction->has_fin) {
		deliver(shared, flow, side, ts_ns, data, caplen, len);
		direction->stray = false;
	} else {
		if (ahead > PLAUSIBLE_BYTES || ahead < -PLAUSIBLE_BYTES) {
			if (!confirms_stray(shared, direction, seq, len))
				return RECEIVE_OK;
			if (ahead < 0)
				return RECEIVE_OTHER_CONNECTION;
			while (direction->first)
				release_front(shared, flow, side);
			ahead = (int32_t)(seq - direction->next_seq);
			if (ahead > 0) {
				skip(shared, flow, side, ts_ns, (uint32_t)ahead);
				ahead = 0;
			}
		}
		direction->stray = false;
		if (ahead < 0) {
			uint32_t known = -(uint32_t)ahead;

			if (known == 1 && len <= 1 && !(segment->flags & TCP_FIN))
				shared->counters.keepalive_probes++;
			else
				shared->counters.retransmitted_bytes += known < len ? known : len;
			if (known > len || (known == len && !(segment->flags & TCP_FIN)))
				return RECEIVE_OK;
			uint32_t captured = known < caplen ? known : caplen;

			seq += known;
			len -= known;
			caplen -= captured;
			data += captured;
			ahead = 0;
		}
		if (direction->ended) {
			if (len)
				shared->counters.stray_segments++;
			return RECEIVE_OK;
		}
		uint64_t offset = direction->offset + (uint32_t)ahead;

		if (direction->has_fin && offset + len > direction->fin && len) {
			uint64_t kept = offset < direction->fin ? direction->fin - offset : 0;

			shared->counters.stray_segments++;
			len = (uint32_t)kept;
			caplen = caplen < len ? caplen : len;
		}
		if (len)
			receive_out_of_order(shared, flow, side, offset, len, data, caplen, ts_ns);
	}
	if (segment->flags & TCP_FIN && !direction->has_fin) {
		/* The FIN follows the last byte of the segment, wherever delivery is by now. */
		uint32_t fin_seq = seq + len;

		direction->fin = direction->offset + (uint32_t)(fin_seq - direction->next_seq);
		if ((int32_t)(fin_seq - direction->next_seq) < 0)
			return RECEIVE_OK;
		direction->has_fin = true;
		if (flow->http)
			http1_closing(flow->http, side);
		direction->fin_ts_ns = ts_ns;
		direction->fin_arrived_ns = shared->now_ns;
		end_at_fin(shared, flow, side, ts_ns);
	}
	return RECEIVE_OK;
}

void direction_acked(struct core_shared *shared, struct direction *direction, uint32_t ack)
{
	int32_t ahead = (int32_t)(ack - direction->next_seq);

	if (ahead <= 0 || ahead > PLAUSIBLE_BYTES)
		return;
	direction->acked = max_u64(direction->acked, direction->offset + (uint32_t)ahead);
	if (!direction->doubted) {
		direction->doubted = true;
		direction->evidence = direction->acked;
		direction->evidence_ns = shared->now_ns;
	}
}

static bool front_due(const struct core_shared *shared, const struct direction *direction)
{
	uint64_t since;

	if (direction->first)
		since = direction->first->arrived_ns;
	else if (direction->has_fin && !direction->ended)
		since = direction->fin_arrived_ns;
	else
		return false;
	return shared->now_ns - since >= shared->limits.gap_timeout_ns;
}

bool direction_due(const struct core_shared *shared, const struct direction *direction)
{
	return (direction->doubted && shared->now_ns - direction->evidence_ns >= ACK_GRACE_NS) ||
	       front_due(shared, direction);
}

/* Everything before offset @until is lost if it is not here. */
static void skip_until(struct core_shared *shared, struct flow *flow, int side, uint64_t until)
{
	struct direction *direction = &flow->direction[side];

	while (direction->offset < until && !direction->ended) {
		struct chunk *chunk = direction->first;
		uint64_t end = chunk ? min_u64(chunk->offset, until) : until;
		uint64_t ts_ns = chunk ? chunk->ts_ns : shared->now_ns;

		if (direction->has_fin) {
			end = min_u64(end, direction->fin);
			if (!chunk)
				ts_ns = direction->fin_ts_ns;
		} else if (!chunk && end - direction->offset == 1) {
			return; /* the acknowledgement of a FIN that was not captured */
		}
		if (end > direction->offset)
			skip(shared, flow, side, ts_ns, end - direction->offset);
		drain(shared, flow, side, ts_ns);
	}
}

void direction_timer(struct core_shared *shared, struct flow *flow, int side)
{
	struct direction *direction = &flow->direction[side];

	if (direction->doubted && shared->now_ns - direction->evidence_ns >= ACK_GRACE_NS) {
		skip_until(shared, flow, side, direction->evidence);
		direction->doubted = direction->acked > direction->offset + 1;
		direction->evidence = direction->acked;
		direction->evidence_ns = shared->now_ns;
	}
	while (front_due(shared, direction))
		release_front(shared, flow, side);
}

void directions_flush(struct core_shared *shared, struct flow *flow)
{
	struct direction *directions = flow->direction;

	for (;;) {
		struct chunk *a = directions[0].first;
		struct chunk *b = directions[1].first;

		if (!a && !b)
			break;
		release_front(shared, flow, !a || (b && b->ts_ns < a->ts_ns));
	}
	for (int side = 0; side < 2; side++) {
		skip_until(shared, flow, side, directions[side].acked);
		if (directions[side].has_fin && !directions[side].ended)
			release_front(shared, flow, side);
	}
}
