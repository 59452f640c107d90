/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of one core: the table that finds them, the lists that time them out, and the state
 * of the two directions of each. Everything here runs on the event clock.
 */
#ifndef HERON_FLOW_H
#define HERON_FLOW_H

#include "flow_key.h"
#include "http1.h"

#define TICK_NS 100000000ull /* granularity of every timer below */

/* Bytes that arrived before the bytes in front of them. */
struct chunk {
	struct chunk *next;
	struct chunk *prev;
	uint64_t offset;
	uint64_t ts_ns;
	uint64_t arrived_ns; /* event clock */
	uint32_t len;	     /* on the wire */
	uint32_t caplen;     /* kept in data */
	uint8_t data[];
};

/*
 * One direction. Offsets count stream bytes from the first one seen; they never wrap, unlike
 * sequence numbers: offset and next_seq name the same byte, the next one to be delivered.
 */
struct direction {
	uint32_t next_seq;
	uint32_t base_seq; /* of offset 0 */
	uint64_t offset;
	uint64_t acked;	      /* highest offset the peer acknowledged */
	uint64_t evidence;    /* acked past a hole up to here ... */
	uint64_t evidence_ns; /* ... since then (event clock) */
	uint64_t fin;	      /* offset of the FIN */
	uint64_t fin_ts_ns;
	uint64_t fin_arrived_ns;
	struct chunk *first; /* sorted, disjoint, all past offset */
	struct chunk *last;
	uint64_t held_bytes;
	uint32_t stray_seq; /* where the next segment begins if the last one was no stray */
	bool stray;
	bool synced;  /* next_seq is known */
	bool doubted; /* evidence and evidence_ns are set */
	bool has_fin;
	bool ended; /* FIN delivered */
};

/* Lists are ordered by the tick of the last packet; each has one timeout. */
enum flow_list {
	LIST_CLOSED,  /* only absorbs late copies of old packets */
	LIST_OPENING, /* no payload yet */
	LIST_IDLE,
	LIST_WAITING, /* http1_waiting() */
	LISTS,
};

struct flow {
	struct flow_key key;
	uint64_t id;	    /* frame number of the first packet */
	uint64_t tick;	    /* of the last packet */
	struct http1 *http; /* from the first payload on */
	struct flow *newer; /* in list */
	struct flow *older;
	struct flow *service_next;
	struct flow *service_prev;
	uint64_t hash;
	uint64_t timer_ns; /* http1_timer() */
	uint8_t list;	   /* enum flow_list */
	int8_t client;	   /* side that sent the SYN; -1 unknown */
	bool in_service;
	bool due;
	struct direction direction[2];
};

/* One segment as the flow table sees it. */
struct arrival {
	struct segment segment;
	struct flow_key key;
	uint64_t hash; /* of the key, in this table */
	uint64_t ts_ns;
	int side; /* of the sender */
};

struct flow_slot {
	uint64_t hash;
	struct flow *flow; /* NULL: empty */
};

/*
 * Flows that had packets lately, by a hash that anyone can work out: whoever makes flows collide
 * here gains that they are looked up in the table. Most packets belong to few flows.
 */
#define RECENT_FLOWS 512u /* power of two; 4 KiB of pointers */

struct flow_table {
	struct flow_slot *slots; /* open addressing, linear probing */
	size_t slot_count;	 /* power of two */
	size_t flow_count;
	struct flow *recent[RECENT_FLOWS]; /* NULL: none */
	uint64_t hash_key[2];
	struct flow *newest[LISTS];
	struct flow *oldest[LISTS];
	struct flow *service; /* flows with a timer: see struct flow.timer_ns, or with a hole */
	struct flow **due;
	size_t due_count;
	size_t due_next;
	size_t due_capacity;
};

bool flow_table_init(struct flow_table *table);
void flow_table_free(struct flow_table *table, struct core_shared *shared);

/* A flow that flow_find() or flow_open() returned lately, or NULL: ask flow_find(). */
static inline struct flow *flow_recent(const struct flow_table *table, const struct flow_key *key)
{
	struct flow *flow = table->recent[flow_key_place(key, RECENT_FLOWS)];

	return flow && flow_keys_equal(&flow->key, key) ? flow : NULL;
}

struct flow *flow_find(struct flow_table *table, const struct flow_key *key, uint64_t hash);
/* Makes room by evicting the longest idle flow; NULL when out of memory. */
struct flow *flow_open(struct flow_table *table, struct core_shared *shared,
		       const struct arrival *arrival);
/* Delivers what is held, tells HTTP, keeps the flow to absorb late packets. */
void flow_close(struct flow_table *table, struct core_shared *shared, struct flow *flow,
		enum stream_end why);
void flow_remove(struct flow_table *table, struct core_shared *shared, struct flow *flow);
/* Files the flow by what it waits for; call after everything that may change that. */
void flow_touch(struct flow_table *table, struct core_shared *shared, struct flow *flow);
/* The same after a packet that told http1_*() nothing: its timer is the one it had. */
void flow_touch_acked(struct flow_table *table, struct core_shared *shared, struct flow *flow);

/*
 * Timers. begin() picks the flows that are due at shared->now_ns; run() serves those with an id
 * of at most @last_id, in order of id. Two calls of run() let the packet that moved the clock
 * take its place between them, so that records leave in order of (frame, flow id) and shards
 * merge to what one core gives.
 */
void flow_table_tick_begin(struct flow_table *table, struct core_shared *shared);
void flow_table_tick_run(struct flow_table *table, struct core_shared *shared, uint64_t last_id);
/* End of input: closes every flow, in order of id. */
void flow_table_finish(struct flow_table *table, struct core_shared *shared);

/* tcp.c: one segment of this shard. @flow: what it belongs to; NULL: nothing that is known. */
void tcp_receive(struct flow_table *table, struct core_shared *shared, struct flow *flow,
		 const struct arrival *arrival);

#endif
