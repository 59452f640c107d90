/* SPDX-License-Identifier: Apache-2.0 */
/* Recognises start lines and the end of heads (RFC 9112), also where only a part has come yet. */
#ifndef HERON_HTTP1_LINE_H
#define HERON_HTTP1_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP1_METHOD_TOKEN 32
#define HTTP1_VERSION_LENGTH 8

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

/* RFC 9110, section 5.6.2 */
bool http1_token_char(uint8_t c);
/* "HTTP/1." digit */
enum line_match http1_version_matches(const uint8_t *data, size_t len);
/* Version, space, three digits and no fourth. */
enum line_match http1_status_matches(const uint8_t *data, size_t len);

#endif
