/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzz targets share: limits small enough to be reached, and input taken bit by bit. */
#ifndef HERON_FUZZ_INPUT_H
#define HERON_FUZZ_INPUT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "http1.h"

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static inline void shared_init(struct core_shared *shared, struct batch *batch)
{
	*shared = (struct core_shared){0};
	*batch = (struct batch){0};
	shared->batch = batch;
	shared->frame = 1;
	shared->now_ns = 1;
	shared->sensitive_fields = "authorization\nx-api-key\n";
	shared->limits = (struct core_limits){
		.max_buffered_bytes = 1u << 28,
		.announce_after_ns = 1,
		.max_head_bytes = 2048,
		.max_fields = 8,
		.max_pipeline = 4,
		.max_body_bytes = 4096,
		.max_event_bytes = 512,
		.max_coding_ratio = 100,
		.max_codings = 3,
	};
}

struct input {
	const uint8_t *data;
	size_t len;
};

static inline uint8_t take_byte(struct input *input)
{
	if (input->len == 0)
		return 0;
	input->len--;
	return *input->data++;
}

/* The next part of at most @max bytes. */
static inline struct input take_part(struct input *input, size_t max)
{
	struct input part = {input->data, input->len < max ? input->len : max};

	input->data += part.len;
	input->len -= part.len;
	return part;
}

/* Size of the next piece when input is fed in @step: 0 means whole, else 1 to @step, varying. */
static inline size_t piece(size_t left, size_t step, size_t at)
{
	size_t size = step ? 1 + at * 7 % step : left;

	return size < left ? size : left;
}

/* Checks that @run writes the same records and counts the same however @input is cut. */
static inline void check_cuts(struct input input,
			      void (*run)(struct core_shared *, struct input, size_t step))
{
	static const size_t STEPS[] = {1, 5, 23};
	struct core_shared whole, cut;
	struct batch expected, batch;

	shared_init(&whole, &expected);
	run(&whole, input, 0);
	for (size_t i = 0; i < sizeof(STEPS) / sizeof(STEPS[0]); i++) {
		shared_init(&cut, &batch);
		run(&cut, input, STEPS[i]);
		CHECK(batch.size == expected.size);
		CHECK(!batch.size || !memcmp(batch.data, expected.data, batch.size));
		CHECK(!memcmp(&cut.counters, &whole.counters, sizeof(cut.counters)));
		batch_free(&batch);
	}
	batch_free(&expected);
}

#endif
