/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.x on one connection: framing of both directions and pairing. Bytes come in order with
 * their capture time, from TCP reassembly or from plaintext capture; holes are told by
 * http1_gap(). Nothing here knows about packets.
 */
#ifndef HERON_HTTP1_H
#define HERON_HTTP1_H

#include "core.h"

#define SENSITIVE_NAMES 128

/* Names beyond SENSITIVE_NAMES still count: then the whole text is searched. */
struct sensitive_names {
	bool ready;
	bool overflow;
	uint32_t count;
	uint64_t lengths; /* bit n: some name has n bytes (n & 63) */
	struct {
		const char *name;
		size_t len;
	} names[SENSITIVE_NAMES];
};

/* What all connections of one core share; owned by core.c, zeroed before its members are set. */
struct core_shared {
	struct core_limits limits;
	struct core_counters counters;
	struct batch *batch;		  /* batch.h */
	uint64_t buffered_bytes;	  /* all heap held for flows and exchanges */
	uint64_t frame;			  /* number of the packet being processed, from 1 */
	uint64_t now_ns;		  /* event clock */
	uint64_t before_ns;		  /* event clock before it last moved; 0: never did */
	const char *sensitive_fields;	  /* lower case, one per line; NULL: none */
	struct sensitive_names sensitive; /* index of sensitive_fields; zero until first used */
};

struct connection_identity {
	uint64_t flow_id;	/* frame number of the first packet */
	uint8_t family;		/* 4 or 6 */
	uint8_t address[2][16]; /* endpoint 0 and 1; IPv4 in the first four bytes */
	uint16_t port[2];
};

enum stream_end {
	STREAM_FIN,	 /* this direction ended in order */
	STREAM_RESET,	 /* RST: both directions are over */
	STREAM_IDLE,	 /* the flow timed out */
	STREAM_REPLACED, /* a new connection took the 4-tuple */
	STREAM_EVICTED,	 /* flow table full */
	STREAM_INPUT_END,
};

struct http1;

/* Returns NULL when out of memory. @identity is copied. */
struct http1 *http1_new(struct core_shared *shared, const struct connection_identity *identity);
/* Endpoint @side sent the SYN; without this the first request line decides. */
void http1_set_client(struct http1 *http, int side);
/*
 * @side sent @len bytes, the first with TCP sequence number @seq (raw, wraps). @ts_ns is the
 * capture time of the packet that carried them, or of the one that filled an earlier hole.
 */
void http1_data(struct http1 *http, int side, uint64_t ts_ns, uint32_t seq, const uint8_t *data,
		size_t len);
/* The next @missing bytes of @side were not captured. */
void http1_gap(struct http1 *http, int side, uint64_t ts_ns, uint64_t missing);
/*
 * @side closes the connection with a FIN or RST, whose place in the stream may not be reached yet.
 * The first one counts: it says who ended what is outstanding.
 */
void http1_closing(struct http1 *http, int side);
/*
 * One direction (STREAM_FIN) or the whole connection (all others) is over. @side sent the FIN or
 * RST; it means nothing for the other reasons.
 */
void http1_end(struct http1 *http, int side, uint64_t ts_ns, enum stream_end why);
/*
 * Called by the flow table on the tick of the event clock (100 ms) that reaches http1_timer(), or
 * more often; announces exchanges that are open longer than announce_after_ns.
 */
void http1_tick(struct http1 *http);
/*
 * Event time from which on http1_tick() has something to do; UINT64_MAX: nothing so far, and never
 * without http1_waiting().
 */
uint64_t http1_timer(const struct http1 *http);
/* A request, response or WebSocket is outstanding: exchange_idle_ns applies instead of
 * flow_idle_ns. */
bool http1_waiting(const struct http1 *http);
/* Frees without emitting; call http1_end() first. NULL is fine. */
void http1_free(struct http1 *http);

#endif
