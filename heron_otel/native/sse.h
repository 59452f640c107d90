/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Server-Sent Events (HTML Living Standard, section 9.2.6): decoded content in, template runs
 * out. Lines end in LF, CR LF or CR, mixed as the sender likes. An event with data is an event;
 * comments are counted; id and retry are ignored.
 *
 * JSON lines (application/x-ndjson) are taken as events too: each line that is not empty is the
 * data of one event without a name.
 *
 * Binary event frames (event_frames.h) are taken as events too: the payload is the only member of
 * an object, under the name of the frame, as the services document their streams.
 *
 * Past max_body_bytes the first events stay and, of the later ones, the last: at most
 * SSE_TAIL_BYTES, at least half of that or one event. What a stream tells at its end (usage,
 * errors) is not lost to the limit.
 */
#ifndef HERON_SSE_H
#define HERON_SSE_H

#include "batch.h"
#include "http1_head.h"
#include "memory.h"

#define SSE_TAIL_BYTES (64u << 10)

struct sse;

/* NULL when out of memory or over a limit. */
struct sse *sse_new(struct core_shared *shared, enum event_framing framing);
void sse_feed(struct sse *sse, uint64_t at_ns, const uint8_t *data, size_t len);
/*
 * Content is missing here. The event it hits is dropped; the stream is taken up at the next blank
 * line, or at once if whole lines were lost and what follows begins an event. JSON lines are taken
 * up at the next line, binary frames at the next frame.
 */
void sse_gap(struct sse *sse);
/* Remembers the events so far: sse_roll_back() forgets all that came later, and ends the stream. */
void sse_mark(struct sse *sse);
void sse_roll_back(struct sse *sse);
/* End of the content. @complete: nothing was cut off, so an unfinished last line counts. */
void sse_finish(struct sse *sse, uint64_t at_ns, bool complete);
/* Events are missing because of max_body_bytes, max_event_bytes or memory. */
bool sse_truncated(const struct sse *sse);
/* Writes two values: the array of runs and the event times. */
void sse_write(const struct sse *sse, struct batch *batch);
void sse_free(struct sse *sse);

#endif
