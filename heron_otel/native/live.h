/* SPDX-License-Identifier: Apache-2.0 */
/* Packets of a network interface, through libpcap. */
#ifndef HERON_LIVE_H
#define HERON_LIVE_H

#include "reader.h"

struct live_settings {
	const char *interface;
	const char *filter; /* pcap-filter(7); empty: everything */
	int snaplen;
	int ring_bytes; /* between kernel and us: what a pause may cost */
	int promiscuous;
};

struct live_stats {
	uint64_t received; /* by the filter, dropped ones included */
	uint64_t dropped;  /* the ring was full */
	uint64_t dropped_by_interface;
};

struct live;

/* Opens and starts the capture. NULL when out of memory; else ask live_error(). */
struct live *live_new(const struct live_settings *settings);
void live_free(struct live *live);
/* One line; empty while all is well. */
const char *live_error(const struct live *live);
/*
 * Feeds what is there to @core, until its batch holds @max_batch bytes or nothing is left; waits
 * up to @wait_ms for the first packet. READER_MORE or READER_ERROR.
 */
enum reader_status live_run(struct live *live, struct core *core, size_t max_batch, int wait_ms);
/* Counts since the capture began; libpcap's own wrap at 32 bits. */
void live_statistics(struct live *live, struct live_stats *stats);

#endif
