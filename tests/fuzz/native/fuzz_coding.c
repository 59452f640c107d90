// SPDX-License-Identifier: Apache-2.0
/*
 * Content codings. Where the input is cut must not change what is decoded, nor how it ends; a bound
 * stops within one output buffer.
 *
 * Input: names of codings in one byte (two bits each, up to three), then encoded data.
 */
#include "coding.h"
#include "input.h"
#include "memory.h"

#define MAX_DECODED (1u << 22)

struct decoded {
	struct core_shared *shared;
	struct bytes bytes;
};

static void append(void *context, const uint8_t *data, size_t len)
{
	struct decoded *decoded = context;

	CHECK(len > 0);
	CHECK(bytes_append(decoded->shared, &decoded->bytes, data, len));
}

static enum coding_status run(struct decoded *decoded, const struct coding_list *list,
			      struct input input, size_t step, bool *ended)
{
	struct decoder *decoder = decoder_new(decoded->shared, list);
	enum coding_status status = CODING_OK;
	size_t at = 0;

	CHECK(decoder);
	while (at < input.len && status == CODING_OK) {
		size_t size = piece(input.len - at, step, at);
		uint8_t *copy = malloc(size);

		memcpy(copy, input.data + at, size);
		status = decoder_feed(decoder, copy, size, append, decoded);
		free(copy);
		at += size;
	}
	*ended = decoder_ended(decoder);
	decoder_free(decoder);
	CHECK(decoded->shared->buffered_bytes == decoded->bytes.capacity);
	return status;
}

/* How much comes out before broken data is up to the libraries; what comes out is not. */
static void compare(const struct decoded *whole, enum coding_status status,
		    const struct decoded *cut, enum coding_status cut_status)
{
	size_t common = whole->bytes.size < cut->bytes.size ? whole->bytes.size : cut->bytes.size;

	CHECK(cut_status == status);
	CHECK(status != CODING_OK || cut->bytes.size == whole->bytes.size);
	CHECK(!common || !memcmp(cut->bytes.data, whole->bytes.data, common));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const NAMES[] = {"gzip", "deflate", "br", "zstd"};
	static const size_t STEPS[] = {1, 40};
	struct core_shared shared;
	struct batch batch;
	struct input input = {data, size};
	struct coding_list list = {0};
	struct decoded whole = {&shared, {0}};
	enum coding_status status;
	uint8_t names = take_byte(&input);
	bool ended;

	shared_init(&shared, &batch);
	shared.limits.max_body_bytes = 1u << 15; /* 64 times this is MAX_DECODED / 2 */
	for (int i = 0; i <= (names >> 6) % 3; i++) {
		const char *name = NAMES[names >> (2 * i) & 3];

		coding_list_add(&list, shared.limits.max_codings, (const uint8_t *)name,
				strlen(name));
	}
	status = run(&whole, &list, input, 0, &ended);
	CHECK(whole.bytes.size <= MAX_DECODED);
	for (size_t i = 0; i < sizeof(STEPS) / sizeof(STEPS[0]); i++) {
		struct core_shared other_shared = shared;
		struct decoded other = {&other_shared, {0}};
		bool other_ended;
		enum coding_status other_status;

		other_shared.buffered_bytes = 0;
		other_status = run(&other, &list, input, STEPS[i], &other_ended);
		/* The bounds are checked where output happens to be cut. */
		if (status != CODING_BOMB && other_status != CODING_BOMB)
			compare(&whole, status, &other, other_status);
		CHECK(other_ended == ended || status != CODING_OK);
		bytes_free(&other_shared, &other.bytes);
	}
	bytes_free(&shared, &whole.bytes);
	return 0;
}
