/* SPDX-License-Identifier: Apache-2.0 */
/* What names a connection: its two endpoints, in an order that both senders give. */
#ifndef HERON_FLOW_KEY_H
#define HERON_FLOW_KEY_H

#include "segment.h"

/* The lower (address, port) is endpoint 0. Words, so that equality costs few instructions. */
struct flow_key {
	uint64_t address[2][2]; /* IPv4: in the upper half of the first word */
	uint64_t ends;		/* family << 32 | port of endpoint 0 << 16 | port of endpoint 1 */
};

static inline uint8_t flow_key_family(const struct flow_key *key)
{
	return (uint8_t)(key->ends >> 32);
}

static inline uint16_t flow_key_port(const struct flow_key *key, int side)
{
	return (uint16_t)(side ? key->ends : key->ends >> 16);
}

static inline bool flow_keys_equal(const struct flow_key *a, const struct flow_key *b)
{
	return a->address[0][0] == b->address[0][0] && a->address[1][0] == b->address[1][0] &&
	       a->ends == b->ends && a->address[0][1] == b->address[0][1] &&
	       a->address[1][1] == b->address[1][1];
}

static inline uint64_t load_be64(const uint8_t *p)
{
	return (uint64_t)load_be32(p) << 32 | load_be32(p + 4);
}

/* Fills @key from @segment; returns the side (0 or 1) of the sender. */
static inline int flow_key_of(const struct segment *segment, struct flow_key *key)
{
	const uint8_t *source = segment->address[0], *target = segment->address[1];
	uint64_t a[2] = {0, 0}, b[2] = {0, 0};
	uint64_t port_a = segment->port[0], port_b = segment->port[1];
	int side;

	if (segment->family == 4) {
		a[0] = (uint64_t)load_be32(source) << 32;
		b[0] = (uint64_t)load_be32(target) << 32;
	} else {
		a[0] = load_be64(source);
		a[1] = load_be64(source + 8);
		b[0] = load_be64(target);
		b[1] = load_be64(target + 8);
	}
	if (a[0] != b[0])
		side = a[0] > b[0];
	else if (a[1] != b[1])
		side = a[1] > b[1];
	else
		side = port_a > port_b;
	for (int word = 0; word < 2; word++) {
		key->address[0][word] = side ? b[word] : a[word];
		key->address[1][word] = side ? a[word] : b[word];
	}
	key->ends = (uint64_t)segment->family << 32 |
		    (side ? port_b << 16 | port_a : port_a << 16 | port_b);
	return side;
}

/* Spreads keys over @count places, a power of two; anyone can work out where a key falls. */
static inline size_t flow_key_place(const struct flow_key *key, size_t count)
{
	uint64_t mixed = key->address[0][0] ^ key->address[0][1] ^ key->ends;

	mixed += 3 * (key->address[1][0] ^ key->address[1][1]);
	/* Folded, every bit is in the lower half; 2^64 over the golden ratio carries it to bit 32
	 * on. */
	return ((mixed ^ mixed >> 32) * 0x9e3779b97f4a7c15ull) >> 32 & (count - 1);
}

/* SipHash-1-3 over whole words (Aumasson and Bernstein): flows are chosen by those we watch. */
uint64_t flow_key_hash(const uint64_t hash_key[2], const struct flow_key *key);

#endif
