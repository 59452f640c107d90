/* SPDX-License-Identifier: Apache-2.0 */
/* Growing MessagePack output buffer. The layout of records is heron_otel/records/http.py. */
#ifndef HERON_BATCH_H
#define HERON_BATCH_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

struct batch {
	uint8_t *data;
	size_t size;
	size_t capacity;
	bool failed; /* out of memory: the record being written is dropped by batch_commit() */
	size_t mark; /* start of the record being written */
};

void batch_begin(struct batch *batch);
bool batch_commit(struct batch *batch);
void batch_array(struct batch *batch, uint32_t count);
void batch_uint(struct batch *batch, uint64_t value);
void batch_str(struct batch *batch, const void *data, size_t len); /* must be valid UTF-8 */
void batch_bin(struct batch *batch, const void *data, size_t len);
void batch_nil(struct batch *batch);
void batch_free(struct batch *batch);

#endif
