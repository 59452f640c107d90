/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of struct http1: where each direction is in its messages. */
#ifndef HERON_HTTP1_STREAM_H
#define HERON_HTTP1_STREAM_H

#include "exchange.h"
#include "websocket.h"

enum place {
	AT_SEEK, /* place lost, or never known: looking for a start line */
	AT_HEAD,
	AT_LENGTH,
	AT_CHUNK_SIZE,
	AT_CHUNK_DATA,
	AT_CHUNK_END,  /* the line end behind chunk data */
	AT_CHUNK_SEEK, /* in a chunked body after a gap: looking for a chunk size line */
	AT_TRAILERS,
	AT_CLOSE, /* content until the connection ends */
	AT_OFFER, /* client: bytes behind the offer of WebSocket, until it is answered */
	AT_WEBSOCKET,
	AT_SKIP /* no HTTP/1.x any more, nor WebSocket */
};

enum chunk_line {
	CHUNK_DIGITS,
	CHUNK_EXTENSION,
	CHUNK_LF /* a CR was seen */
};

struct stream {
	enum place place;
	bool ended;
	bool after_loss; /* place was lost since the last message */
	bool line_start; /* AT_CHUNK_SEEK: pending, or what comes, begins a line */
	enum chunk_line chunk_line;
	uint32_t line_bytes; /* of the chunk size line, or of the present trailer line */
	uint32_t trailer_bytes;
	uint32_t interim;	 /* 1xx responses since the last final one */
	uint64_t remaining;	 /* of the content or chunk */
	uint64_t expected;	 /* size of the content; 0: not told */
	uint64_t clock_ns;	 /* latest capture time of what was read */
	struct message *message; /* NULL: what is read is kept nowhere */
	struct bytes pending;	 /* part of a head, or the end of what was searched */
	size_t scanned;
	uint64_t pending_at_ns;
	uint32_t pending_seq;
};

struct http1 {
	struct core_shared *shared;
	struct exchanges exchanges;
	bool offered_upgrade;	     /* by the last request */
	bool offered_websocket;	     /* the same, and WebSocket it is */
	struct websocket *websocket; /* the connection changed to it */
	bool seen[2];		     /* side has sent anything */
	struct stream streams[2];
};

static inline bool stream_is_response(const struct http1 *http, int side)
{
	return side != http->exchanges.client;
}

/* http1_stream.c: reads @data to its end. */
void stream_read(struct http1 *http, int side, uint64_t ts_ns, uint32_t seq, const uint8_t *data,
		 size_t len);

/* http1_seek.c: looks for a place to read on in @data; returns how much of it is behind that. */
size_t stream_seek(struct http1 *http, int side, uint64_t ts_ns, uint32_t seq, const uint8_t *data,
		   size_t len);
/* Value of a hexadecimal digit, -1: none. */
static inline int stream_hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* http1_begin.c: begins the message whose head is the @len bytes at @data. */
void stream_take_head(struct http1 *http, int side, const uint8_t *data, size_t len,
		      uint64_t started_at_ns, uint32_t seq);

/* http1_state.c */

void stream_enter_head(struct stream *stream);
void stream_enter_chunk_size(struct stream *stream);
/* What is read from now on belongs to @message; NULL: to nothing that is kept. */
void stream_read_by(struct stream *stream, struct message *message);
/* The opposite; returns the message. */
struct message *stream_release(struct stream *stream);
void stream_forget_pending(struct stream *stream);
/* Gives up what was kept of an unfinished head or search. */
void stream_drop_pending(struct http1 *http, int side);
/* Looks for the next start line from here on. */
void stream_lose_place(struct http1 *http, int side);
/* Both directions leave HTTP/1.x. */
void stream_skip_connection(struct http1 *http);
/* Both directions go on as WebSocket, which the exchange with @index offered. */
void stream_enter_websocket(struct http1 *http, const struct websocket_terms *terms, uint32_t index,
			    uint32_t request_seq);
/* The server answers something else than WebSocket: what the client sent meanwhile is HTTP. */
void stream_refuse_offer(struct http1 *http);
/* The message being read is over; @complete: its framing says so. */
void stream_finish_message(struct http1 *http, int side, bool complete);
/* The same after a gap or fault: the exchange ends as @end if it has nothing better to say. */
void stream_break_message(struct http1 *http, int side, enum exchange_end end);
/* Bytes that RFC 9112 does not allow here. */
void stream_fault(struct http1 *http, int side);
/* A head that cannot be read stands where the oldest waiting request expects its response. */
void stream_head_fault(struct http1 *http, int side, uint64_t ts_ns, enum exchange_end end);
/* Nothing more of the request comes. */
void stream_end_request(struct http1 *http, struct exchange *exchange);
/* Closes an exchange that has both its messages, unless its pairing is still in doubt. */
void stream_close_complete(struct http1 *http, struct exchange *exchange);
/* What was taken for more of @response is not: takes that back and ends it as lost. */
void stream_reject_guess(struct http1 *http, struct message *response);
/* Whether requests behind @exchange may be missing. */
bool stream_request_missing(const struct http1 *http, const struct exchange *exchange);

#endif
