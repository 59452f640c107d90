/* SPDX-License-Identifier: Apache-2.0 */
/* What segments mean for a flow: opening, reuse of a 4-tuple, data, FIN, RST (RFC 9293). */
#include "reassembly.h"

/* A RST is believed up to this far behind or ahead of the expected byte: it carries what its
 * sender thinks it sent, and the capture may miss or still await bytes. */
#define RST_BEHIND (64 << 10)
#define RST_AHEAD (16 << 20)

/* The SYN cannot belong to this flow: its initial number is not the one the flow began with. */
static bool is_other_connection(const struct flow *flow, int side, const struct segment *segment)
{
	const struct direction *own = &flow->direction[side];
	const struct direction *peer = &flow->direction[!side];

	if (own->synced)
		return own->base_seq != segment->seq + 1;
	if (flow->list == LIST_CLOSED)
		return true;
	/* A SYN-ACK acknowledges the SYN and perhaps data that came with it. */
	return segment->flags & TCP_ACK && peer->synced &&
	       segment->ack - peer->base_seq > peer->offset;
}

static struct flow *reopen(struct flow_table *table, struct core_shared *shared, struct flow *flow,
			   const struct arrival *arrival)
{
	flow_close(table, shared, flow, STREAM_REPLACED);
	flow_remove(table, shared, flow);
	return flow_open(table, shared, arrival);
}

/* Returns the flow that the rest of the segment belongs to, NULL when there is none. */
static struct flow *receive_syn(struct flow_table *table, struct core_shared *shared,
				struct flow *flow, const struct arrival *arrival)
{
	const struct segment *segment = &arrival->segment;
	int side = arrival->side;

	if (!flow)
		flow = flow_open(table, shared, arrival);
	else if (is_other_connection(flow, side, segment))
		flow = reopen(table, shared, flow, arrival);
	if (!flow)
		return NULL;
	if (!flow->direction[side].synced)
		direction_sync(&flow->direction[side], segment->seq + 1);
	if (segment->flags & TCP_ACK && !flow->direction[!side].synced)
		direction_sync(&flow->direction[!side], segment->ack);
	if (flow->client < 0 && !flow->http)
		flow->client = (int8_t)(segment->flags & TCP_ACK ? !side : side);
	return flow;
}

static bool is_plausible_rst(const struct flow *flow, int side, const struct segment *segment)
{
	const struct direction *own = &flow->direction[side];
	const struct direction *peer = &flow->direction[!side];
	int32_t ahead = (int32_t)(segment->seq - own->next_seq);

	if (own->synced && ahead >= -RST_BEHIND && ahead <= RST_AHEAD)
		return true;
	/* A refused connection: sequence number 0, only the acknowledgement fits. */
	return !own->synced && segment->flags & TCP_ACK && peer->synced &&
	       segment->ack == peer->next_seq;
}

static bool open_http(struct core_shared *shared, struct flow *flow)
{
	struct connection_identity identity = {.flow_id = flow->id,
					       .family = flow_key_family(&flow->key)};

	for (int side = 0; side < 2; side++) {
		uint8_t *address = identity.address[side];

		for (int word = 0; word < 2; word++)
			for (int byte = 0; byte < 8; byte++)
				*address++ =
					(uint8_t)(flow->key.address[side][word] >> (56 - 8 * byte));
		identity.port[side] = flow_key_port(&flow->key, side);
	}
	flow->http = http1_new(shared, &identity);
	if (!flow->http)
		return false;
	if (flow->client >= 0)
		http1_set_client(flow->http, flow->client);
	return true;
}

static void receive_payload(struct flow_table *table, struct core_shared *shared, struct flow *flow,
			    const struct arrival *arrival)
{
	const struct segment *segment = &arrival->segment;
	uint64_t ts_ns = arrival->ts_ns;
	int side = arrival->side;
	uint32_t seq = segment->seq + !!(segment->flags & TCP_SYN);

	if (segment->len && !flow->http && !open_http(shared, flow)) {
		shared->counters.flows_refused++;
		flow_remove(table, shared, flow);
		return;
	}
	if (direction_receive(shared, flow, side, seq, segment, ts_ns) ==
	    RECEIVE_OTHER_CONNECTION) {
		flow = reopen(table, shared, flow, arrival);
		if (!flow)
			return;
		if (segment->len && !open_http(shared, flow)) {
			shared->counters.flows_refused++;
			flow_remove(table, shared, flow);
			return;
		}
		direction_receive(shared, flow, side, seq, segment, ts_ns);
	}
	if (flow->direction[0].ended && flow->direction[1].ended)
		flow_close(table, shared, flow, STREAM_FIN);
	else
		flow_touch(table, shared, flow);
}

/* Late packets of a closed connection change nothing; true when this one is something new. */
static bool outlives_closed(struct core_shared *shared, const struct flow *flow, int side,
			    const struct segment *segment)
{
	const struct direction *own = &flow->direction[side];
	int32_t ahead = (int32_t)(segment->seq - own->next_seq);

	if (segment->len && own->synced && (ahead > PLAUSIBLE_BYTES || ahead < -PLAUSIBLE_BYTES))
		return true;
	shared->counters.retransmitted_bytes += segment->len;
	return false;
}

/* Neither payload nor an end. */
static void receive_acknowledgement(struct flow_table *table, struct core_shared *shared,
				    struct flow *flow, const struct arrival *arrival)
{
	const struct segment *segment = &arrival->segment;
	const struct direction *own = &flow->direction[arrival->side];

	if (own->synced && segment->seq + 1 == own->next_seq && !own->ended &&
	    !(segment->flags & TCP_SYN))
		shared->counters.keepalive_probes++;
	flow_touch_acked(table, shared, flow);
}

static void receive_rst(struct flow_table *table, struct core_shared *shared, struct flow *flow,
			const struct arrival *arrival)
{
	if (!is_plausible_rst(flow, arrival->side, &arrival->segment)) {
		shared->counters.stray_segments++;
		return;
	}
	if (flow->http)
		http1_closing(flow->http, arrival->side);
	flow_close(table, shared, flow, STREAM_RESET);
}

/*
 * The flow that the segment is for if it begins one, follows a closed one, or if none is known.
 * NULL: the segment changes nothing.
 */
static struct flow *find_or_open(struct flow_table *table, struct core_shared *shared,
				 struct flow *flow, const struct arrival *arrival)
{
	const struct segment *segment = &arrival->segment;

	if (segment->flags & TCP_SYN && !(segment->flags & TCP_RST)) {
		flow = receive_syn(table, shared, flow, arrival);
		if (!flow)
			return NULL;
	}
	if (!flow) {
		/* Acknowledgements and ends of connections that were never seen alive. */
		if (!segment->len || segment->flags & TCP_RST) {
			shared->counters.unowned_segments++;
			return NULL;
		}
		flow = flow_open(table, shared, arrival);
		if (!flow)
			return NULL;
	}
	if (flow->list != LIST_CLOSED)
		return flow;
	if (!outlives_closed(shared, flow, arrival->side, segment))
		return NULL;
	return reopen(table, shared, flow, arrival);
}

void tcp_receive(struct flow_table *table, struct core_shared *shared, struct flow *flow,
		 const struct arrival *arrival)
{
	const struct segment *segment = &arrival->segment;

	shared->counters.segments++;
	shared->counters.segment_bytes += segment->len;
	if (!flow || flow->list == LIST_CLOSED || segment->flags & TCP_SYN) {
		flow = find_or_open(table, shared, flow, arrival);
		if (!flow)
			return;
	}
	if (segment->flags & TCP_RST) {
		receive_rst(table, shared, flow, arrival);
		return;
	}
	if (segment->flags & TCP_ACK) {
		struct direction *peer = &flow->direction[!arrival->side];

		if (peer->synced)
			direction_acked(shared, peer, segment->ack);
		else
			direction_sync(peer, segment->ack);
	}
	if (segment->len || segment->flags & TCP_FIN)
		receive_payload(table, shared, flow, arrival);
	else
		receive_acknowledgement(table, shared, flow, arrival);
}
