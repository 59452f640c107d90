/* SPDX-License-Identifier: Apache-2.0 */
/* Reads whole heads of HTTP/1.x messages (RFC 9112). */
#ifndef HERON_HTTP1_HEAD_H
#define HERON_HTTP1_HEAD_H

#include "coding.h"
#include "batch.h"
#include "http1_line.h"
#include "websocket.h"

/* How the content of a response is a stream of events. */
enum event_framing {
	FRAMING_NONE,
	FRAMING_SSE,	    /* text/event-stream */
	FRAMING_JSON_LINES, /* application/x-ndjson and its other names */
	FRAMING_FRAMES,	    /* application/vnd.amazon.eventstream */
};

struct http1_head {
	uint16_t status; /* 0: a request */
	bool is_head;	 /* HEAD request: its response has no content */
	bool is_connect;
	bool is_h2; /* the HTTP/2 preface */
	bool wants_upgrade;
	bool websocket; /* the protocol to upgrade to */
	struct websocket_terms terms;
	enum event_framing framing; /* by Content-Type */
	bool chunked;		    /* chunked is the final transfer coding */
	bool transfer_coded;
	bool has_length;
	bool bad_length; /* Content-Length that is no number, or several that differ */
	uint64_t length;
	struct coding_list codings; /* content codings, then transfer codings */
	/*
	 * Request: method, target, version, fields. Response: status_code, version, fields. Lies
	 * in shared->batch behind its last record: valid until the next write there.
	 */
	const uint8_t *packed;
	size_t packed_size;
};

/* Reads the head of @len bytes. False: not a head that RFC 9112 allows, or out of memory. */
bool http1_head_read(struct core_shared *shared, bool response, const uint8_t *data, size_t len,
		     struct http1_head *head);

#endif
