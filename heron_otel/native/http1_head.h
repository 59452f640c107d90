/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of HTTP/1.x messages: recognising start lines and reading whole heads (RFC 9112). */
#ifndef HERON_HTTP1_HEAD_H
#define HERON_HTTP1_HEAD_H

#include "coding.h"
#include "batch.h"

struct http1_head {
	uint16_t status; /* 0: a request */
	bool is_head;	 /* HEAD request: its response has no content */
	bool is_connect;
	bool is_h2; /* the HTTP/2 preface */
	bool wants_upgrade;
	bool event_stream; /* Content-Type: text/event-stream */
	bool json_lines;   /* Content-Type: application/x-ndjson and its other names */
	bool chunked;	   /* chunked is the final transfer coding */
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

enum line_match {
	LINE_NO,
	LINE_MORE, /* could become one with more bytes */
	LINE_YES
};

/*
 * Bytes of the head at the start of @data up to and including its blank line; 0 while that is not
 * there. *@scanned: bytes known to hold no end, 0 at first, kept by the caller.
 */
size_t http1_head_end(const uint8_t *data, size_t len, size_t *scanned);
/* Whether @data can be the beginning of a start line: cheap, for the place where one must be. */
enum line_match http1_line_begins(bool response, const uint8_t *data, size_t len);
/*
 * Whether a start line with a known method or version and then a field line or the end of the
 * head lie at @data: strict, for places where one may be.
 */
enum line_match http1_line_matches(bool response, const uint8_t *data, size_t len);
/*
 * Length of the known method that ends at @data + @end, followed by a space there; 0: none. The
 * longest one counts.
 */
size_t http1_method_before(const uint8_t *data, size_t end);
/* How many bytes at the end of @data may be the beginning of a known method. */
size_t http1_method_tail(const uint8_t *data, size_t len);
/* Longest method that http1_method_before() knows. */
#define HTTP1_MAX_METHOD 16

/* Reads the head of @len bytes. False: not a head that RFC 9112 allows, or out of memory. */
bool http1_head_read(struct core_shared *shared, bool response, const uint8_t *data, size_t len,
		     struct http1_head *head);

#endif
