/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Capture files: classic pcap (micro- and nanosecond, both byte orders) and pcapng (all sections,
 * interfaces and timestamp resolutions), plain, gzip or zstd compressed, from any file descriptor.
 * Memory is bounded by the largest packet allowed (READER_MAX_PACKET), never by the file.
 */
#ifndef HERON_READER_H
#define HERON_READER_H

#include "core.h"

#define READER_MAX_PACKET                                                                          \
	(16u << 20) /* tcpdump's own bound on caplen is 256 KiB; USB reaches 128 MiB */

enum reader_status {
	READER_MORE = 1,  /* limits of this call reached; call again */
	READER_END = 0,	  /* clean end of the capture */
	READER_ERROR = -1 /* reader_error() says what and at which byte; packets before it count */
};

struct reader;

/* Does not take ownership of @fd. Returns NULL when out of memory. */
struct reader *reader_new(int fd);
void reader_free(struct reader *reader);
/*
 * Feeds packets to @core until its batch holds @max_batch bytes, @max_packets were read, or the
 * input ends. Does not call core_finish().
 */
enum reader_status reader_run(struct reader *reader, struct core *core, size_t max_batch,
			      uint64_t max_packets);
/* One line, no newline: "not a capture file: starts with 7f 45 4c 46", "truncated at byte 4711". */
const char *reader_error(const struct reader *reader);
uint64_t reader_bytes(const struct reader *reader); /* bytes taken from the fd, for progress */

#endif
