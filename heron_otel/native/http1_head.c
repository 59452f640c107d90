// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <strings.h>

#include "http1_head.h"
#include "memory.h"

#define MAX_REASON 256	       /* a longer reason phrase is no status line that we look for */
#define MAX_SOUGHT_TARGET 8192 /* the same for request targets; bounds rescans */
#define MAX_SOUGHT_NAME 128    /* the same for the field name behind it */
#define MAX_METHOD_TOKEN 32

/* Not in reason phrases, but behind status lines that some text quotes. */
static const char QUOTING[] = "\"\\{}<>/";

/* Known methods: RFC 9110, RFC 5789 and WebDAV (RFC 4918, RFC 5323, RFC 3253). */
static const char *const METHODS[] = {"GET",	   "POST",    "PUT",	 "DELETE", "PATCH",
				      "HEAD",	   "OPTIONS", "CONNECT", "TRACE",  "PROPFIND",
				      "PROPPATCH", "MKCOL",   "COPY",	 "MOVE",   "LOCK",
				      "UNLOCK",	   "REPORT",  "SEARCH"};

/* Schemes whose word may stay in front of the hidden credentials (IANA registry and usage). */
static const char *const SCHEMES[] = {
	"basic",	 "bearer",	    "digest",	 "dpop",
	"hoba",		 "mutual",	    "negotiate", "ntlm",
	"oauth",	 "privatetoken",    "vapid",	 "gnap",
	"token",	 "apikey",	    "api-key",	 "key",
	"hawk",		 "sharedkey",	    "concealed", "scram-sha-1",
	"scram-sha-256", "aws4-hmac-sha256"};

static const char HIDDEN[] = "***";

struct cursor {
	const uint8_t *at;
	const uint8_t *end;
};

struct line {
	const uint8_t *data;
	size_t len;
};

/* RFC 9110, section 5.6.2 */
static bool is_token_char(uint8_t c)
{
	static const char punctuation[] = "!#$%&'*+-.^_`|~";

	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr(punctuation, c));
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static bool same_text(const uint8_t *data, size_t len, const char *text)
{
	return strlen(text) == len && !strncasecmp((const char *)data, text, len);
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
static enum line_match match_version(const uint8_t *data, size_t len)
{
	static const char prefix[] = "HTTP/1.";
	size_t fixed = sizeof(prefix) - 1;

	if (memcmp(data, prefix, len < fixed ? len : fixed))
		return LINE_NO;
	if (len <= fixed)
		return LINE_MORE;
	return data[fixed] >= '0' && data[fixed] <= '9' ? LINE_YES : LINE_NO;
}

#define VERSION_LENGTH 8

/* "HTTP/1.1 200": version, space, three digits and no fourth. */
static enum line_match match_status(const uint8_t *data, size_t len)
{
	enum line_match version = match_version(data, len);

	if (version != LINE_YES)
		return version;
	for (size_t i = VERSION_LENGTH; i < VERSION_LENGTH + 5; i++) {
		uint8_t c;

		if (i == len)
			return LINE_MORE;
		c = data[i];
		if (i == VERSION_LENGTH && c != ' ')
			return LINE_NO;
		if (i == VERSION_LENGTH + 1 && (c < '1' || c > '5'))
			return LINE_NO;
		if (i > VERSION_LENGTH + 1 && i < VERSION_LENGTH + 4 && (c < '0' || c > '9'))
			return LINE_NO;
		if (i == VERSION_LENGTH + 4 && c != ' ' && c != '\r' && c != '\n')
			return LINE_NO;
	}
	return LINE_YES;
}

enum line_match http1_line_begins(bool response, const uint8_t *data, size_t len)
{
	size_t i = 0;

	if (response)
		return match_status(data, len);
	while (i < len && i <= MAX_METHOD_TOKEN && is_token_char(data[i]))
		i++;
	if (i == len && i <= MAX_METHOD_TOKEN)
		return LINE_MORE;
	return i > 0 && i <= MAX_METHOD_TOKEN && data[i] == ' ' ? LINE_YES : LINE_NO;
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
	while (i < len && i - start <= MAX_SOUGHT_NAME && is_token_char(data[i]))
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
	enum line_match match = match_status(data, len);
	size_t i = VERSION_LENGTH + 4;
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
	version = match_version(data + i, len - i);
	if (version != LINE_YES)
		return version;
	i += VERSION_LENGTH;
	return match_line_end_and_field(data + i, len - i);
}

enum line_match http1_line_matches(bool response, const uint8_t *data, size_t len)
{
	return response ? match_status_line(data, len) : match_request_line(data, len);
}

static struct line next_line(struct cursor *cursor)
{
	const uint8_t *start = cursor->at;
	const uint8_t *lf = memchr(start, '\n', (size_t)(cursor->end - start));
	const uint8_t *end = lf ? lf : cursor->end;

	cursor->at = lf ? lf + 1 : end;
	if (end > start && end[-1] == '\r')
		end--;
	return (struct line){start, (size_t)(end - start)};
}

static struct line strip(struct line line)
{
	while (line.len && is_blank(line.data[0])) {
		line.data++;
		line.len--;
	}
	while (line.len && is_blank(line.data[line.len - 1]))
		line.len--;
	return line;
}

static void index_sensitive(struct core_shared *shared)
{
	struct sensitive_names *index = &shared->sensitive;
	const char *name = shared->sensitive_fields;

	index->ready = true;
	while (name && *name) {
		size_t len = strcspn(name, "\n");

		if (len && index->count == SENSITIVE_NAMES)
			index->overflow = true;
		if (len && index->count < SENSITIVE_NAMES) {
			index->names[index->count].name = name;
			index->names[index->count++].len = len;
		}
		if (len)
			index->lengths |= 1ull << (len & 63);
		name += len + (name[len] == '\n');
	}
}

static bool in_text(const char *text, const uint8_t *name, size_t len)
{
	while (*text) {
		size_t line = strcspn(text, "\n");

		if (line == len && !memcmp(text, name, len))
			return true;
		text += line + (text[line] == '\n');
	}
	return false;
}

/* @name is in lower case. */
static bool is_sensitive(struct core_shared *shared, const uint8_t *name, size_t len)
{
	struct sensitive_names *index = &shared->sensitive;

	if (!index->ready)
		index_sensitive(shared);
	if (!(index->lengths >> (len & 63) & 1))
		return false;
	for (uint32_t i = 0; i < index->count; i++)
		if (index->names[i].len == len && !memcmp(index->names[i].name, name, len))
			return true;
	return index->overflow && in_text(shared->sensitive_fields, name, len);
}

static void pack_hidden(struct batch *batch, const uint8_t *name, size_t name_len,
			struct line value)
{
	char text[64];
	size_t scheme = 0;

	if (same_text(name, name_len, "authorization") ||
	    same_text(name, name_len, "proxy-authorization")) {
		const uint8_t *space = memchr(value.data, ' ', value.len);
		size_t word = space ? (size_t)(space - value.data) : 0;

		for (size_t i = 0; i < sizeof(SCHEMES) / sizeof(SCHEMES[0]); i++)
			if (same_text(value.data, word, SCHEMES[i]))
				scheme = word + 1;
	}
	memcpy(text, value.data, scheme);
	memcpy(text + scheme, HIDDEN, sizeof(HIDDEN) - 1);
	batch_str(batch, text, scheme + sizeof(HIDDEN) - 1);
}

static void read_length(struct http1_head *head, struct line value)
{
	size_t i = 0;

	do {
		uint64_t length = 0;
		size_t digits = 0;

		while (i < value.len && is_blank(value.data[i]))
			i++;
		for (; i < value.len && value.data[i] >= '0' && value.data[i] <= '9'; i++) {
			if (length > (UINT64_MAX - 9) / 10)
				head->bad_length = true;
			length = length * 10 + (uint64_t)(value.data[i] - '0');
			digits++;
		}
		while (i < value.len && is_blank(value.data[i]))
			i++;
		if (digits == 0 || (i < value.len && value.data[i] != ',') ||
		    (head->has_length && head->length != length))
			head->bad_length = true;
		head->has_length = true;
		head->length = length;
		if (i < value.len && value.data[i] == ',')
			i++;
		else
			break;
	} while (!head->bad_length);
}

/* The last coding of the last Transfer-Encoding line decides (RFC 9112, section 6.3). */
static void read_transfer_coding(struct http1_head *head, struct line value)
{
	struct line last = value;

	for (size_t i = 0; i < value.len; i++)
		if (value.data[i] == ',')
			last = (struct line){value.data + i + 1, value.len - i - 1};
	last = strip(last);
	head->transfer_coded = true;
	head->chunked = same_text(last.data, last.len, "chunked");
}

static bool is_media_type(struct line value, const char *type)
{
	size_t len = strlen(type);

	return value.len >= len && same_text(value.data, len, type) &&
	       (value.len == len || value.data[len] == ';' || is_blank(value.data[len]));
}

static void read_media_type(struct http1_head *head, struct line value)
{
	head->event_stream = is_media_type(value, "text/event-stream");
	head->json_lines = is_media_type(value, "application/x-ndjson") ||
			   is_media_type(value, "application/ndjson") ||
			   is_media_type(value, "application/jsonl");
}

static void read_framing(struct core_shared *shared, struct http1_head *head,
			 struct coding_list *transfer, const uint8_t *name, size_t len,
			 struct line value)
{
	uint32_t max = shared->limits.max_codings;

	switch (len) {
	case 7:
		if (same_text(name, len, "upgrade"))
			head->wants_upgrade = true;
		break;
	case 12:
		if (same_text(name, len, "content-type"))
			read_media_type(head, value);
		break;
	case 14:
		if (same_text(name, len, "content-length"))
			read_length(head, value);
		break;
	case 16:
		if (same_text(name, len, "content-encoding"))
			coding_list_add(&head->codings, max, value.data, value.len);
		break;
	case 17:
		if (same_text(name, len, "transfer-encoding")) {
			read_transfer_coding(head, value);
			coding_list_add(transfer, max, value.data, value.len);
		}
		break;
	default:
		break;
	}
}

/* Joins the continuation lines of an obsolete line folding (RFC 9112, section 5.2). */
static uint8_t *unfold(struct cursor *cursor, struct line *value)
{
	uint8_t *joined = malloc(value->len + (size_t)(cursor->end - cursor->at) + 1);

	if (!joined)
		return NULL;
	if (value->len)
		memcpy(joined, value->data, value->len);
	while (cursor->at < cursor->end && is_blank(*cursor->at)) {
		struct line more = strip(next_line(cursor));

		joined[value->len++] = ' ';
		memcpy(joined + value->len, more.data, more.len);
		value->len += more.len;
	}
	value->data = joined;
	*value = strip(*value);
	return joined;
}

/* Writes @name in lower case and returns where it lies; NULL when out of memory. */
static const uint8_t *pack_name(struct batch *batch, const uint8_t *name, size_t len)
{
	uint8_t *out;

	batch_str(batch, name, len); /* a token: ASCII */
	if (batch->failed)
		return NULL;
	out = batch->data + batch->size - len;
	for (size_t i = 0; i < len; i++)
		if (out[i] >= 'A' && out[i] <= 'Z')
			out[i] |= 0x20;
	return out;
}

/* Reads the field at @cursor. False: not a field. */
static bool read_field(struct core_shared *shared, struct http1_head *head,
		       struct coding_list *transfer, struct cursor *cursor, uint32_t *fields)
{
	struct batch *batch = shared->batch;
	struct line line = next_line(cursor);
	struct line value;
	const uint8_t *name;
	uint8_t *joined = NULL;
	size_t len = 0;

	while (len < line.len && is_token_char(line.data[len]))
		len++;
	name = line.data;
	value = (struct line){line.data + len, line.len - len};
	if (head->status) /* RFC 9112, section 5.1: a space there is removed from responses */
		value = strip(value);
	if (len == 0 || value.len == 0 || value.data[0] != ':')
		return false;
	value.data++;
	value.len--;
	value = strip(value);
	if (cursor->at < cursor->end && is_blank(*cursor->at)) {
		joined = unfold(cursor, &value);
		if (!joined)
			return false;
	}
	read_framing(shared, head, transfer, name, len, value);
	if (*fields < shared->limits.max_fields) {
		const uint8_t *lower = pack_name(batch, name, len);

		if (lower && is_sensitive(shared, lower, len))
			pack_hidden(batch, name, len, value);
		else
			batch_str(batch, value.data, value.len);
	}
	++*fields;
	free(joined);
	return true;
}

static bool read_request_line(struct http1_head *head, struct batch *batch, struct line line)
{
	const uint8_t *first = memchr(line.data, ' ', line.len);
	const uint8_t *end = line.data + line.len;
	size_t method, target;

	if (!first || (size_t)(first - line.data) > MAX_METHOD_TOKEN || line.len < VERSION_LENGTH)
		return false;
	method = (size_t)(first - line.data);
	head->is_h2 = line.len == 14 && !memcmp(line.data, "PRI * HTTP/2.0", 14);
	if (match_version(end - VERSION_LENGTH, VERSION_LENGTH) != LINE_YES ||
	    end - VERSION_LENGTH <= first + 1 || end[-VERSION_LENGTH - 1] != ' ')
		return head->is_h2;
	for (const uint8_t *p = line.data; p < first; p++)
		if (!is_token_char(*p))
			return false;
	target = (size_t)(end - VERSION_LENGTH - 1 - (first + 1));
	if (method == 0 || target == 0 || memchr(first + 1, ' ', target))
		return false;
	head->is_head = method == 4 && !memcmp(line.data, "HEAD", 4);
	head->is_connect = method == 7 && !memcmp(line.data, "CONNECT", 7);
	batch_str(batch, line.data, method);
	batch_str(batch, first + 1, target);
	batch_str(batch, end - 3, 3);
	return true;
}

static bool read_status_line(struct http1_head *head, struct batch *batch, struct line line)
{
	const uint8_t *digits = line.data + VERSION_LENGTH + 1;

	/* next_line() took the CR or LF that match_status() wants to see behind the digits. */
	if (line.len < VERSION_LENGTH + 4 || match_status(line.data, line.len) == LINE_NO)
		return false;
	head->status =
		(uint16_t)((digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0'));
	batch_uint(batch, head->status);
	batch_str(batch, line.data + VERSION_LENGTH - 3, 3);
	return true;
}

static void join_codings(struct coding_list *list, const struct coding_list *transfer)
{
	list->unsupported |=
		transfer->unsupported || list->count + transfer->count > CODING_MAX_CHAIN;
	if (list->unsupported)
		return;
	memcpy(list->codings + list->count, transfer->codings, transfer->count);
	list->count += transfer->count;
}

/* An array 32 with room for a count that is known only at the end. */
static size_t open_fields(struct batch *batch)
{
	static const uint8_t array32[5] = {0xdd};
	size_t at = batch->size;

	batch_raw(batch, array32, sizeof(array32));
	return at + 1;
}

static void close_fields(struct batch *batch, size_t at, uint32_t strings)
{
	for (int i = 0; i < 4 && !batch->failed; i++)
		batch->data[at + (size_t)i] = (uint8_t)(strings >> (24 - 8 * i));
}

bool http1_head_read(struct core_shared *shared, bool response, const uint8_t *data, size_t len,
		     struct http1_head *head)
{
	struct batch *batch = shared->batch;
	struct cursor cursor = {data, data + len};
	struct coding_list transfer = {0};
	uint32_t fields = 0;
	struct line first;
	size_t count_at;
	bool good;

	memset(head, 0, sizeof(*head));
	batch_begin(batch); /* only a place to write: taken back below */
	first = next_line(&cursor);
	good = response ? read_status_line(head, batch, first)
			: read_request_line(head, batch, first);
	count_at = open_fields(batch);
	while (good && cursor.at < cursor.end && *cursor.at != '\n' &&
	       !(*cursor.at == '\r' && cursor.at + 1 < cursor.end && cursor.at[1] == '\n'))
		good = read_field(shared, head, &transfer, &cursor, &fields);
	if (fields > shared->limits.max_fields) {
		shared->counters.field_limit++;
		fields = shared->limits.max_fields;
	}
	close_fields(batch, count_at, 2 * fields);
	good = good && !batch->failed;
	head->packed = good ? batch->data + batch->start : NULL;
	head->packed_size = good ? batch->size - batch->start : 0;
	batch_cancel(batch);
	join_codings(&head->codings, &transfer);
	return good;
}
