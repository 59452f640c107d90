/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events of one stream, kept as template runs: consecutive events that are equal but for a few
 * JSON values share one copy of what is equal. SseRun in heron_otel/records/http.py is the
 * meaning; expanding a run gives back the very bytes.
 *
 * A template comes from two consecutive events with the same event name whose data differs only
 * inside up to SSE_SLOTS JSON strings or numbers (member values or array elements; never keys).
 * An event belongs to it when its literal pieces are equal and each slot is a whole string or
 * number. No knowledge of any API is used, and every event is looked at a bounded number of
 * times.
 */
#ifndef HERON_SSE_RUN_H
#define HERON_SSE_RUN_H

#include "batch.h"
#include "memory.h"

#define SSE_SLOTS 4

struct sse_event {
	uint64_t at_ns;
	const uint8_t *name;
	size_t name_len;
	const uint8_t *data;
	size_t data_len;
};

struct sse_slot {
	size_t end; /* where the literal piece before the slot ends in sse_runs.literal */
	size_t key; /* the member name inside sse_runs.literal; none for array elements */
	size_t key_len;
	bool string;
};

struct sse_mark {
	size_t packed;
	uint32_t runs;
	size_t times;
};

struct sse_runs {
	struct bytes packed;  /* finished runs, MessagePack */
	uint32_t runs;	      /* in packed */
	struct bytes times;   /* uint64 ns of every event */
	struct bytes name;    /* event name of the template, or of the single event */
	struct bytes literal; /* all literal pieces of the template, or the single event */
	uint32_t count;	      /* events of the open run; 0: none */
	uint32_t slots;	      /* of the template; 0: literal is a single event */
	struct sse_slot slot[SSE_SLOTS];
	struct bytes values[SSE_SLOTS];
	struct bytes lengths; /* uint32 */
};

/* False: out of memory or over max_buffered_bytes, and the event is not kept. */
bool sse_runs_add(struct core_shared *shared, struct sse_runs *runs, const struct sse_event *event);
/*
 * Remembers the present end: what is added later can be taken back. The open run ends here, so
 * that a later event does not join it.
 */
void sse_runs_mark(struct core_shared *shared, struct sse_runs *runs, struct sse_mark *mark);
void sse_runs_roll_back(struct sse_runs *runs, const struct sse_mark *mark);
/* Bytes that the events take up. */
size_t sse_runs_size(const struct sse_runs *runs);
/* Runs that sse_runs_write() will write. */
uint32_t sse_runs_count(const struct sse_runs *runs);
void sse_runs_write(const struct sse_runs *runs, struct batch *batch);
void sse_runs_free(struct core_shared *shared, struct sse_runs *runs);

#endif
