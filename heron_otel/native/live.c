/* SPDX-License-Identifier: Apache-2.0 */
#include "live.h"
#include "segment.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The kernel hands packets over in blocks, at the latest after this time. Immediate mode costs
 * sixteen times the CPU at 20,000 packets a second. */
#define BLOCK_MS 100
/* Packets of one dispatch: between two looks at the size of the batch. */
#define DISPATCH_PACKETS 256
/* A busy link must not keep the caller from its other work. */
#define RUN_PACKETS (1 << 18)

struct live {
	pcap_t *handle;
	int fd;
	uint32_t linktype;
	struct core *core;     /* of the present call */
	uint64_t nanoseconds;  /* unit of the second timestamp word */
	struct pcap_stat last; /* for the wrap */
	struct live_stats stats;
	char error[320];
};

static void fail(struct live *live, const char *what, const char *why)
{
	snprintf(live->error, sizeof(live->error), "%s: %s", what, why);
	/* Some of libpcap's messages have two lines. */
	for (char *c = live->error; *c; c++)
		if (*c == '\n')
			*c = ' ';
}

static void fail_pcap(struct live *live, const char *what, int status)
{
	const char *detail = pcap_geterr(live->handle);

	fail(live, what, *detail ? detail : pcap_statustostr(status));
}

static bool apply(struct live *live, const struct live_settings *settings)
{
	int status;

	pcap_set_snaplen(live->handle, settings->snaplen);
	pcap_set_promisc(live->handle, settings->promiscuous);
	pcap_set_timeout(live->handle, BLOCK_MS);
	pcap_set_buffer_size(live->handle, settings->ring_bytes);
	live->nanoseconds = 1000;
	if (!pcap_set_tstamp_precision(live->handle, PCAP_TSTAMP_PRECISION_NANO))
		live->nanoseconds = 1;
	status = pcap_activate(live->handle);
	if (status < 0) { /* above 0: a warning, such as no promiscuous mode */
		fail_pcap(live, "cannot capture", status);
		return false;
	}
	live->linktype = (uint32_t)pcap_datalink(live->handle);
	if (!link_known(live->linktype)) {
		snprintf(live->error, sizeof(live->error), "unknown link type %u", live->linktype);
		return false;
	}
	return true;
}

static bool set_filter(struct live *live, const char *filter)
{
	struct bpf_program program;
	int status;

	if (!*filter)
		return true;
	if (pcap_compile(live->handle, &program, filter, 1, PCAP_NETMASK_UNKNOWN) < 0) {
		fail_pcap(live, "bad filter", PCAP_ERROR);
		return false;
	}
	status = pcap_setfilter(live->handle, &program);
	pcap_freecode(&program);
	if (status < 0)
		fail_pcap(live, "cannot set the filter", status);
	return !status;
}

static void open_handle(struct live *live, const struct live_settings *settings)
{
	char message[PCAP_ERRBUF_SIZE] = "";

	live->handle = pcap_create(settings->interface, message);
	if (!live->handle) {
		fail(live, "cannot capture", message);
		return;
	}
	if (!apply(live, settings) || !set_filter(live, settings->filter))
		return;
	if (pcap_setnonblock(live->handle, 1, message) < 0) {
		fail(live, "cannot capture", message);
		return;
	}
	live->fd = pcap_get_selectable_fd(live->handle);
	if (live->fd < 0)
		fail(live, "cannot capture", "the interface cannot be waited for");
}

struct live *live_new(const struct live_settings *settings)
{
	struct live *live = calloc(1, sizeof(*live));

	if (live)
		open_handle(live, settings);
	return live;
}

void live_free(struct live *live)
{
	if (!live)
		return;
	if (live->handle)
		pcap_close(live->handle);
	free(live);
}

const char *live_error(const struct live *live)
{
	return live->error;
}

static void take(u_char *user, const struct pcap_pkthdr *header, const u_char *data)
{
	struct live *live = (struct live *)user;

	core_packet(live->core, live->linktype,
		    (uint64_t)header->ts.tv_sec * 1000000000u +
			    (uint64_t)header->ts.tv_usec * live->nanoseconds,
		    header->caplen, header->len, data);
}

enum reader_status live_run(struct live *live, struct core *core, size_t max_batch, int wait_ms)
{
	struct pollfd poller = {.fd = live->fd, .events = POLLIN};
	int count = 0;

	if (live->error[0])
		return READER_ERROR;
	live->core = core;
	for (int packets = 0; packets < RUN_PACKETS && core_batch_size(core) < max_batch;
	     packets += count) {
		count = pcap_dispatch(live->handle, DISPATCH_PACKETS, take, (u_char *)live);
		if (count < 0) {
			fail_pcap(live, "capture stopped", count);
			return READER_ERROR;
		}
		if (count)
			continue;
		/* Only the first wait of a call may take time; its end may be a signal. */
		if (packets || poll(&poller, 1, wait_ms) <= 0)
			break;
		count = pcap_dispatch(live->handle, DISPATCH_PACKETS, take, (u_char *)live);
		if (count < 0) {
			fail_pcap(live, "capture stopped", count);
			return READER_ERROR;
		}
		if (!count)
			break;
	}
	return READER_MORE;
}

void live_statistics(struct live *live, struct live_stats *stats)
{
	struct pcap_stat now;

	if (!live->error[0] && !pcap_stats(live->handle, &now)) {
		live->stats.received += now.ps_recv - live->last.ps_recv;
		live->stats.dropped += now.ps_drop - live->last.ps_drop;
		live->stats.dropped_by_interface += now.ps_ifdrop - live->last.ps_ifdrop;
		live->last = now;
	}
	*stats = live->stats;
}
