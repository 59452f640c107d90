// SPDX-License-Identifier: Apache-2.0
#include "flow_key.h"

static uint64_t rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] = rotate(v[2], 32);
}

uint64_t flow_key_hash(const uint64_t hash_key[2], const struct flow_key *key)
{
	uint64_t v[4] = {hash_key[0] ^ 0x736f6d6570736575ull, hash_key[1] ^ 0x646f72616e646f6dull,
			 hash_key[0] ^ 0x6c7967656e657261ull, hash_key[1] ^ 0x7465646279746573ull};
	uint64_t words[5];
	int count = 0;

	if (flow_key_family(key) == 4) {
		words[count++] = key->address[0][0] | key->address[1][0] >> 32;
	} else {
		words[count++] = key->address[0][0];
		words[count++] = key->address[0][1];
		words[count++] = key->address[1][0];
		words[count++] = key->address[1][1];
	}
	words[count++] = key->ends;
	for (int i = 0; i < count; i++) {
		v[3] ^= words[i];
		sip_round(v);
		v[0] ^= words[i];
	}
	v[2] ^= 0xff;
	sip_round(v);
	sip_round(v);
	sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
