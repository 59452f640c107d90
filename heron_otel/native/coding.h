/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content codings (RFC 9110, section 8.4.1): gzip, deflate (zlib or raw), br (RFC 7932), zstd
 * (RFC 8878), stacked. Decoding is streamed; whatever the sender flushed comes out at once.
 */
#ifndef HERON_CODING_H
#define HERON_CODING_H

#include "http1.h"

enum coding {
	CODING_GZIP,
	CODING_DEFLATE,
	CODING_BR,
	CODING_ZSTD,
};

#define CODING_MAX_CHAIN 8

/* Codings in the order in which they were applied, transfer codings last. */
struct coding_list {
	uint8_t count;
	bool unsupported; /* a name we do not know, or more than max_codings */
	uint8_t codings[CODING_MAX_CHAIN];
};

enum coding_status {
	CODING_OK,
	CODING_CORRUPT,	 /* broken data; all before it was delivered */
	CODING_BOMB,	 /* over the ratio or the size bound */
	CODING_NO_MEMORY /* or over max_buffered_bytes */
};

typedef void (*coding_sink)(void *context, const uint8_t *data, size_t len);

struct decoder;

/* Adds the names of one Content-Encoding or Transfer-Encoding value; "chunked" is left out. */
void coding_list_add(struct coding_list *list, uint32_t max_codings, const uint8_t *value,
		     size_t len);

/* NULL when out of memory or over a limit. */
struct decoder *decoder_new(struct core_shared *shared, const struct coding_list *list);
/* Not to be called again after another status than CODING_OK. */
enum coding_status decoder_feed(struct decoder *decoder, const uint8_t *data, size_t len,
				coding_sink sink, void *context);
/* True when the encoded data ended where its format allows it to end. */
bool decoder_ended(const struct decoder *decoder);
void decoder_free(struct decoder *decoder);

#endif
