// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include "memory.h"

static bool admit(struct core_shared *shared, size_t size)
{
	if (size > shared->limits.max_buffered_bytes ||
	    shared->buffered_bytes > shared->limits.max_buffered_bytes - size) {
		shared->counters.buffer_limit++;
		return false;
	}
	return true;
}

void *memory_new(struct core_shared *shared, size_t size)
{
	void *block = admit(shared, size) ? calloc(1, size) : NULL;

	if (block)
		shared->buffered_bytes += size;
	return block;
}

void memory_free(struct core_shared *shared, void *block, size_t size)
{
	if (!block)
		return;
	free(block);
	shared->buffered_bytes -= size;
}

/* In front of the block; 16 bytes keep the alignment of malloc(). */
#define SIZE_BYTES 16

void *memory_alloc(void *shared, size_t size)
{
	size_t *block = NULL;

	if (size <= SIZE_MAX - SIZE_BYTES)
		block = memory_new(shared, size + SIZE_BYTES);
	if (!block)
		return NULL;
	block[0] = size + SIZE_BYTES;
	return (uint8_t *)block + SIZE_BYTES;
}

void memory_release(void *shared, void *address)
{
	size_t *block;

	if (!address)
		return;
	block = (size_t *)((uint8_t *)address - SIZE_BYTES);
	memory_free(shared, block, block[0]);
}

void *memory_zlib_alloc(void *shared, unsigned int items, unsigned int size)
{
	return memory_alloc(shared, (size_t)items * size);
}

void memory_zlib_free(void *shared, void *address)
{
	memory_release(shared, address);
}

bool bytes_resize(struct core_shared *shared, struct bytes *bytes, size_t capacity)
{
	uint8_t *data;

	if (capacity > bytes->capacity && !admit(shared, capacity - bytes->capacity))
		return false;
	data = realloc(bytes->data, capacity);
	if (!data)
		return false;
	shared->buffered_bytes += capacity;
	shared->buffered_bytes -= bytes->capacity;
	bytes->data = data;
	bytes->capacity = capacity;
	return true;
}

bool bytes_grow(struct core_shared *shared, struct bytes *bytes, size_t more)
{
	size_t need = bytes->size + more;
	size_t capacity = bytes->capacity < 64 ? 64 : bytes->capacity;

	if (need < more || need > SIZE_MAX / 2)
		return false;
	while (capacity < need)
		capacity += capacity;
	return bytes_resize(shared, bytes, capacity);
}

void bytes_free(struct core_shared *shared, struct bytes *bytes)
{
	free(bytes->data);
	shared->buffered_bytes -= bytes->capacity;
	*bytes = (struct bytes){0};
}

void bytes_shift(struct bytes *bytes, size_t count)
{
	if (count == 0)
		return;
	bytes->size -= count;
	memmove(bytes->data, bytes->data + count, bytes->size);
}
