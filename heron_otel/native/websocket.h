/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection that changed to the WebSocket protocol (RFC 6455), with or without
 * permessage-deflate (RFC 7692): frames of both directions in, batches of messages out.
 *
 * A text message, or a binary one that begins like a JSON object or array, is kept whole, as an
 * event in template runs (sse_run.h). Other binary messages, pings and pongs are counted. A batch
 * holds messages of one direction in a row: it is written when the other direction speaks, when it
 * is large, announce_after_ns after its first message, or before bytes are missing from it.
 *
 * After a gap the reader goes on inside a frame whose length is known. Else it looks for a frame
 * that is confirmed by what it holds or by the frames behind it; where TCP segments end means
 * nothing. Compressed messages behind a gap are given up when each needs those before it.
 */
#ifndef HERON_WEBSOCKET_H
#define HERON_WEBSOCKET_H

#include "http1.h"

/* What the server agreed to in Sec-WebSocket-Extensions. */
struct websocket_terms {
	bool deflate;  /* permessage-deflate */
	bool unknown;  /* an extension that we do not know: frames cannot be read */
	bool fresh[2]; /* {client, server}_no_context_takeover: each message stands alone */
};

/* websocket_terms.c: reads one field value. */
void websocket_terms_add(struct websocket_terms *terms, const uint8_t *value, size_t len);

struct websocket;
struct exchanges;

/*
 * @index and @request_seq name the exchange of the handshake in @exchanges, which outlives the
 * result. NULL when out of memory or over a limit.
 */
struct websocket *websocket_new(struct core_shared *shared, const struct exchanges *exchanges,
				const struct websocket_terms *terms, uint32_t index,
				uint32_t request_seq);
/* @server: which direction the bytes are of. */
void websocket_feed(struct websocket *websocket, bool server, uint64_t at_ns, const uint8_t *data,
		    size_t len);
void websocket_gap(struct websocket *websocket, bool server, uint64_t missing);
/* Event time from which on websocket_tick() has something to write; UINT64_MAX: nothing. */
uint64_t websocket_timer(const struct websocket *websocket);
void websocket_tick(struct websocket *websocket);
/* The connection is over: writes what is left and how it ended. */
void websocket_end(struct websocket *websocket, enum stream_end why);
/* Frees without records. NULL is fine. */
void websocket_free(struct websocket *websocket);

#endif
