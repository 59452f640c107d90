/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the reader, shared by reader.c and pcapng.c. */
#ifndef HERON_READER_STATE_H
#define HERON_READER_STATE_H

#include "capture_stream.h"
#include "reader.h"
#include "segment.h"

/* Some writers number interfaces in 16 bits; a section with more is damage. */
#define MAX_INTERFACES 65536u

enum capture_format {
	FORMAT_UNKNOWN,
	FORMAT_PCAP,
	FORMAT_PCAPNG,
};

struct capture_interface {
	uint32_t linktype;
	uint32_t snaplen;   /* 0: no limit */
	uint8_t resolution; /* if_tsresol as written */
	int64_t offset_s;   /* if_tsoffset */
};

enum step {
	STEP_PACKET,
	STEP_OTHER, /* something that is no packet */
	STEP_WAIT,
	STEP_END,
	STEP_ERROR,
};

struct reader {
	struct capture_stream stream;
	enum capture_format format;
	bool big_endian; /* of the file or section */
	bool failed;
	int wait_ms; /* how long this step may wait for a pipe */
	char error[192];
	/* classic pcap */
	uint32_t linktype;
	uint32_t fraction_ns; /* unit of the second timestamp word */
	/* pcapng */
	struct capture_interface *interfaces; /* of this section */
	uint32_t interface_count;
	uint32_t interface_capacity;
	uint64_t skip;	     /* bytes of a block that nobody needs */
	uint64_t last_ts_ns; /* stands in for the time of Simple Packet Blocks */
	uint32_t unknown_linktype;
	bool any_known;
	bool any_unknown;
};

/* Sets the error, with the offset of the next byte not taken plus @offset. */
enum step reader_fail(struct reader *reader, uint64_t offset, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Makes @len bytes ready; at the end of the file inside them: "truncated at byte N". */
enum step reader_need(struct reader *reader, size_t len);

static inline const uint8_t *reader_data(const struct reader *reader)
{
	return reader->stream.data + reader->stream.begin;
}

static inline uint16_t reader_u16(const struct reader *reader, const uint8_t *p)
{
	return reader->big_endian ? load_be16(p) : (uint16_t)(p[1] << 8 | p[0]);
}

static inline uint32_t reader_u32(const struct reader *reader, const uint8_t *p)
{
	return reader->big_endian ? load_be32(p) : load_le32(p);
}

/* pcapng.c: one block. */
enum step pcapng_step(struct reader *reader, struct core *core);

#endif
