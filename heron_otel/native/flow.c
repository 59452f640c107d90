/* SPDX-License-Identifier: Apache-2.0 */
#include "reassembly.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_SLOTS 1024u /* the table doubles when half full */
/* Event time for which a closed flow absorbs late copies: a maximum segment lifetime in use. */
#define CLOSED_NS 30000000000ull

bool flow_table_init(struct flow_table *table)
{
	table->slots = calloc(FIRST_SLOTS, sizeof(*table->slots));
	table->slot_count = FIRST_SLOTS;
	return table->slots;
}

struct flow *flow_find(struct flow_table *table, const struct flow_key *key, uint64_t hash)
{
	size_t mask = table->slot_count - 1;

	for (size_t i = hash & mask; table->slots[i].flow; i = (i + 1) & mask) {
		struct flow *flow = table->slots[i].flow;

		if (table->slots[i].hash != hash || !flow_keys_equal(&flow->key, key))
			continue;
		table->recent[flow_key_place(key, RECENT_FLOWS)] = flow;
		return flow;
	}
	return NULL;
}

static void place(struct flow_slot *slots, size_t slot_count, struct flow *flow)
{
	size_t mask = slot_count - 1;
	size_t i = flow->hash & mask;

	while (slots[i].flow)
		i = (i + 1) & mask;
	slots[i].hash = flow->hash;
	slots[i].flow = flow;
}

static bool grow(struct flow_table *table)
{
	size_t count = table->slot_count * 2;
	struct flow_slot *slots = calloc(count, sizeof(*slots));

	if (!slots)
		return false;
	for (size_t i = 0; i < table->slot_count; i++)
		if (table->slots[i].flow)
			place(slots, count, table->slots[i].flow);
	free(table->slots);
	table->slots = slots;
	table->slot_count = count;
	return true;
}

/* Forgets where the flow is; closes the hole that it leaves in its probe sequence. */
static void unplace(struct flow_table *table, const struct flow *flow)
{
	size_t mask = table->slot_count - 1;
	size_t hole = flow->hash & mask;
	struct flow **recent = &table->recent[flow_key_place(&flow->key, RECENT_FLOWS)];

	if (*recent == flow)
		*recent = NULL;
	while (table->slots[hole].flow != flow)
		hole = (hole + 1) & mask;
	for (size_t i = (hole + 1) & mask; table->slots[i].flow; i = (i + 1) & mask) {
		size_t home = table->slots[i].hash & mask;

		if (((i - home) & mask) >= ((i - hole) & mask)) {
			table->slots[hole] = table->slots[i];
			hole = i;
		}
	}
	table->slots[hole].flow = NULL;
}

static void list_remove(struct flow_table *table, struct flow *flow)
{
	if (flow->newer)
		flow->newer->older = flow->older;
	else
		table->newest[flow->list] = flow->older;
	if (flow->older)
		flow->older->newer = flow->newer;
	else
		table->oldest[flow->list] = flow->newer;
}

static void list_append(struct flow_table *table, struct flow *flow, enum flow_list list)
{
	flow->list = (uint8_t)list;
	flow->newer = NULL;
	flow->older = table->newest[list];
	if (flow->older)
		flow->older->newer = flow;
	else
		table->oldest[list] = flow;
	table->newest[list] = flow;
}

static void service_add(struct flow_table *table, struct flow *flow)
{
	flow->in_service = true;
	flow->service_prev = NULL;
	flow->service_next = table->service;
	if (table->service)
		table->service->service_prev = flow;
	table->service = flow;
}

static void service_remove(struct flow_table *table, struct flow *flow)
{
	if (!flow->in_service)
		return;
	flow->in_service = false;
	if (flow->service_prev)
		flow->service_prev->service_next = flow->service_next;
	else
		table->service = flow->service_next;
	if (flow->service_next)
		flow->service_next->service_prev = flow->service_prev;
}

static void file(struct flow_table *table, struct core_shared *shared, struct flow *flow,
		 enum flow_list list)
{
	uint64_t tick = shared->now_ns / TICK_NS;

	/* Within one tick the place in the list stays: most packets touch no other flow. */
	if (flow->list == list && flow->tick == tick)
		return;
	list_remove(table, flow);
	flow->tick = tick;
	list_append(table, flow, list);
}

/* Puts the flow among those with a timer, or takes it out. A quiet flow costs a tick nothing. */
static void serve(struct flow_table *table, struct flow *flow)
{
	bool service = flow->timer_ns != UINT64_MAX || direction_has_hole(&flow->direction[0]) ||
		       direction_has_hole(&flow->direction[1]);

	if (service == flow->in_service)
		return;
	if (service)
		service_add(table, flow);
	else
		service_remove(table, flow);
}

static bool is_waiting(const struct flow *flow)
{
	return flow->http && http1_waiting(flow->http);
}

static void set_timer(struct flow *flow)
{
	flow->timer_ns = flow->http ? http1_timer(flow->http) : UINT64_MAX;
}

void flow_touch_acked(struct flow_table *table, struct core_shared *shared, struct flow *flow)
{
	enum flow_list list = flow->http ? LIST_IDLE : LIST_OPENING;

	serve(table, flow);
	file(table, shared, flow, is_waiting(flow) ? LIST_WAITING : list);
}

void flow_touch(struct flow_table *table, struct core_shared *shared, struct flow *flow)
{
	set_timer(flow);
	flow_touch_acked(table, shared, flow);
}

static void free_state(struct core_shared *shared, struct flow *flow)
{
	direction_clear(shared, &flow->direction[0]);
	direction_clear(shared, &flow->direction[1]);
	if (flow->http)
		http1_free(flow->http);
	flow->http = NULL;
}

void flow_remove(struct flow_table *table, struct core_shared *shared, struct flow *flow)
{
	free_state(shared, flow);
	service_remove(table, flow);
	list_remove(table, flow);
	unplace(table, flow);
	table->flow_count--;
	shared->buffered_bytes -= sizeof(*flow);
	free(flow);
}

static void end(struct core_shared *shared, struct flow *flow, enum stream_end why)
{
	if (flow->list == LIST_CLOSED)
		return;
	shared->counters.flows_closed++;
	if (!flow->http)
		return;
	if (why != STREAM_FIN) {
		directions_flush(shared, flow);
		/* Who sent a RST was told to http1_closing(). */
		http1_end(flow->http, 0, shared->now_ns, why);
	}
}

void flow_close(struct flow_table *table, struct core_shared *shared, struct flow *flow,
		enum stream_end why)
{
	end(shared, flow, why);
	free_state(shared, flow);
	service_remove(table, flow);
	file(table, shared, flow, LIST_CLOSED);
}

static struct flow *longest_idle(const struct flow_table *table)
{
	struct flow *idle = table->oldest[LIST_IDLE];
	struct flow *waiting = table->oldest[LIST_WAITING];

	/* Nothing is lost with these two. */
	if (table->oldest[LIST_CLOSED])
		return table->oldest[LIST_CLOSED];
	if (table->oldest[LIST_OPENING])
		return table->oldest[LIST_OPENING];
	if (!idle || (waiting && waiting->tick < idle->tick))
		return waiting;
	return idle;
}

struct flow *flow_open(struct flow_table *table, struct core_shared *shared,
		       const struct arrival *arrival)
{
	struct flow *flow;

	while (table->flow_count && table->flow_count >= shared->limits.max_flows) {
		flow = longest_idle(table);
		if (flow->list != LIST_CLOSED)
			shared->counters.flows_evicted++;
		end(shared, flow, STREAM_EVICTED);
		flow_remove(table, shared, flow);
	}
	flow = (table->flow_count + 1) * 2 <= table->slot_count || grow(table)
		       ? calloc(1, sizeof(*flow))
		       : NULL;
	if (!flow) {
		shared->counters.flows_refused++;
		return NULL;
	}
	flow->key = arrival->key;
	flow->id = shared->frame;
	flow->hash = arrival->hash;
	flow->client = -1;
	flow->timer_ns = UINT64_MAX;
	flow->tick = shared->now_ns / TICK_NS;
	list_append(table, flow, LIST_OPENING);
	place(table->slots, table->slot_count, flow);
	table->recent[flow_key_place(&flow->key, RECENT_FLOWS)] = flow;
	table->flow_count++;
	shared->buffered_bytes += sizeof(*flow);
	shared->counters.flows_opened++;
	return flow;
}

static int by_id(const void *a, const void *b)
{
	const struct flow *left = *(struct flow *const *)a;
	const struct flow *right = *(struct flow *const *)b;

	return (left->id > right->id) - (left->id < right->id);
}

static void add_due(struct flow_table *table, struct flow *flow)
{
	if (flow->due)
		return;
	if (table->due_count == table->due_capacity) {
		size_t capacity = table->due_capacity ? table->due_capacity * 2 : 64;
		struct flow **due = realloc(table->due, capacity * sizeof(struct flow *));

		if (!due)
			return; /* the next tick asks again */
		table->due = due;
		table->due_capacity = capacity;
	}
	flow->due = true;
	table->due[table->due_count++] = flow;
}

static uint64_t timeout_ticks(const struct core_shared *shared, enum flow_list list)
{
	uint64_t idle = shared->limits.flow_idle_ns;

	switch (list) {
	case LIST_WAITING:
		idle = shared->limits.exchange_idle_ns;
		break;
	case LIST_CLOSED:
		idle = idle < CLOSED_NS ? idle : CLOSED_NS;
		break;
	default:
		break;
	}
	return idle / TICK_NS;
}

static bool is_expired(const struct core_shared *shared, const struct flow *flow)
{
	return shared->now_ns / TICK_NS - flow->tick > timeout_ticks(shared, flow->list);
}

void flow_table_tick_begin(struct flow_table *table, struct core_shared *shared)
{
	table->due_count = 0;
	table->due_next = 0;
	for (int list = 0; list < LISTS; list++)
		for (struct flow *flow = table->oldest[list]; flow && is_expired(shared, flow);
		     flow = flow->newer)
			add_due(table, flow);
	for (struct flow *flow = table->service; flow; flow = flow->service_next)
		if (flow->timer_ns <= shared->now_ns ||
		    direction_due(shared, &flow->direction[0]) ||
		    direction_due(shared, &flow->direction[1]))
			add_due(table, flow);
	if (table->due_count > 1)
		qsort(table->due, table->due_count, sizeof(*table->due), by_id);
}

static void tick(struct flow_table *table, struct core_shared *shared, struct flow *flow)
{
	bool progress = false;

	flow->due = false;
	if (is_expired(shared, flow)) {
		if (flow->list != LIST_CLOSED)
			shared->counters.flows_expired++;
		end(shared, flow, STREAM_IDLE);
		flow_remove(table, shared, flow);
		return;
	}
	for (int side = 0; side < 2; side++) {
		if (direction_due(shared, &flow->direction[side])) {
			direction_timer(shared, flow, side);
			progress = true;
		}
	}
	if (flow->direction[0].ended && flow->direction[1].ended) {
		flow_close(table, shared, flow, STREAM_FIN);
		return;
	}
	if (is_waiting(flow))
		http1_tick(flow->http);
	set_timer(flow);
	if (progress)
		flow_touch_acked(table, shared, flow);
	else
		serve(table, flow);
}

void flow_table_tick_run(struct flow_table *table, struct core_shared *shared, uint64_t last_id)
{
	while (table->due_next < table->due_count && table->due[table->due_next]->id <= last_id)
		tick(table, shared, table->due[table->due_next++]);
}

void flow_table_finish(struct flow_table *table, struct core_shared *shared)
{
	struct flow **flows = calloc(table->flow_count + 1, sizeof(struct flow *));
	size_t count = 0;

	/* Out of memory: in order of the table, still complete. */
	for (size_t i = 0; flows && i < table->slot_count; i++)
		if (table->slots[i].flow)
			flows[count++] = table->slots[i].flow;
	if (flows)
		qsort(flows, count, sizeof(*flows), by_id);
	for (size_t i = 0; i < count; i++) {
		end(shared, flows[i], STREAM_INPUT_END);
		flow_remove(table, shared, flows[i]);
	}
	free(flows);
	for (int list = 0; list < LISTS; list++) {
		while (table->oldest[list]) {
			end(shared, table->oldest[list], STREAM_INPUT_END);
			flow_remove(table, shared, table->oldest[list]);
		}
	}
}

void flow_table_free(struct flow_table *table, struct core_shared *shared)
{
	for (int list = 0; list < LISTS; list++)
		while (table->oldest[list])
			flow_remove(table, shared, table->oldest[list]);
	free(table->slots);
	free(table->due);
}
