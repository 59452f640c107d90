// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <strings.h>

#include "http1_head.h"
#include "memory.h"

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

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static bool same_text(const uint8_t *data, size_t len, const char *text)
{
	return strlen(text) == len && !strncasecmp((const char *)data, text, len);
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
	head->framing = FRAMING_NONE;
	if (is_media_type(value, "text/event-stream"))
		head->framing = FRAMING_SSE;
	else if (is_media_type(value, "application/x-ndjson") ||
		 is_media_type(value, "application/ndjson") ||
		 is_media_type(value, "application/jsonl"))
		head->framing = FRAMING_JSON_LINES;
	else if (is_media_type(value, "application/vnd.amazon.eventstream"))
		head->framing = FRAMING_FRAMES;
}

/* Upgrade: the first protocol of the list is what the client likes best, the server's only one. */
static void read_upgrade(struct http1_head *head, struct line value)
{
	const uint8_t *comma = memchr(value.data, ',', value.len);
	struct line first = {value.data, comma ? (size_t)(comma - value.data) : value.len};

	first = strip(first);
	head->wants_upgrade = true;
	head->websocket = same_text(first.data, first.len, "websocket");
}

static void read_framing(struct core_shared *shared, struct http1_head *head,
			 struct coding_list *transfer, const uint8_t *name, size_t len,
			 struct line value)
{
	uint32_t max = shared->limits.max_codings;

	switch (len) {
	case 7:
		if (same_text(name, len, "upgrade"))
			read_upgrade(head, value);
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
	case 24:
		if (same_text(name, len, "sec-websocket-extensions"))
			websocket_terms_add(&head->terms, value.data, value.len);
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

	while (len < line.len && http1_token_char(line.data[len]))
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

	if (!first || (size_t)(first - line.data) > HTTP1_METHOD_TOKEN ||
	    line.len < HTTP1_VERSION_LENGTH)
		return false;
	method = (size_t)(first - line.data);
	head->is_h2 = line.len == 14 && !memcmp(line.data, "PRI * HTTP/2.0", 14);
	if (http1_version_matches(end - HTTP1_VERSION_LENGTH, HTTP1_VERSION_LENGTH) != LINE_YES ||
	    end - HTTP1_VERSION_LENGTH <= first + 1 || end[-HTTP1_VERSION_LENGTH - 1] != ' ')
		return head->is_h2;
	for (const uint8_t *p = line.data; p < first; p++)
		if (!http1_token_char(*p))
			return false;
	target = (size_t)(end - HTTP1_VERSION_LENGTH - 1 - (first + 1));
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
	const uint8_t *digits = line.data + HTTP1_VERSION_LENGTH + 1;

	/* next_line() took the CR or LF that http1_status_matches() wants to see behind the digits.
	 */
	if (line.len < HTTP1_VERSION_LENGTH + 4 ||
	    http1_status_matches(line.data, line.len) == LINE_NO)
		return false;
	head->status =
		(uint16_t)((digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0'));
	batch_uint(batch, head->status);
	batch_str(batch, line.data + HTTP1_VERSION_LENGTH - 3, 3);
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
