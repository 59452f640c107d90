// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "batch.h"

/* MessagePack formats, https://github.com/msgpack/msgpack/blob/master/spec.md */
#define FORMAT_FIXARRAY 0x90
#define FORMAT_FIXSTR 0xa0
#define FORMAT_NIL 0xc0
#define FORMAT_BIN8 0xc4
#define FORMAT_UINT8 0xcc
#define FORMAT_STR8 0xd9
#define FORMAT_ARRAY16 0xdc
#define FORMAT_ARRAY32 0xdd

#define ARRAY32_SIZE 5
#define KEEP_CAPACITY ((size_t)8 << 20) /* a few batches of the usual 1 MiB */

bool batch_reserve(struct batch *batch, size_t len)
{
	size_t capacity = batch->capacity < 4096 ? 4096 : batch->capacity;
	uint8_t *data;

	if (batch->failed)
		return false;
	if (batch->capacity - batch->size >= len)
		return true;
	if (batch->fixed || len > BATCH_MAX_BYTES || batch->size + len > BATCH_MAX_BYTES) {
		batch->failed = true;
		return false;
	}
	while (capacity < batch->size + len)
		capacity += capacity;
	data = realloc(batch->data, capacity);
	if (!data) {
		batch->failed = true;
		return false;
	}
	batch->data = data;
	batch->capacity = capacity;
	return true;
}

static void put_be(uint8_t *at, uint64_t value, int bytes)
{
	while (bytes--) {
		at[bytes] = (uint8_t)value;
		value >>= 8;
	}
}

static void put_head(struct batch *batch, uint8_t format, uint64_t value, int bytes)
{
	if (!batch_reserve(batch, 1 + (size_t)bytes))
		return;
	batch->data[batch->size] = format;
	put_be(batch->data + batch->size + 1, value, bytes);
	batch->size += 1 + (size_t)bytes;
}

void batch_begin(struct batch *batch)
{
	batch->failed = false;
	batch->mark = batch->size;
	if (batch->size == 0)
		put_head(batch, FORMAT_ARRAY32, 0, 4);
	batch->start = batch->size;
}

bool batch_commit(struct batch *batch)
{
	if (batch->failed) {
		batch_cancel(batch);
		return false;
	}
	put_be(batch->data + 1, ++batch->records, 4);
	return true;
}

void batch_cancel(struct batch *batch)
{
	batch->size = batch->mark;
	batch->failed = false;
}

void batch_clear(struct batch *batch)
{
	if (batch->capacity > KEEP_CAPACITY)
		batch_free(batch);
	batch->size = 0;
	batch->records = 0;
}

void batch_free(struct batch *batch)
{
	free(batch->data);
	*batch = (struct batch){0};
}

void batch_raw(struct batch *batch, const void *data, size_t len)
{
	if (len == 0 || !batch_reserve(batch, len))
		return;
	memcpy(batch->data + batch->size, data, len);
	batch->size += len;
}

void batch_nil(struct batch *batch)
{
	put_head(batch, FORMAT_NIL, 0, 0);
}

void batch_array(struct batch *batch, uint32_t count)
{
	if (count < 16)
		put_head(batch, (uint8_t)(FORMAT_FIXARRAY | count), 0, 0);
	else if (count <= UINT16_MAX)
		put_head(batch, FORMAT_ARRAY16, count, 2);
	else
		put_head(batch, FORMAT_ARRAY32, count, 4);
}

void batch_uint(struct batch *batch, uint64_t value)
{
	if (value < 0x80)
		put_head(batch, (uint8_t)value, 0, 0);
	else if (value <= UINT8_MAX)
		put_head(batch, FORMAT_UINT8, value, 1);
	else if (value <= UINT16_MAX)
		put_head(batch, FORMAT_UINT8 + 1, value, 2);
	else if (value <= UINT32_MAX)
		put_head(batch, FORMAT_UINT8 + 2, value, 4);
	else
		put_head(batch, FORMAT_UINT8 + 3, value, 8);
}

/* @format8: the bin 8 or str 8 format; the 16- and 32-bit forms follow it. */
static void put_sized(struct batch *batch, uint8_t format8, size_t len)
{
	if (len <= UINT8_MAX)
		put_head(batch, format8, len, 1);
	else if (len <= UINT16_MAX)
		put_head(batch, format8 + 1, len, 2);
	else
		put_head(batch, format8 + 2, len, 4);
}

void batch_bin_head(struct batch *batch, size_t len)
{
	if (len > BATCH_MAX_BYTES)
		batch->failed = true;
	put_sized(batch, FORMAT_BIN8, len);
}

void batch_bin(struct batch *batch, const void *data, size_t len)
{
	batch_bin_head(batch, len);
	batch_raw(batch, data, len);
}

static void put_str_head(struct batch *batch, size_t len)
{
	if (len < 32)
		put_head(batch, (uint8_t)(FORMAT_FIXSTR | len), 0, 0);
	else
		put_sized(batch, FORMAT_STR8, len);
}

static void put_latin1(struct batch *batch, const uint8_t *data, size_t len)
{
	size_t size = len;
	uint8_t *out;

	for (size_t i = 0; i < len; i++)
		size += data[i] >> 7;
	put_str_head(batch, size);
	if (!batch_reserve(batch, size))
		return;
	out = batch->data + batch->size;
	for (size_t i = 0; i < len; i++) {
		if (data[i] < 0x80) {
			*out++ = data[i];
		} else {
			*out++ = (uint8_t)(0xc0 | data[i] >> 6);
			*out++ = 0x80 | (data[i] & 0x3f);
		}
	}
	batch->size += size;
}

void batch_str(struct batch *batch, const void *data, size_t len)
{
	if (len > BATCH_MAX_BYTES / 2) {
		batch->failed = true;
		return;
	}
	if (!utf8_valid(data, len)) {
		put_latin1(batch, data, len);
		return;
	}
	put_str_head(batch, len);
	batch_raw(batch, data, len);
}

/* RFC 3629, section 4: no overlong forms, no surrogates, nothing past U+10FFFF. */
static size_t utf8_sequence(const uint8_t *p, size_t left)
{
	uint8_t low = 0x80, high = 0xbf;
	size_t len;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		len = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		len = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		len = 4;
	else
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (left < len || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

bool utf8_valid(const uint8_t *data, size_t len)
{
	size_t i = 0;

	while (i < len) {
		size_t step;
		uint64_t word;

		while (len - i >= sizeof(word)) {
			memcpy(&word, data + i, sizeof(word));
			if (word & 0x8080808080808080u)
				break;
			i += sizeof(word);
		}
		if (i == len)
			break;
		step = utf8_sequence(data + i, len - i);
		if (step == 0)
			return false;
		i += step;
	}
	return true;
}
