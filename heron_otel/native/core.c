/* SPDX-License-Identifier: Apache-2.0 */
#include "batch.h"
#include "flow.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/*
 * The event clock is the highest packet time so far. One packet from far ahead would push it past
 * every timeout for good, so a step of more than this waits for the next packet to confirm it;
 * the packet itself waits too. Without confirmation it counts as captured at the clock. Packets
 * from far behind (an older capture appended to a newer one) leave the clock where it is: timers
 * rest until packet times reach it again, limits hold meanwhile.
 */
#define MAX_STEP_NS (3600ull * 1000000000ull)

struct packet {
	uint32_t linktype;
	uint32_t caplen;
	uint32_t orig_len;
	uint64_t ts_ns;
	uint64_t frame;
	const uint8_t *data;
};

struct held_packet {
	bool present;
	struct packet packet;
	uint8_t *data; /* of the packet */
};

struct core {
	struct core_shared shared;
	struct flow_table flows;
	struct batch batch;
	struct core_counters other_shard; /* takes counts that shard 0 makes for all */
	struct core_counters *frames;	  /* counters of what every shard sees */
	struct held_packet held;
	uint64_t packets; /* all numbered: frame of the last packet given */
	uint64_t first_ns;
	uint64_t next_tick_ns;
	uint32_t shard;
	uint32_t shards;
	char *sensitive_fields;
};

/* Sharding must be the same in every process, unlike the flow table's own key. */
static const uint64_t SHARD_KEY[2] = {0x6865726f6e5f6f74ull, 0x656c5f7368617264ull};

void core_limits_default(struct core_limits *limits)
{
	*limits = (struct core_limits){
		.max_flows = 65536,
		.max_reorder_bytes = 2ull << 20,
		.max_buffered_bytes = 256ull << 20,
		.gap_timeout_ns = 10000000000ull,
		.flow_idle_ns = 120000000000ull,
		.exchange_idle_ns = 900000000000ull,
		.announce_after_ns = 500000000ull,
		.max_head_bytes = 128u << 10,
		.max_fields = 512,
		.max_pipeline = 128,
		.max_body_bytes = 16ull << 20,
		.max_event_bytes = 8u << 20,
		.max_coding_ratio = 200,
		.max_codings = 4,
	};
}

struct core *core_new(const struct core_limits *limits, const char *sensitive_fields,
		      uint32_t shard, uint32_t shards)
{
	struct core *core = calloc(1, sizeof(*core));

	if (!core)
		return NULL;
	core->sensitive_fields = strdup(sensitive_fields);
	if (!core->sensitive_fields || !flow_table_init(&core->flows)) {
		core_free(core);
		return NULL;
	}
	/* The key decides where flows lie in the table, never what comes out. Without entropy it
	 * still differs from run to run by address. */
	if (getrandom(core->flows.hash_key, sizeof(core->flows.hash_key), GRND_NONBLOCK) < 0)
		core->flows.hash_key[0] = (uintptr_t)core;
	core->shard = shard;
	core->shards = shards;
	core->frames = shard ? &core->other_shard : &core->shared.counters;
	core->shared.limits = *limits;
	core->shared.batch = &core->batch;
	core->shared.sensitive_fields = core->sensitive_fields;
	return core;
}

void core_free(struct core *core)
{
	if (!core)
		return;
	if (core->flows.slots)
		flow_table_free(&core->flows, &core->shared);
	batch_free(&core->batch);
	free(core->held.data);
	free(core->sensitive_fields);
	free(core);
}

static void count_drop(struct core_counters *counters, enum drop drop)
{
	switch (drop) {
	case DROP_NONE:
		break;
	case DROP_LINKTYPE:
		counters->drop_linktype++;
		break;
	case DROP_NOT_IP:
		counters->drop_not_ip++;
		break;
	case DROP_NOT_TCP:
		counters->drop_not_tcp++;
		break;
	case DROP_FRAGMENT:
		counters->drop_fragment++;
		break;
	case DROP_TRUNCATED:
		counters->drop_truncated++;
		break;
	case DROP_MALFORMED:
		counters->drop_malformed++;
		break;
	}
}

/* Moves the clock; true when it enters another tick. */
static bool move_clock(struct core *core, uint64_t now_ns)
{
	if (now_ns > core->shared.now_ns) {
		core->shared.before_ns = core->shared.now_ns;
		core->shared.now_ns = now_ns;
	}
	if (core->shared.now_ns < core->next_tick_ns)
		return false;
	core->next_tick_ns = (core->shared.now_ns / TICK_NS + 1) * TICK_NS;
	return true;
}

static bool is_own_shard(const struct core *core, const struct flow_key *key)
{
	return core->shards <= 1 || flow_key_hash(SHARD_KEY, key) % core->shards == core->shard;
}

/* Inlined where it is used, for every packet; process_held() is the rare place. */
static inline __attribute__((always_inline)) void
process(struct core *core, const struct packet *packet, uint64_t clock_ns)
{
	struct core_shared *shared = &core->shared;
	struct arrival arrival;
	struct flow *flow = NULL;
	bool ticking = move_clock(core, clock_ns);
	bool own = false;
	enum drop drop = link_decode(packet->linktype, packet->data, packet->caplen,
				     packet->orig_len, &arrival.segment);

	shared->frame = packet->frame;
	arrival.ts_ns = packet->ts_ns;
	if (drop == DROP_NONE) {
		arrival.side = flow_key_of(&arrival.segment, &arrival.key);
		flow = flow_recent(&core->flows, &arrival.key);
		own = flow || is_own_shard(core, &arrival.key);
	} else {
		count_drop(core->frames, drop);
	}
	if (flow) {
		arrival.hash = flow->hash;
	} else if (own) {
		arrival.hash = flow_key_hash(core->flows.hash_key, &arrival.key);
		flow = flow_find(&core->flows, &arrival.key, arrival.hash);
	}
	if (ticking) {
		flow_table_tick_begin(&core->flows, shared);
		if (flow) {
			flow_table_tick_run(&core->flows, shared, flow->id);
			flow = flow_find(&core->flows, &arrival.key, arrival.hash);
		}
		if (!flow)
			flow_table_tick_run(&core->flows, shared, UINT64_MAX);
	}
	if (own)
		tcp_receive(&core->flows, shared, flow, &arrival);
	if (ticking)
		flow_table_tick_run(&core->flows, shared, UINT64_MAX);
}

static __attribute__((noinline)) void process_held(struct core *core, bool believed)
{
	struct held_packet *held = &core->held;

	held->present = false;
	if (!believed) {
		core->frames->clock_jumps++;
		held->packet.ts_ns = core->shared.now_ns;
	}
	process(core, &held->packet, held->packet.ts_ns);
	free(held->data);
	held->data = NULL;
}

/* False when out of memory. */
static bool hold(struct core *core, const struct packet *packet)
{
	struct held_packet *held = &core->held;

	held->data = malloc(packet->caplen ? packet->caplen : 1);
	if (!held->data)
		return false;
	memcpy(held->data, packet->data, packet->caplen);
	held->present = true;
	held->packet = *packet;
	held->packet.data = held->data;
	return true;
}

static bool is_near(uint64_t a, uint64_t b)
{
	return (a > b ? a - b : b - a) <= MAX_STEP_NS;
}

void core_packet(struct core *core, uint32_t linktype, uint64_t ts_ns, uint32_t caplen,
		 uint32_t orig_len, const uint8_t *data)
{
	struct core_shared *shared = &core->shared;
	struct packet packet = {
		.linktype = linktype,
		.caplen = caplen,
		/* No frame is shorter than what was captured of it. */
		.orig_len = orig_len > caplen ? orig_len : caplen,
		.ts_ns = ts_ns < CORE_MAX_TIME_NS ? ts_ns : CORE_MAX_TIME_NS,
		.frame = ++core->packets,
		.data = data,
	};
	uint64_t clock_ns = packet.ts_ns;

	if (packet.frame == 1)
		core->first_ns = packet.ts_ns;
	core->frames->packets_read++;
	core->frames->packet_bytes += caplen;
	core->frames->packets_snapped += caplen < orig_len;
	if (core->held.present)
		process_held(core, is_near(core->held.packet.ts_ns, packet.ts_ns));
	if (packet.frame > 1 && !is_near(packet.ts_ns, shared->now_ns)) {
		if (packet.ts_ns > shared->now_ns) {
			if (hold(core, &packet))
				return;
			clock_ns = shared->now_ns;
		} else if (packet.frame == 2) {
			/* The first packet was the one from far ahead. */
			core->frames->clock_jumps++;
			shared->now_ns = packet.ts_ns;
			core->next_tick_ns = 0;
		}
	}
	process(core, &packet, clock_ns);
}

static void tick_all(struct core *core)
{
	flow_table_tick_begin(&core->flows, &core->shared);
	flow_table_tick_run(&core->flows, &core->shared, UINT64_MAX);
}

void core_advance(struct core *core, uint64_t now_ns)
{
	if (now_ns > CORE_MAX_TIME_NS)
		now_ns = CORE_MAX_TIME_NS;
	if (core->held.present && core->held.packet.ts_ns <= now_ns + MAX_STEP_NS)
		process_held(core, true);
	if (now_ns <= core->shared.now_ns || !move_clock(core, now_ns))
		return;
	/* A frame of its own: its records come after those of the last packet. */
	core->shared.frame = ++core->packets;
	tick_all(core);
}

void core_finish(struct core *core)
{
	if (core->held.present)
		process_held(core, true);
	core->shared.frame = ++core->packets;
	flow_table_finish(&core->flows, &core->shared);
}

struct core_shared *core_enter(struct core *core, uint64_t ts_ns)
{
	core->shared.frame = ++core->packets;
	if (move_clock(core, ts_ns > CORE_MAX_TIME_NS ? CORE_MAX_TIME_NS : ts_ns))
		tick_all(core);
	return &core->shared;
}

size_t core_batch_size(const struct core *core)
{
	return core->batch.size;
}

const uint8_t *core_batch_data(const struct core *core)
{
	return core->batch.data;
}

void core_batch_clear(struct core *core)
{
	batch_clear(&core->batch);
}

uint64_t core_now_ns(const struct core *core)
{
	/* One packet alone says nothing: its time may be the absurd one. */
	return core->packets > 1 ? core->shared.now_ns : 0;
}

uint64_t core_first_ns(const struct core *core)
{
	return core->first_ns;
}

uint64_t core_buffered_bytes(const struct core *core)
{
	return core->shared.buffered_bytes;
}

const struct core_counters *core_counters(const struct core *core)
{
	return &core->shared.counters;
}

#define CORE_COUNTER_NAME(name) #name,
static const char *const COUNTER_NAMES[] = {CORE_COUNTERS(CORE_COUNTER_NAME)};

size_t core_counter_count(void)
{
	return sizeof(COUNTER_NAMES) / sizeof(COUNTER_NAMES[0]);
}

const char *core_counter_name(size_t index)
{
	return COUNTER_NAMES[index];
}
