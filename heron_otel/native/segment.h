/* SPDX-License-Identifier: Apache-2.0 */
/* Link and network layers: one captured frame to one TCP segment. */
#ifndef HERON_SEGMENT_H
#define HERON_SEGMENT_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

enum tcp_flag {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_ACK = 0x10,
};

/* Pointers are into the frame. */
struct segment {
	const uint8_t *address[2]; /* source, target; 4 or 16 bytes */
	uint16_t port[2];	   /* source, target */
	uint8_t family;		   /* 4 or 6 */
	uint8_t flags;		   /* enum tcp_flag */
	uint32_t seq;
	uint32_t ack;
	uint32_t len;	 /* payload bytes on the wire */
	uint32_t caplen; /* payload bytes captured, at most len */
	const uint8_t *data;
};

/* Why a frame is not a segment; names are those of the drop_* counters. */
enum drop {
	DROP_NONE,
	DROP_LINKTYPE,
	DROP_NOT_IP,
	DROP_NOT_TCP,
	DROP_FRAGMENT,
	DROP_TRUNCATED,
	DROP_MALFORMED,
};

bool link_known(uint32_t linktype);
/* @caplen is at most @orig_len. */
enum drop link_decode(uint32_t linktype, const uint8_t *data, uint32_t caplen, uint32_t orig_len,
		      struct segment *segment);
/* @data begins at the IP version nibble; @wire_len is what the frame had from there on. */
enum drop ip_decode(const uint8_t *data, uint32_t caplen, uint32_t wire_len,
		    struct segment *segment);

static inline uint16_t load_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t load_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint32_t load_le32(const uint8_t *p)
{
	return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

#endif
