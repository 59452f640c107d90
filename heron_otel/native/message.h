/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP message while it is read: packed head, content without transfer coding on its way
 * through content codings into stored content or Server-Sent Events.
 */
#ifndef HERON_MESSAGE_H
#define HERON_MESSAGE_H

#include "coding.h"
#include "http1_head.h"
#include "memory.h"
#include "sse.h"

/* BodyFlag in heron_otel/records/http.py */
enum body_flag {
	BODY_TRUNCATED = 1,
	BODY_CODING_UNSUPPORTED = 2,
	BODY_CODING_CORRUPT = 4,
	BODY_CODING_BOMB = 8,
	BODY_INCOMPLETE = 16,
	BODY_GAPPED = 32,
};

struct exchange;

struct message {
	struct message *next;	   /* responses that wait for their request */
	struct exchange *exchange; /* NULL: such a response */
	struct message **reader;   /* what still points here to add content; cleared when freed */
	uint8_t *head;		   /* MessagePack values, see http1_head_pack() */
	size_t head_size;
	struct bytes content;
	struct bytes tail;	 /* past the limit: the newest bytes, up to twice what is written */
	struct decoder *decoder; /* NULL: no coding, or decoding stopped */
	struct sse *sse;	 /* NULL: content is stored */
	uint64_t content_bytes;
	uint64_t encoded_bytes;
	uint64_t lost_bytes;
	uint64_t started_at_ns;
	uint64_t head_at_ns;
	uint64_t content_at_ns;
	uint64_t ended_at_ns; /* of the end, or of the last data */
	uint32_t flags;	      /* enum body_flag */
	uint32_t interim;
	uint16_t status; /* 0: a request */
	uint8_t end;	 /* enum exchange_end: what broke it off; END_COMPLETE: nothing */
	bool done;	 /* nothing comes any more */
	bool deaf;	 /* decoding stopped: content is only counted */
	bool guessed;	 /* what follows the mark may belong to a later message */
	struct {
		size_t content;
		uint64_t content_bytes;
		uint64_t encoded_bytes;
	} mark;
	bool after_loss; /* responses between this one and the one before may be missing */
};

/* Takes what the message needs out of @head. NULL when out of memory or over a limit. */
struct message *message_new(struct core_shared *shared, const struct http1_head *head);
/* @expected: size of the content if the head tells it, else 0. */
void message_body(struct core_shared *shared, struct message *message, uint64_t at_ns,
		  const uint8_t *data, size_t len, uint64_t expected);
/* @missing bytes of content or framing were not captured here. */
void message_gap(struct core_shared *shared, struct message *message, uint64_t missing);
/*
 * After a gap in chunked framing the place was lost: what is found next may belong to a later
 * message. Marks the message as guessed.
 */
void message_guess(struct message *message);
/* The guess was wrong: forgets what came after it. */
void message_roll_back(struct message *message);
/* No more content; @complete: the framing says so. */
void message_finish(struct core_shared *shared, struct message *message, uint64_t at_ns,
		    bool complete);
void message_write_request(const struct message *message, struct batch *batch);
void message_write_response(const struct message *message, struct batch *batch);
void message_free(struct core_shared *shared, struct message *message);

#endif
