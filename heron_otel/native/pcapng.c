/* SPDX-License-Identifier: Apache-2.0 */
/* https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html */
#include "reader_state.h"

#include <stdlib.h>

enum block_type {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_OLD_PACKET = 2,
	BLOCK_SIMPLE_PACKET = 3,
	BLOCK_ENHANCED_PACKET = 6,
};

enum interface_option {
	OPTION_END = 0,
	OPTION_TSRESOL = 9,
	OPTION_TSOFFSET = 14,
};

#define BYTE_ORDER_MAGIC 0x1a2b3c4du
#define DEFAULT_TSRESOL 6 /* microseconds */
/* A packet with its options; blocks of other types may be any size. */
#define MAX_BLOCK (READER_MAX_PACKET + (1u << 20))

static uint64_t ten_to(unsigned int exponent)
{
	uint64_t value = 1;

	while (exponent--)
		value *= 10;
	return value;
}

/* Nanoseconds of a timestamp; what does not fit becomes the nearest value that does. */
static uint64_t to_ns(const struct capture_interface *interface, uint64_t ticks)
{
	unsigned int exponent = interface->resolution & 0x7f;
	__int128 ns;

	if (interface->resolution & 0x80) {
		if (exponent > 63)
			ns = 0;
		else
			ns = (__int128)(((unsigned __int128)ticks * 1000000000u) >> exponent);
	} else if (exponent <= 9) {
		ns = (__int128)ticks * (int64_t)ten_to(9 - exponent);
	} else {
		ns = exponent - 9 > 19 ? 0 : (__int128)(ticks / ten_to(exponent - 9));
	}
	ns += (__int128)interface->offset_s * 1000000000;
	if (ns < 0)
		return 0;
	return ns > CORE_MAX_TIME_NS ? CORE_MAX_TIME_NS : (uint64_t)ns;
}

static enum step section(struct reader *reader)
{
	enum step status = reader_need(reader, 28);
	const uint8_t *data;

	if (status != STEP_OTHER)
		return status;
	data = reader_data(reader);
	if (load_be32(data + 8) == BYTE_ORDER_MAGIC)
		reader->big_endian = true;
	else if (load_le32(data + 8) == BYTE_ORDER_MAGIC)
		reader->big_endian = false;
	else
		return reader_fail(reader, 8, "pcapng section has no byte order");
	if (reader_u16(reader, data + 12) != 1)
		return reader_fail(reader, 12, "unknown pcapng version %u.%u",
				   reader_u16(reader, data + 12), reader_u16(reader, data + 14));
	reader->interface_count = 0;
	return STEP_OTHER;
}

static int64_t read_i64(const struct reader *reader, const uint8_t *p)
{
	uint64_t first = reader_u32(reader, p);
	uint64_t second = reader_u32(reader, p + 4);

	return (int64_t)(reader->big_endian ? first << 32 | second : second << 32 | first);
}

static enum step interface_block(struct reader *reader, const uint8_t *data, uint32_t len)
{
	struct capture_interface interface = {.resolution = DEFAULT_TSRESOL};
	uint32_t end = len - 4;

	if (len < 20)
		return reader_fail(reader, 4, "interface block of %u bytes is too short", len);
	if (reader->interface_count == MAX_INTERFACES)
		return reader_fail(reader, 0, "more than %u interfaces", MAX_INTERFACES);
	interface.linktype = reader_u16(reader, data + 8);
	interface.snaplen = reader_u32(reader, data + 12);
	for (uint32_t at = 16; end - at >= 4;) {
		uint32_t code = reader_u16(reader, data + at);
		uint32_t size = reader_u16(reader, data + at + 2);
		uint32_t padded = (size + 3) & ~3u;

		at += 4;
		if (code == OPTION_END || padded > end - at)
			break;
		if (code == OPTION_TSRESOL && size >= 1)
			interface.resolution = data[at];
		else if (code == OPTION_TSOFFSET && size >= 8)
			interface.offset_s = read_i64(reader, data + at);
		at += padded;
	}
	if (reader->interface_count == reader->interface_capacity) {
		uint32_t capacity = reader->interface_capacity ? reader->interface_capacity * 2 : 8;
		struct capture_interface *grown =
			realloc(reader->interfaces, capacity * sizeof(*grown));

		if (!grown)
			return reader_fail(reader, 0, "out of memory");
		reader->interfaces = grown;
		reader->interface_capacity = capacity;
	}
	reader->interfaces[reader->interface_count++] = interface;
	if (link_known(interface.linktype)) {
		reader->any_known = true;
	} else {
		reader->any_unknown = true;
		reader->unknown_linktype = interface.linktype;
	}
	return STEP_OTHER;
}

/* Enhanced and old Packet Blocks differ in how they name the interface. */
static enum step packet_block(struct reader *reader, struct core *core, const uint8_t *data,
			      uint32_t len, bool enhanced)
{
	const struct capture_interface *interface;
	uint32_t id;
	uint32_t caplen;

	if (len < 32)
		return reader_fail(reader, 4, "packet block of %u bytes is too short", len);
	id = enhanced ? reader_u32(reader, data + 8) : reader_u16(reader, data + 8);
	if (id >= reader->interface_count)
		return reader_fail(reader, 8, "packet of interface %u, only %u described", id,
				   reader->interface_count);
	caplen = reader_u32(reader, data + 20);
	if (caplen > len - 32)
		return reader_fail(reader, 20, "packet length %u exceeds its block of %u bytes",
				   caplen, len);
	interface = &reader->interfaces[id];
	reader->last_ts_ns = to_ns(interface, (uint64_t)reader_u32(reader, data + 12) << 32 |
						      reader_u32(reader, data + 16));
	core_packet(core, interface->linktype, reader->last_ts_ns, caplen,
		    reader_u32(reader, data + 24), data + 28);
	return STEP_PACKET;
}

static enum step simple_packet_block(struct reader *reader, struct core *core, const uint8_t *data,
				     uint32_t len)
{
	uint32_t orig_len;
	uint32_t caplen;

	if (len < 16)
		return reader_fail(reader, 4, "packet block of %u bytes is too short", len);
	if (!reader->interface_count)
		return reader_fail(reader, 0, "packet of interface 0, none described");
	orig_len = reader_u32(reader, data + 8);
	caplen = orig_len;
	if (reader->interfaces[0].snaplen && caplen > reader->interfaces[0].snaplen)
		caplen = reader->interfaces[0].snaplen;
	if (caplen > len - 16)
		return reader_fail(reader, 8, "packet length %u exceeds its block of %u bytes",
				   caplen, len);
	core_packet(core, reader->interfaces[0].linktype, reader->last_ts_ns, caplen, orig_len,
		    data + 12);
	return STEP_PACKET;
}

/* Skips what is at hand of a block. */
static enum step skip_block(struct reader *reader)
{
	struct capture_stream *stream = &reader->stream;
	enum step status = reader_need(reader, 1);
	uint64_t ready;

	if (status == STEP_END)
		return reader_fail(reader, 0, "truncated");
	if (status != STEP_OTHER)
		return status;
	ready = stream->end - stream->begin;
	if (ready > reader->skip)
		ready = reader->skip;
	capture_stream_take(stream, (size_t)ready);
	reader->skip -= ready;
	return STEP_OTHER;
}

enum step pcapng_step(struct reader *reader, struct core *core)
{
	enum step status;
	const uint8_t *data;
	uint32_t type;
	uint32_t len;

	if (reader->skip)
		return skip_block(reader);
	status = reader_need(reader, 8);
	if (status != STEP_OTHER)
		return status;
	data = reader_data(reader);
	type = reader_u32(reader, data);
	if (type == BLOCK_SECTION) {
		status = section(reader);
		if (status != STEP_OTHER)
			return status;
		data = reader_data(reader);
	}
	len = reader_u32(reader, data + 4);
	if (len < 12 || len % 4)
		return reader_fail(reader, 4, "pcapng block length %u is impossible", len);
	switch (type) {
	case BLOCK_INTERFACE:
	case BLOCK_OLD_PACKET:
	case BLOCK_SIMPLE_PACKET:
	case BLOCK_ENHANCED_PACKET:
		break;
	default:
		reader->skip = len;
		return STEP_OTHER;
	}
	if (len > MAX_BLOCK)
		return reader_fail(reader, 4, "pcapng block length %u exceeds %u", len, MAX_BLOCK);
	status = reader_need(reader, len);
	if (status != STEP_OTHER)
		return status;
	data = reader_data(reader);
	if (reader_u32(reader, data + len - 4) != len)
		return reader_fail(reader, len - 4, "pcapng block lengths differ: %u and %u", len,
				   reader_u32(reader, data + len - 4));
	switch (type) {
	case BLOCK_INTERFACE:
		status = interface_block(reader, data, len);
		break;
	case BLOCK_SIMPLE_PACKET:
		status = simple_packet_block(reader, core, data, len);
		break;
	default:
		status = packet_block(reader, core, data, len, type == BLOCK_ENHANCED_PACKET);
		break;
	}
	if (status != STEP_ERROR)
		capture_stream_take(&reader->stream, len);
	return status;
}
