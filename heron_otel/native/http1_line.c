// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "http1_line.h"

#define MAX_REASON 256	       /* a longer reason phrase is no status line that we look for */
#define MAX_SOUGHT_TARGET 8192 /* the same for request targets; bounds rescans */
#define MAX_SOUGHT_NAME 128    /* the same for the field name behind it */

/* Not in reason phrases, but behind status lines that some text quotes. */
static const char QUOTING[] = "\"\\{}<>/";

/* Known methods: RFC 9110, RFC 5789 and WebDAV (RFC 4918, RFC 5323, RFC 3253). */
static const char *const METHODS[] = {"GET",	   "POST",    "PUT",	 "DELETE", "PATCH",
				      "HEAD",	   "OPTIONS", "CONNECT", "TRACE",  "PROPFIND",
				      "PROPPATCH", "MKCOL",   "COPY",	 "MOVE",   "LOCK",
				      "UNLOCK",	   "REPORT",  "SEARCH"};

/* RFC 9110, section 5.6.2 */
bool http1_token_char(uint8_t c)
{
	static const char punctuation[] = "!#$%&'*+-.^_`|~";

	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr(punctuation, c));
}

size_t http1_head_end(const uint8_t *data, size_t len, size_t *scanned)
{
	size_t i = *scanned;

	while (i < len) {
		const uint8_t *lf = memchr(data + i, '\n', len - i);
		size_t next;

		if (!lf) {
			*scanned = len;
			return 0;
		}
		next = (size_t)(lf - data) + 1;
		if (next < len && data[next] == '\n')
			return next + 1;
		if (next + 1 < len && data[next] == '\r' && data[next + 1] == '\n')
			return next + 2;
		if (len - next < 2 && (next == len || data[next] == '\r')) {
			*scanned = next - 1; /* the blank line may follow */
			return 0;
		}
		i = next;
	}
	*scanned = i;
	return 0;
}

/* "HTTP/1." digit, at the start of @data. */
enum line_match http1_version_matches(const uint8_t *data, size_t len)
{
	static const char prefix[] = "HTTP/1.";
	size_t fixed = sizeof(prefix) - 1;

	if (memcmp(data, prefix, len < fixed ? len : fixed))
		return LINE_NO;
	if (len <= fixed)
		return LINE_MORE;
	return data[fixed] >= '0' && data[fixed] <= '9' ? LINE_YES : LINE_NO;
}

/* "HTTP/1.1 200": version, space, three digits and no fourth. */
enum line_match http1_status_matches(const uint8_t *data, size_t len)
{
	enum line_match version = http1_version_matches(data, len);

	if (version != LINE_YES)
		return version;
	for (size_t i = HTTP1_VERSION_LENGTH; i < HTTP1_VERSION_LENGTH + 5; i++) {
		uint8_t c;

		if (i == len)
			return LINE_MORE;
		c = data[i];
		if (i == HTTP1_VERSION_LENGTH && c != ' ')
			return LINE_NO;
		if (i == HTTP1_VERSION_LENGTH + 1 && (c < '1' || c > '5'))
			return LINE_NO;
		if (i > HTTP1_VERSION_LENGTH + 1 && i < HTTP1_VERSION_LENGTH + 4 &&
		    (c < '0' || c > '9'))
			return LINE_NO;
		if (i == HTTP1_VERSION_LENGTH + 4 && c != ' ' && c != '\r' && c != '\n')
			return LINE_NO;
	}
	return LINE_YES;
}

enum line_match http1_line_begins(bool response, const uint8_t *data, size_t len)
{
	size_t i = 0;

	if (response)
		return http1_status_matches(data, len);
	while (i < len && i <= HTTP1_METHOD_TOKEN && http1_token_char(data[i]))
		i++;
	if (i == len && i <= HTTP1_METHOD_TOKEN)
		return LINE_MORE;
	return i > 0 && i <= HTTP1_METHOD_TOKEN && data[i] == ' ' ? LINE_YES : LINE_NO;
}

size_t http1_method_before(const uint8_t *data, size_t end)
{
	size_t found = 0;

	for (size_t i = 0; i < sizeof(METHODS) / sizeof(METHODS[0]); i++) {
		size_t len = strlen(METHODS[i]);

		if (len > found && len <= end && !memcmp(data + end - len, METHODS[i], len))
			found = len;
	}
	return found;
}

size_t http1_method_tail(const uint8_t *data, size_t len)
{
	static const char first_letters[] = "GPDHOCTMLURS";

	for (size_t tail = len < HTTP1_MAX_METHOD ? len : HTTP1_MAX_METHOD; tail; tail--) {
		const uint8_t *start = data + len - tail;

		if (!memchr(first_letters, *start, sizeof(first_letters) - 1))
			continue;
		for (size_t i = 0; i < sizeof(METHODS) / sizeof(METHODS[0]); i++)
			if (tail <= strlen(METHODS[i]) && !memcmp(start, METHODS[i], tail))
				return tail;
	}
	return 0;
}

/* A line end, then a field name and its colon or the blank line. */
static enum line_match match_line_end_and_field(const uint8_t *data, size_t len)
{
	size_t i = 0, start;

	if (i < len && data[i] == '\r')
		i++;
	if (i == len)
		return LINE_MORE;
	if (data[i++] != '\n')
		return LINE_NO;
	start = i;
	while (i < len && i - start <= MAX_SOUGHT_NAME && http1_token_char(data[i]))
		i++;
	if (i == len)
		return LINE_MORE;
	if (i == start) {
		if (data[i] == '\r')
			return i + 1 == len ? LINE_MORE
					    : (data[i + 1] == '\n' ? LINE_YES : LINE_NO);
		return data[i] == '\n' ? LINE_YES : LINE_NO;
	}
	return data[i] == ':' ? LINE_YES : LINE_NO;
}

static enum line_match match_status_line(const uint8_t *data, size_t len)
{
	enum line_match match = http1_status_matches(data, len);
	size_t i = HTTP1_VERSION_LENGTH + 4;
	size_t limit = i + MAX_REASON;

	if (match != LINE_YES)
		return match;
	while (i < len && i < limit && (data[i] >= ' ' || data[i] == '\t') &&
	       !memchr(QUOTING, data[i], sizeof(QUOTING) - 1))
		i++;
	if (i == limit)
		return LINE_NO;
	return match_line_end_and_field(data + i, len - i);
}

static enum line_match match_request_line(const uint8_t *data, size_t len)
{
	enum line_match version;
	size_t i, start, method = 0;

	for (i = 0; i < len && i <= HTTP1_MAX_METHOD && data[i] != ' '; i++)
		;
	if (i < len)
		method = data[i] == ' ' ? http1_method_before(data, i) : 0;
	if (method == 0 || method != i)
		return LINE_NO;
	start = ++i;
	while (i < len && i - start <= MAX_SOUGHT_TARGET && data[i] > ' ' && data[i] != 0x7f)
		i++;
	if (i == len)
		return i - start <= MAX_SOUGHT_TARGET ? LINE_MORE : LINE_NO;
	if (i == start || data[i] != ' ')
		return LINE_NO;
	i++;
	version = http1_version_matches(data + i, len - i);
	if (version != LINE_YES)
		return version;
	i += HTTP1_VERSION_LENGTH;
	return match_line_end_and_field(data + i, len - i);
}

enum line_match http1_line_matches(bool response, const uint8_t *data, size_t len)
{
	return response ? match_status_line(data, len) : match_request_line(data, len);
}
