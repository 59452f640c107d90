/* SPDX-License-Identifier: Apache-2.0 */
/* A connection whose bytes come in order from elsewhere than packets: no TCP, straight to HTTP. */
#ifndef HERON_PLAINTEXT_H
#define HERON_PLAINTEXT_H

#include "http1.h"

struct plaintext;

/* @address: 4 or 16 bytes for each endpoint, one after the other. NULL when out of memory. */
struct plaintext *plaintext_new(struct core *core, uint64_t ts_ns, uint8_t family,
				const uint8_t *address, uint16_t port0, uint16_t port1);
void plaintext_set_client(struct plaintext *plaintext, int side);
void plaintext_data(struct plaintext *plaintext, int side, uint64_t ts_ns, uint32_t seq,
		    const uint8_t *data, size_t len);
void plaintext_gap(struct plaintext *plaintext, int side, uint64_t ts_ns, uint64_t missing);
void plaintext_end(struct plaintext *plaintext, int side, uint64_t ts_ns, enum stream_end why);
/* Moves the clock; announces what is due. */
void plaintext_advance(struct plaintext *plaintext, uint64_t now_ns);
bool plaintext_waiting(const struct plaintext *plaintext);
void plaintext_free(struct plaintext *plaintext);

#endif
