/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Binary event frames (application/vnd.amazon.eventstream): total length, length of the headers
 * and CRC of both, headers, payload, CRC of everything. Source: "Amazon Event Stream
 * Specification" of the Smithy documentation.
 *
 * A frame whose CRCs are wrong, or which cannot be read, is counted and not handed out. After
 * lost content, or a length that cannot be true, the next frame is found by its CRC.
 */
#ifndef HERON_EVENT_FRAMES_H
#define HERON_EVENT_FRAMES_H

#include "memory.h"

struct event_frame {
	/* Value of :event-type, :exception-type or :error-code; letters, digits, '_', '-', '.'. */
	const uint8_t *name;
	size_t name_len;
	const uint8_t *payload; /* a JSON object */
	size_t payload_len;
	const uint8_t *message; /* value of :error-message, or NULL; without a payload it is one */
	size_t message_len;
};

struct event_frames {
	struct bytes held; /* start of a frame whose end is not there yet */
	uint64_t skip;	   /* bytes left of a frame over the limit */
	bool seeking;	   /* the place is lost */
};

/* @frame points into the input or into what is held, until the function returns. */
typedef void (*event_frame_taker)(void *context, const struct event_frame *frame);

/* False: frames were left out because of max_event_bytes or memory. */
bool event_frames_feed(struct core_shared *shared, struct event_frames *frames, const uint8_t *data,
		       size_t len, event_frame_taker take, void *context);
/* Content is missing here. */
void event_frames_gap(struct core_shared *shared, struct event_frames *frames);
void event_frames_free(struct core_shared *shared, struct event_frames *frames);

#endif
