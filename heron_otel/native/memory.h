/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heap that counts against core_shared.buffered_bytes. Every block a flow or an exchange holds
 * comes from here, so that max_buffered_bytes bounds them all together.
 */
#ifndef HERON_MEMORY_H
#define HERON_MEMORY_H

#include <string.h>

#include "http1.h"

struct bytes {
	uint8_t *data;
	size_t size;
	size_t capacity;
};

/* Zeroed; NULL when out of memory or over max_buffered_bytes (counted in buffer_limit). */
void *memory_new(struct core_shared *shared, size_t size);
void memory_free(struct core_shared *shared, void *block, size_t size);

/*
 * For libraries that allocate by themselves (@shared is a struct core_shared). Each block carries
 * its size, so that releasing it can be accounted.
 */
void *memory_alloc(void *shared, size_t size);
void memory_release(void *shared, void *address);
void *memory_zlib_alloc(void *shared, unsigned int items, unsigned int size);
void memory_zlib_free(void *shared, void *address);

/* Makes room for exactly @capacity bytes; false changes nothing and is counted. */
bool bytes_resize(struct core_shared *shared, struct bytes *bytes, size_t capacity);
/* Room for @more bytes behind the present ones; grows geometrically. */
bool bytes_grow(struct core_shared *shared, struct bytes *bytes, size_t more);
void bytes_free(struct core_shared *shared, struct bytes *bytes);
/* Drops the first @count bytes. */
void bytes_shift(struct bytes *bytes, size_t count);

static inline bool bytes_reserve(struct core_shared *shared, struct bytes *bytes, size_t more)
{
	return bytes->capacity - bytes->size >= more || bytes_grow(shared, bytes, more);
}

/* All or nothing. */
static inline bool bytes_append(struct core_shared *shared, struct bytes *bytes, const void *data,
				size_t len)
{
	if (!bytes_reserve(shared, bytes, len))
		return false;
	if (len)
		memcpy(bytes->data + bytes->size, data, len);
	bytes->size += len;
	return true;
}

#endif
