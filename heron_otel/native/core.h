/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The native core: packets in, batches of HTTP exchanges out. One struct core is one shard and is
 * used by one thread at a time; it never touches Python, the clock, files or sockets.
 *
 *   capture_stream.c          bytes of a capture file, compressed or not
 *   reader.c, pcapng.c        capture file formats        -> core_packet()
 *   link.c, ip.c              link and network layers     -> struct segment
 *   flow_key.c, flow.c, tcp.c flow table, TCP connections
 *   reassembly.c              one direction in order      -> http1_*()
 *   plaintext.c               streams without packets     -> http1_*()
 *   http1*.c, exchange.c      HTTP/1.x framing, pairing of requests and responses
 *   message.c, coding.c       content and its codings
 *   sse.c, sse_run.c          Server-Sent Events and template runs
 *   event_frames.c            binary event frames, which sse.c takes as events
 *   websocket*.c              WebSocket frames and messages, after an upgrade
 *   batch.c                   MessagePack output
 */
#ifndef HERON_CORE_H
#define HERON_CORE_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

/* Every limit has a counter that says how often it was reached. Defaults: core_limits_default(). */
struct core_limits {
	uint32_t max_flows;	     /* connections with state at one time */
	uint64_t max_reorder_bytes;  /* out-of-order bytes held per direction */
	uint64_t max_buffered_bytes; /* everything this core holds, all flows together */
	uint64_t gap_timeout_ns;     /* event time a hole may stay open before it is a gap */
	uint64_t flow_idle_ns;	     /* event time without a packet; nothing outstanding */
	uint64_t exchange_idle_ns;   /* same, with a request that waits for its response */
	uint64_t announce_after_ns;  /* open this long: HttpExchangeStarted */
	uint32_t max_head_bytes;     /* one message head */
	uint32_t max_fields;	     /* field lines of one head */
	uint32_t max_pipeline;	     /* requests that wait on one connection */
	uint64_t max_body_bytes;     /* decoded content kept per message */
	uint32_t max_event_bytes;    /* one Server-Sent Event */
	uint32_t max_coding_ratio;   /* decoded to encoded, checked past 1 MiB decoded */
	uint32_t max_codings;	     /* stacked content codings */
};

/* X-macro: name. Order is ABI between core_counters() and core_counter_name(). Append freely. */
#define CORE_COUNTERS(X)                                                                           \
	/* reader */                                                                               \
	X(packets_read)                                                                            \
	X(packet_bytes)                                                                            \
	X(packets_snapped) /* caplen < orig_len */                                                 \
	/* link.c, ip.c: dropped packets by reason */                                              \
	X(drop_linktype)                                                                           \
	X(drop_not_ip)                                                                             \
	X(drop_not_tcp)                                                                            \
	X(drop_fragment)                                                                           \
	X(drop_truncated)                                                                          \
	X(drop_malformed)                                                                          \
	/* flow.c, reassembly.c */                                                                 \
	X(segments)                                                                                \
	X(segment_bytes)                                                                           \
	X(flows_opened)                                                                            \
	X(flows_closed)                                                                            \
	X(flows_expired)                                                                           \
	X(flows_evicted)                                                                           \
	X(flows_refused)                                                                           \
	X(retransmitted_bytes)                                                                     \
	X(reordered_segments)                                                                      \
	X(reorder_limit)                                                                           \
	X(gaps)                                                                                    \
	X(gap_bytes)                                                                               \
	X(keepalive_probes)                                                                        \
	X(stray_segments)   /* out of any plausible window */                                      \
	X(unowned_segments) /* no payload, no known flow */                                        \
	X(clock_jumps)	    /* absurd packet times that the event clock did not follow */          \
	/* http1.c */                                                                              \
	X(requests)                                                                                \
	X(responses)                                                                               \
	X(interim_responses)                                                                       \
	X(exchanges)                                                                               \
	X(exchanges_started)                                                                       \
	X(unpaired_responses)                                                                      \
	X(resyncs)                                                                                 \
	X(skipped_bytes)                                                                           \
	X(head_limit)                                                                              \
	X(field_limit)                                                                             \
	X(pipeline_limit)                                                                          \
	X(bad_chunk)                                                                               \
	X(upgraded)                                                                                \
	X(body_limit)                                                                              \
	X(buffer_limit)                                                                            \
	/* coding.c */                                                                             \
	X(coding_unsupported)                                                                      \
	X(coding_corrupt)                                                                          \
	X(coding_bomb)                                                                             \
	/* sse.c */                                                                                \
	X(events)                                                                                  \
	X(event_runs)                                                                              \
	X(event_limit)                                                                             \
	X(event_comments)                                                                          \
	X(event_frames_bad)                                                                        \
	/* websocket*.c */                                                                         \
	X(websockets)                                                                              \
	X(websockets_refused) /* with an extension that we do not know, or no memory */            \
	X(websocket_messages)                                                                      \
	X(websocket_binary) /* binary messages that hold no JSON */                                \
	X(websocket_binary_bytes)                                                                  \
	X(websocket_control) /* Close, Ping, Pong */                                               \
	X(websocket_lost)    /* messages that were not read whole */                               \
	X(websocket_bad_frames)                                                                    \
	/* batch.c */                                                                              \
	X(records_dropped) /* out of memory or over BATCH_MAX_BYTES */

#define CORE_COUNTER_FIELD(name) uint64_t name;
struct core_counters {
	CORE_COUNTERS(CORE_COUNTER_FIELD)
};

struct core;

/* Later packet times are taken as this one: consumers hold times in signed 64 bits. */
#define CORE_MAX_TIME_NS ((uint64_t)INT64_MAX)

void core_limits_default(struct core_limits *limits);

/*
 * @sensitive_fields: lower-case field names, one per line; their values never leave the core: the
 * value becomes "***", after the auth-scheme word ("Bearer ***") for authorization fields.
 * @shard, @shards: this core takes the flows whose address hash falls to @shard of @shards.
 * Returns NULL when out of memory.
 */
struct core *core_new(const struct core_limits *limits, const char *sensitive_fields,
		      uint32_t shard, uint32_t shards);
void core_free(struct core *core);

/* One captured packet. Any bytes are fine; what cannot be used is counted. */
void core_packet(struct core *core, uint32_t linktype, uint64_t ts_ns, uint32_t caplen,
		 uint32_t orig_len, const uint8_t *data);
/* Moves the event clock without a packet (live capture on a quiet link). */
void core_advance(struct core *core, uint64_t now_ns);
/* End of input: closes every flow, in the order of their first packets. */
void core_finish(struct core *core);
/*
 * Something happened at @ts_ns that is no packet: takes the next frame number, moves the clock,
 * runs the timers. Returns what connections outside the flow table need (plaintext.c).
 */
struct core_shared;
struct core_shared *core_enter(struct core *core, uint64_t ts_ns);

/* Records made since the last core_batch_clear(): one MessagePack array, or nothing at all. */
size_t core_batch_size(const struct core *core);
const uint8_t *core_batch_data(const struct core *core);
void core_batch_clear(struct core *core);

/* Event clock: highest believable packet time so far; 0 before two packets. */
uint64_t core_now_ns(const struct core *core);
uint64_t core_first_ns(const struct core *core);       /* time of the first packet; 0: none yet */
uint64_t core_buffered_bytes(const struct core *core); /* against max_buffered_bytes */
const struct core_counters *core_counters(const struct core *core);
size_t core_counter_count(void);
const char *core_counter_name(size_t index);

#endif
