/* SPDX-License-Identifier: Apache-2.0 */
#include "reader_state.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-05.html */
#define PCAP_MICROSECONDS 0xa1b2c3d4u
#define PCAP_NANOSECONDS 0xa1b23c4du
#define PCAP_LINKTYPE_MASK 0x03ffffffu /* the rest tells the length of the frame check sequence */
#define PCAPNG_SECTION 0x0a0d0d0au

#define WAIT_MS 250 /* how long a quiet pipe may keep the caller from seeing signals */
/* Of one call: a file of empty or huge blocks must not keep the caller either. */
#define MAX_STEPS 1000000u
#define MAX_CALL_BYTES ((uint64_t)256 << 20)

struct reader *reader_new(int fd)
{
	struct reader *reader = calloc(1, sizeof(*reader));

	if (reader && !capture_stream_init(&reader->stream, fd)) {
		free(reader);
		return NULL;
	}
	return reader;
}

void reader_free(struct reader *reader)
{
	if (!reader)
		return;
	capture_stream_free(&reader->stream);
	free(reader->interfaces);
	free(reader);
}

const char *reader_error(const struct reader *reader)
{
	return reader->error;
}

uint64_t reader_bytes(const struct reader *reader)
{
	return reader->stream.bytes_read;
}

enum step reader_fail(struct reader *reader, uint64_t offset, const char *format, ...)
{
	char what[128];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(what, sizeof(what), format, arguments);
	va_end(arguments);
	snprintf(reader->error, sizeof(reader->error), "%s at byte %" PRIu64 "%s", what,
		 reader->stream.position + offset,
		 reader->stream.decompressor ? " of the decompressed capture" : "");
	return STEP_ERROR;
}

enum step reader_need(struct reader *reader, size_t len)
{
	struct capture_stream *stream = &reader->stream;

	switch (capture_stream_need(stream, len, reader->wait_ms)) {
	case INPUT_READY:
		return STEP_OTHER;
	case INPUT_WAIT:
		return STEP_WAIT;
	case INPUT_END:
		if (stream->end == stream->begin)
			return STEP_END;
		return reader_fail(reader, stream->end - stream->begin, "truncated");
	default:
		snprintf(reader->error, sizeof(reader->error), "%s", stream->error);
		return STEP_ERROR;
	}
}

static enum step not_a_capture(struct reader *reader)
{
	const uint8_t *data = reader_data(reader);
	size_t len = reader->stream.end - reader->stream.begin;

	if (!len)
		snprintf(reader->error, sizeof(reader->error), "not a capture file: it is empty");
	else if (len < 4)
		snprintf(reader->error, sizeof(reader->error),
			 "not a capture file: it has only %zu bytes", len);
	else
		snprintf(reader->error, sizeof(reader->error),
			 "not a capture file: starts with %02x %02x %02x %02x", data[0], data[1],
			 data[2], data[3]);
	return STEP_ERROR;
}

static enum step start(struct reader *reader)
{
	enum step status = reader_need(reader, 4);
	const uint8_t *data;
	uint32_t magic;

	if (status == STEP_WAIT || (status == STEP_ERROR && !reader->stream.at_end))
		return status;
	if (status == STEP_ERROR && reader->stream.error[0])
		return status;
	if (status != STEP_OTHER)
		return not_a_capture(reader);
	data = reader_data(reader);
	magic = load_be32(data);
	if (magic == PCAPNG_SECTION) {
		reader->format = FORMAT_PCAPNG;
		return STEP_OTHER;
	}
	reader->big_endian = magic == PCAP_MICROSECONDS || magic == PCAP_NANOSECONDS;
	magic = reader_u32(reader, data);
	if (magic != PCAP_MICROSECONDS && magic != PCAP_NANOSECONDS)
		return not_a_capture(reader);
	status = reader_need(reader, 24);
	if (status != STEP_OTHER)
		return status;
	data = reader_data(reader);
	if (reader_u16(reader, data + 4) != 2)
		return reader_fail(reader, 4, "unknown pcap version %u.%u",
				   reader_u16(reader, data + 4), reader_u16(reader, data + 6));
	reader->fraction_ns = magic == PCAP_NANOSECONDS ? 1 : 1000;
	reader->linktype = reader_u32(reader, data + 20) & PCAP_LINKTYPE_MASK;
	if (!link_known(reader->linktype))
		return reader_fail(reader, 20, "unknown link type %u", reader->linktype);
	reader->format = FORMAT_PCAP;
	capture_stream_take(&reader->stream, 24);
	return STEP_OTHER;
}

static enum step pcap_step(struct reader *reader, struct core *core)
{
	enum step status = reader_need(reader, 16);
	const uint8_t *data;
	uint32_t caplen;

	if (status != STEP_OTHER)
		return status;
	data = reader_data(reader);
	caplen = reader_u32(reader, data + 8);
	if (caplen > READER_MAX_PACKET)
		return reader_fail(reader, 8, "packet length %u exceeds %u", caplen,
				   READER_MAX_PACKET);
	status = reader_need(reader, 16 + (size_t)caplen);
	if (status != STEP_OTHER)
		return status;
	data = reader_data(reader);
	core_packet(core, reader->linktype,
		    reader_u32(reader, data) * 1000000000ull +
			    (uint64_t)reader_u32(reader, data + 4) * reader->fraction_ns,
		    caplen, reader_u32(reader, data + 12), data + 16);
	capture_stream_take(&reader->stream, 16 + (size_t)caplen);
	return STEP_PACKET;
}

static enum step at_end(struct reader *reader)
{
	if (reader->any_unknown && !reader->any_known) {
		snprintf(reader->error, sizeof(reader->error),
			 "unknown link type %u on every interface", reader->unknown_linktype);
		return STEP_ERROR;
	}
	return STEP_END;
}

enum reader_status reader_run(struct reader *reader, struct core *core, size_t max_batch,
			      uint64_t max_packets)
{
	uint64_t enough = reader->stream.position + MAX_CALL_BYTES;
	uint64_t packets = 0;
	enum step status;

	if (reader->failed)
		return READER_ERROR;
	for (uint32_t steps = 0; steps < MAX_STEPS; steps++) {
		if (packets >= max_packets || core_batch_size(core) >= max_batch ||
		    reader->stream.position >= enough)
			return READER_MORE;
		/* What is there already goes out before anything waits. */
		reader->wait_ms = packets ? 0 : WAIT_MS;
		switch (reader->format) {
		case FORMAT_PCAP:
			status = pcap_step(reader, core);
			break;
		case FORMAT_PCAPNG:
			status = pcapng_step(reader, core);
			break;
		default:
			status = start(reader);
			break;
		}
		if (status == STEP_PACKET)
			packets++;
		else if (status != STEP_OTHER)
			break;
	}
	if (status == STEP_END)
		status = at_end(reader);
	reader->failed = status == STEP_ERROR;
	switch (status) {
	case STEP_END:
		return READER_END;
	case STEP_ERROR:
		return READER_ERROR;
	default:
		return READER_MORE;
	}
}
