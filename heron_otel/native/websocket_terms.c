// SPDX-License-Identifier: Apache-2.0
#include <string.h>
#include <strings.h>

#include "websocket.h"

struct text {
	const uint8_t *data;
	size_t len;
};

static struct text strip(struct text text)
{
	while (text.len && (text.data[0] == ' ' || text.data[0] == '\t')) {
		text.data++;
		text.len--;
	}
	while (text.len && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
		text.len--;
	return text;
}

/* Takes what stands before the next @separator off the front of @rest. */
static struct text take(struct text *rest, char separator)
{
	const uint8_t *end = memchr(rest->data, separator, rest->len);
	struct text part = {rest->data, end ? (size_t)(end - rest->data) : rest->len};

	rest->data += part.len + (end != NULL);
	rest->len -= part.len + (end != NULL);
	return strip(part);
}

static bool is(struct text text, const char *word)
{
	return text.len == strlen(word) && !strncasecmp((const char *)text.data, word, text.len);
}

void websocket_terms_add(struct websocket_terms *terms, const uint8_t *value, size_t len)
{
	struct text rest = {value, len};

	while (rest.len) {
		struct text extension = take(&rest, ',');
		struct text name = take(&extension, ';');

		if (name.len == 0)
			continue;
		if (!is(name, "permessage-deflate")) {
			terms->unknown = true;
			continue;
		}
		terms->deflate = true;
		while (extension.len) {
			struct text parameter = take(&extension, ';');

			/* Window sizes do not matter: the largest window reads all. */
			terms->fresh[0] |= is(parameter, "client_no_context_takeover");
			terms->fresh[1] |= is(parameter, "server_no_context_takeover");
		}
	}
}
