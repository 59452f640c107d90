/* SPDX-License-Identifier: Apache-2.0 */
#include "segment.h"

enum {
	PROTO_HOP_BY_HOP = 0,
	PROTO_TCP = 6,
	PROTO_ROUTING = 43,
	PROTO_FRAGMENT = 44,
	PROTO_AH = 51,
	PROTO_DEST_OPTIONS = 60,
	PROTO_MOBILITY = 135,
	PROTO_HIP = 139,
	PROTO_SHIM6 = 140,
};

#define MAX_EXTENSIONS 16 /* RFC 8200, section 4.1 orders eight; each at most twice */
/* An offloading host hands super-packets to the tap; Linux stops at 512 KiB (BIG TCP). */
#define MAX_SUPER_PACKET (1u << 20)

static enum drop ends_early(uint32_t caplen, uint32_t wire_len)
{
	return caplen < wire_len ? DROP_TRUNCATED : DROP_MALFORMED;
}

/* What an IP header says about what follows it. */
struct extent {
	uint32_t offset;
	uint32_t caplen; /* bytes at hand */
	uint32_t len;	 /* bytes on the wire */
};

/* @len: TCP header and payload as the IP header counts them; @caplen of them are at hand. */
static enum drop tcp_decode(const uint8_t *data, uint32_t caplen, uint32_t len,
			    struct segment *segment)
{
	if (len < 20)
		return DROP_MALFORMED;
	if (caplen < 20)
		return DROP_TRUNCATED;
	uint32_t header = (data[12] >> 4) * 4u;

	if (header < 20 || header > len)
		return DROP_MALFORMED;
	if (caplen < header)
		return DROP_TRUNCATED;
	segment->port[0] = load_be16(data);
	segment->port[1] = load_be16(data + 2);
	segment->seq = load_be32(data + 4);
	segment->ack = load_be32(data + 8);
	segment->flags = data[13];
	segment->data = data + header;
	segment->len = len - header;
	segment->caplen = caplen - header;
	return DROP_NONE;
}

/* Length on the wire of a packet whose own length field is 0: segmentation offload. */
static uint32_t offloaded_len(uint32_t caplen, uint32_t wire_len)
{
	return wire_len <= MAX_SUPER_PACKET ? wire_len : caplen;
}

static enum drop ipv4_decode(const uint8_t *data, uint32_t caplen, uint32_t wire_len,
			     struct segment *segment, struct extent *content)
{
	if (caplen < 20)
		return ends_early(caplen, wire_len);
	uint32_t header = (data[0] & 15) * 4u;
	uint32_t total = load_be16(data + 2);

	if (header < 20)
		return DROP_MALFORMED;
	if (!total)
		total = offloaded_len(caplen, wire_len);
	if (header > total)
		return DROP_MALFORMED;
	if (data[9] != PROTO_TCP)
		return DROP_NOT_TCP;
	/* More-fragments flag or an offset: the TCP header is incomplete or not there at all. */
	if (load_be16(data + 6) & 0x3fff)
		return DROP_FRAGMENT;
	if (caplen < header)
		return ends_early(caplen, wire_len);
	segment->family = 4;
	segment->address[0] = data + 12;
	segment->address[1] = data + 16;
	if (caplen > total)
		caplen = total; /* link-layer padding */
	*content = (struct extent){header, caplen - header, total - header};
	return DROP_NONE;
}

static enum drop ipv6_decode(const uint8_t *data, uint32_t caplen, uint32_t wire_len,
			     struct segment *segment, struct extent *content)
{
	if (caplen < 40)
		return ends_early(caplen, wire_len);
	uint32_t total = load_be16(data + 4);
	uint8_t next = data[6];
	uint32_t offset = 40;

	/* 0: a jumbogram (RFC 2675) or offload; the frame knows the length of both. */
	total = total ? total + 40 : offloaded_len(caplen, wire_len);
	if (caplen > total)
		caplen = total;
	for (int extension = 0; next != PROTO_TCP; extension++) {
		uint32_t len;

		if (extension == MAX_EXTENSIONS)
			return DROP_MALFORMED;
		switch (next) {
		case PROTO_HOP_BY_HOP:
		case PROTO_ROUTING:
		case PROTO_DEST_OPTIONS:
		case PROTO_MOBILITY:
		case PROTO_HIP:
		case PROTO_SHIM6:
		case PROTO_AH:
		case PROTO_FRAGMENT:
			break;
		default:
			return DROP_NOT_TCP;
		}
		if (caplen - offset < 8)
			return ends_early(caplen, total);
		if (next == PROTO_FRAGMENT) {
			/* Offset and more-fragments flag both 0: an atomic fragment (RFC 6946). */
			if (load_be16(data + offset + 2) & 0xfff9)
				return DROP_FRAGMENT;
			len = 8;
		} else if (next == PROTO_AH) {
			len = (data[offset + 1] + 2u) * 4;
		} else {
			len = (data[offset + 1] + 1u) * 8;
		}
		next = data[offset];
		if (caplen - offset < len)
			return ends_early(caplen, total);
		offset += len;
	}
	segment->family = 6;
	segment->address[0] = data + 8;
	segment->address[1] = data + 24;
	*content = (struct extent){offset, caplen - offset, total - offset};
	return DROP_NONE;
}

enum drop ip_decode(const uint8_t *data, uint32_t caplen, uint32_t wire_len,
		    struct segment *segment)
{
	struct extent content;
	enum drop drop;

	if (!caplen)
		return ends_early(caplen, wire_len);
	switch (data[0] >> 4) {
	case 4:
		drop = ipv4_decode(data, caplen, wire_len, segment, &content);
		break;
	case 6:
		drop = ipv6_decode(data, caplen, wire_len, segment, &content);
		break;
	default:
		return DROP_NOT_IP;
	}
	if (drop != DROP_NONE)
		return drop;
	return tcp_decode(data + content.offset, content.caplen, content.len, segment);
}
