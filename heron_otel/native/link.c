/* SPDX-License-Identifier: Apache-2.0 */
#include "segment.h"

/* Numbers: https://www.tcpdump.org/linktypes.html */
enum linktype {
	LINKTYPE_NULL = 0,
	LINKTYPE_ETHERNET = 1,
	LINKTYPE_RAW_BSD = 12,	   /* DLT_RAW of most systems, written by some tools */
	LINKTYPE_RAW_OPENBSD = 14, /* DLT_RAW of OpenBSD */
	LINKTYPE_RAW = 101,
	LINKTYPE_LOOP = 108,
	LINKTYPE_LINUX_SLL = 113,
	LINKTYPE_IPV4 = 228,
	LINKTYPE_IPV6 = 229,
	LINKTYPE_LINUX_SLL2 = 276,
};

enum ethertype {
	ETHERTYPE_IPV4 = 0x0800,
	ETHERTYPE_IPV6 = 0x86dd,
	ETHERTYPE_VLAN = 0x8100,  /* IEEE 802.1Q */
	ETHERTYPE_QINQ = 0x88a8,  /* IEEE 802.1ad */
	ETHERTYPE_QINQ1 = 0x9100, /* QinQ before 802.1ad */
	ETHERTYPE_MPLS = 0x8847,  /* RFC 5332 */
	ETHERTYPE_MPLS_UPSTREAM = 0x8848,
};

#define MAX_TAGS 16   /* real networks stack two or three */
#define MAX_LABELS 16 /* the same */

bool link_known(uint32_t linktype)
{
	switch (linktype) {
	case LINKTYPE_NULL:
	case LINKTYPE_ETHERNET:
	case LINKTYPE_RAW_BSD:
	case LINKTYPE_RAW_OPENBSD:
	case LINKTYPE_RAW:
	case LINKTYPE_LOOP:
	case LINKTYPE_LINUX_SLL:
	case LINKTYPE_IPV4:
	case LINKTYPE_IPV6:
	case LINKTYPE_LINUX_SLL2:
		return true;
	default:
		return false;
	}
}

/* A frame or header that ends early: cut by the capture, or never there. */
static enum drop ends_early(uint32_t caplen, uint32_t orig_len)
{
	return caplen < orig_len ? DROP_TRUNCATED : DROP_MALFORMED;
}

static enum drop mpls_decode(const uint8_t *data, uint32_t caplen, uint32_t orig_len,
			     uint32_t offset, struct segment *segment)
{
	for (int label = 0; label < MAX_LABELS; label++) {
		if (caplen - offset < 4)
			return ends_early(caplen, orig_len);
		bool bottom = data[offset + 2] & 1;

		offset += 4;
		if (!bottom)
			continue;
		if (caplen == offset)
			return ends_early(caplen, orig_len);
		/* Nothing names the payload: RFC 4385 keeps 4 and 6 for IP. */
		if (data[offset] >> 4 != 4 && data[offset] >> 4 != 6)
			return DROP_NOT_IP;
		return ip_decode(data + offset, caplen - offset, orig_len - offset, segment);
	}
	return DROP_MALFORMED;
}

/* What follows a link header whose EtherType is @type; @offset <= @caplen. */
static enum drop ethertype_decode(uint32_t type, const uint8_t *data, uint32_t caplen,
				  uint32_t orig_len, uint32_t offset, struct segment *segment)
{
	for (int tag = 0; tag <= MAX_TAGS; tag++) {
		switch (type) {
		case ETHERTYPE_IPV4:
		case ETHERTYPE_IPV6:
			return ip_decode(data + offset, caplen - offset, orig_len - offset,
					 segment);
		case ETHERTYPE_MPLS:
		case ETHERTYPE_MPLS_UPSTREAM:
			return mpls_decode(data, caplen, orig_len, offset, segment);
		case ETHERTYPE_VLAN:
		case ETHERTYPE_QINQ:
		case ETHERTYPE_QINQ1:
			if (caplen - offset < 4)
				return ends_early(caplen, orig_len);
			type = load_be16(data + offset + 2);
			offset += 4;
			break;
		default:
			return DROP_NOT_IP;
		}
	}
	return DROP_MALFORMED;
}

static bool is_ip_family(uint32_t family)
{
	/* AF_INET is 2 everywhere; AF_INET6 is 10 on Linux, 24 on NetBSD and OpenBSD, 28 on
	 * FreeBSD, 30 on Darwin. */
	return family == 2 || family == 10 || family == 24 || family == 28 || family == 30;
}

enum drop link_decode(uint32_t linktype, const uint8_t *data, uint32_t caplen, uint32_t orig_len,
		      struct segment *segment)
{
	uint32_t header, type_at; /* of links whose header holds an EtherType */

	switch (linktype) {
	case LINKTYPE_ETHERNET:
		header = 14;
		type_at = 12;
		break;
	case LINKTYPE_LINUX_SLL:
		header = 16;
		type_at = 14;
		break;
	case LINKTYPE_LINUX_SLL2:
		header = 20;
		type_at = 0;
		break;
	case LINKTYPE_NULL:
	case LINKTYPE_LOOP:
		if (caplen < 4)
			return ends_early(caplen, orig_len);
		/* NULL is in the byte order of the capturing host, which need not be the reader's
		 * nor the file's. */
		if (!is_ip_family(load_be32(data)) &&
		    (linktype == LINKTYPE_LOOP || !is_ip_family(load_le32(data))))
			return DROP_NOT_IP;
		return ip_decode(data + 4, caplen - 4, orig_len - 4, segment);
	case LINKTYPE_RAW_BSD:
	case LINKTYPE_RAW_OPENBSD:
	case LINKTYPE_RAW:
	case LINKTYPE_IPV4:
	case LINKTYPE_IPV6:
		return ip_decode(data, caplen, orig_len, segment);
	default:
		return DROP_LINKTYPE;
	}
	if (caplen < header)
		return ends_early(caplen, orig_len);
	return ethertype_decode(load_be16(data + type_at), data, caplen, orig_len, header, segment);
}
