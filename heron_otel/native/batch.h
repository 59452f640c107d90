/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growing MessagePack output buffer. The layout of records is heron_otel/records/http.py.
 * The buffer as a whole is one MessagePack array of records (array 32, its count kept up to date
 * by batch_commit()), or empty when there are none: one decode yields them all.
 */
#ifndef HERON_BATCH_H
#define HERON_BATCH_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

/* No record comes near; beyond it the record is dropped. MessagePack sizes are 32 bits. */
#define BATCH_MAX_BYTES ((size_t)1 << 31)

struct batch {
	uint8_t *data;
	size_t size;
	size_t capacity;
	bool fixed;   /* the memory is not its own: what does not fit fails */
	bool failed;  /* out of memory: the record being written is dropped by batch_commit() */
	size_t mark;  /* where the buffer ended before the record being written */
	size_t start; /* first byte of the record being written */
	uint32_t records;
};

void batch_begin(struct batch *batch);
/* False: the record was dropped whole; the caller counts it. */
bool batch_commit(struct batch *batch);
/* Takes the record being written back; its bytes stay readable until the next write. */
void batch_cancel(struct batch *batch);
/* Forgets all records; keeps the memory unless one burst made it large. */
void batch_clear(struct batch *batch);
void batch_array(struct batch *batch, uint32_t count);
void batch_uint(struct batch *batch, uint64_t value);
/* Invalid UTF-8 is taken as ISO-8859-1 and written as UTF-8. */
void batch_str(struct batch *batch, const void *data, size_t len);
void batch_bin(struct batch *batch, const void *data, size_t len);
void batch_bin_head(struct batch *batch, size_t len); /* batch_raw() of @len bytes must follow */
void batch_nil(struct batch *batch);
void batch_raw(struct batch *batch, const void *data, size_t len); /* complete MessagePack values */
void batch_free(struct batch *batch);

/* Room for @len bytes at batch->data + batch->size; false sets failed. */
bool batch_reserve(struct batch *batch, size_t len);
bool utf8_valid(const uint8_t *data, size_t len);

#endif
