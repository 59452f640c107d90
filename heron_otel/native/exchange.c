// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>

#include "exchange.h"

static void write_address(struct batch *batch, const struct connection_identity *identity, int side)
{
	char text[INET6_ADDRSTRLEN] = "";

	inet_ntop(identity->family == 6 ? AF_INET6 : AF_INET, identity->address[side], text,
		  sizeof(text));
	batch_str(batch, text, strlen(text));
	batch_uint(batch, identity->port[side]);
}

void exchanges_write_identity(const struct exchanges *exchanges, uint32_t index,
			      uint32_t request_seq)
{
	struct core_shared *shared = exchanges->shared;
	struct batch *batch = shared->batch;

	batch_uint(batch, exchanges->identity.flow_id);
	batch_uint(batch, index);
	batch_uint(batch, shared->frame);
	batch_uint(batch, shared->now_ns);
	write_address(batch, &exchanges->identity, exchanges->client);
	write_address(batch, &exchanges->identity, 1 - exchanges->client);
	batch_uint(batch, request_seq);
}

static bool commit(struct core_shared *shared)
{
	if (batch_commit(shared->batch))
		return true;
	shared->counters.records_dropped++;
	return false;
}

static enum ended_by ended_by(const struct exchanges *exchanges, const struct exchange *exchange)
{
	bool by_close = exchange->end == END_RESPONSE_CUT || exchange->end == END_RESET ||
			exchange->end == END_NO_RESPONSE ||
			(exchange->end == END_COMPLETE && exchange->until_close);

	if (!by_close || exchanges->closer < 0)
		return BY_NOBODY;
	return exchanges->closer == exchanges->client ? BY_CLIENT : BY_SERVER;
}

static void write_exchange(struct exchanges *exchanges, const struct exchange *exchange)
{
	struct core_shared *shared = exchanges->shared;
	struct batch *batch = shared->batch;

	if (!exchange->request && !exchange->announced) {
		shared->counters.records_dropped++;
		return;
	}
	batch_begin(batch);
	batch_array(batch, 15);
	batch_uint(batch, 1); /* tag of HttpExchange */
	exchanges_write_identity(exchanges, exchange->index, exchange->request_seq);
	batch_uint(batch, exchange->end);
	if (exchange->request)
		message_write_request(exchange->request, batch);
	else
		batch_nil(batch);
	if (exchange->response)
		message_write_response(exchange->response, batch);
	else
		batch_nil(batch);
	batch_uint(batch, ended_by(exchanges, exchange));
	batch_uint(batch, shared->before_ns);
	if (commit(shared))
		shared->counters.exchanges++;
}

static void unlink_exchange(struct exchanges *exchanges, struct exchange *exchange)
{
	struct exchange **link = &exchanges->first;
	struct exchange *before = NULL;

	while (*link != exchange) {
		before = *link;
		link = &before->next;
	}
	*link = exchange->next;
	if (exchanges->last == exchange)
		exchanges->last = before;
	exchanges->open--;
}

static void free_exchange(struct core_shared *shared, struct exchange *exchange)
{
	message_free(shared, exchange->request);
	message_free(shared, exchange->response);
	memory_free(shared, exchange, sizeof(*exchange));
}

enum exchange_end exchange_end_of(enum stream_end why)
{
	switch (why) {
	case STREAM_FIN:
		return END_COMPLETE;
	case STREAM_RESET:
		return END_RESET;
	case STREAM_IDLE:
		return END_IDLE;
	case STREAM_REPLACED:
		return END_LOST;
	case STREAM_EVICTED:
		return END_LIMIT;
	case STREAM_INPUT_END:
		break;
	}
	return END_OF_INPUT;
}

void exchanges_close(struct exchanges *exchanges, struct exchange *exchange, enum exchange_end end)
{
	if (exchange->end == END_COMPLETE)
		exchange->end = end;
	write_exchange(exchanges, exchange);
	unlink_exchange(exchanges, exchange);
	free_exchange(exchanges->shared, exchange);
}

void exchanges_pair(struct exchanges *exchanges, struct exchange *exchange,
		    struct message *response)
{
	struct exchange *next = exchange->next;

	exchange->response = response;
	response->exchange = exchange;
	exchange->unsure = !exchanges->certain && response->after_loss;
	if (exchange->end == END_COMPLETE)
		exchange->end = response->end;
	if (exchanges->certain && next && next->started_at_ns < response->started_at_ns)
		exchanges->pipelines = true;
	/* Responses come in the order of requests: older ones without have lost theirs. */
	while (exchanges->first != exchange)
		exchanges_close(exchanges, exchanges->first, END_LOST);
}

void exchanges_unpair(struct exchanges *exchanges, struct exchange *exchange)
{
	struct message *response = exchange->response;

	exchange->response = NULL;
	response->exchange = NULL;
	response->next = exchanges->first_orphan;
	exchanges->first_orphan = response;
	if (!exchanges->last_orphan)
		exchanges->last_orphan = response;
	exchanges->orphans++;
}

struct exchange *exchanges_waiting(const struct exchanges *exchanges)
{
	struct exchange *exchange = exchanges->first;

	while (exchange && (exchange->response || exchange->response_lost))
		exchange = exchange->next;
	return exchange;
}

/* @next was sent before an answer to @exchange could have been read. */
static bool pipelined(const struct exchange *exchange, const struct exchange *next)
{
	return exchange->ended_at_ns == 0 || next->started_at_ns <= exchange->ended_at_ns;
}

struct exchange *exchanges_match(struct exchanges *exchanges, uint64_t started_at_ns,
				 bool *doubtful)
{
	struct exchange *oldest = exchanges_waiting(exchanges);
	struct exchange *newest = NULL;
	bool overlapping = exchanges->pipelines;

	*doubtful = false;
	if (exchanges->certain)
		return oldest;
	for (struct exchange *e = oldest; e && e->started_at_ns <= started_at_ns; e = e->next) {
		if (e->response || e->response_lost)
			continue;
		overlapping |= newest && pipelined(newest, e);
		newest = e;
	}
	if (!newest || newest == oldest || !overlapping)
		return newest;
	*doubtful = true;
	while (exchanges->first != newest)
		exchanges_close(exchanges, exchanges->first, END_LOST);
	exchanges_close(exchanges, newest, END_LOST);
	return NULL;
}

struct message *exchanges_take_orphan(struct exchanges *exchanges)
{
	struct message *response = exchanges->first_orphan;

	exchanges->first_orphan = response->next;
	if (!exchanges->first_orphan)
		exchanges->last_orphan = NULL;
	exchanges->orphans--;
	response->next = NULL;
	return response;
}

void exchanges_drop_orphan(struct exchanges *exchanges)
{
	exchanges->shared->counters.unpaired_responses++;
	message_free(exchanges->shared, exchanges_take_orphan(exchanges));
}

void exchanges_claim_orphan(struct exchanges *exchanges, struct exchange *exchange)
{
	while (exchanges->first_orphan) {
		struct message *response = exchanges->first_orphan;

		if (exchanges->certain || response->started_at_ns >= exchange->started_at_ns) {
			exchanges_pair(exchanges, exchange, exchanges_take_orphan(exchanges));
			return;
		}
		exchanges_drop_orphan(exchanges);
	}
}

void exchanges_add_orphan(struct exchanges *exchanges, struct message *response)
{
	if (exchanges->last_orphan)
		exchanges->last_orphan->next = response;
	else
		exchanges->first_orphan = response;
	exchanges->last_orphan = response;
	exchanges->orphans++;
}

struct exchange *exchanges_request(struct exchanges *exchanges, struct message *request,
				   const struct http1_head *head, uint64_t started_at_ns,
				   uint32_t seq)
{
	struct core_shared *shared = exchanges->shared;
	struct exchange *exchange = memory_new(shared, sizeof(*exchange));

	if (!exchange)
		return NULL;
	exchange->request = request;
	exchange->started_at_ns = started_at_ns;
	exchange->request_seq = seq;
	exchange->index = exchanges->next_index++;
	exchange->is_head = head->is_head;
	exchange->is_connect = head->is_connect;
	if (request)
		request->exchange = exchange;
	if (exchanges->last)
		exchanges->last->next = exchange;
	else
		exchanges->first = exchange;
	exchanges->last = exchange;
	exchanges->open++;
	return exchange;
}

static void announce(struct exchanges *exchanges, struct exchange *exchange)
{
	struct core_shared *shared = exchanges->shared;
	struct batch *batch = shared->batch;

	batch_begin(batch);
	batch_array(batch, 12);
	batch_uint(batch, 0); /* tag of HttpExchangeStarted */
	exchanges_write_identity(exchanges, exchange->index, exchange->request_seq);
	message_write_request(exchange->request, batch);
	batch_uint(batch, shared->before_ns);
	if (!commit(shared))
		return;
	shared->counters.exchanges_started++;
	exchange->announced = true;
	message_free(shared, exchange->request);
	exchange->request = NULL;
}

/* When @exchange is to be announced; UINT64_MAX: never, or not before something else happens. */
static uint64_t announce_ns(const struct exchanges *exchanges, const struct exchange *exchange)
{
	uint64_t after_ns = exchanges->shared->limits.announce_after_ns;

	if (!exchange->request || !exchange->ended_at_ns ||
	    exchange->ended_at_ns >= UINT64_MAX - after_ns)
		return UINT64_MAX;
	return exchange->ended_at_ns + (after_ns ? after_ns : 1);
}

uint64_t exchanges_announce_ns(const struct exchanges *exchanges)
{
	uint64_t earliest = UINT64_MAX;

	for (const struct exchange *e = exchanges->first; e; e = e->next) {
		uint64_t at_ns = announce_ns(exchanges, e);

		if (at_ns < earliest)
			earliest = at_ns;
	}
	return earliest;
}

void exchanges_announce(struct exchanges *exchanges)
{
	const struct core_shared *shared = exchanges->shared;

	for (struct exchange *e = exchanges->first; e; e = e->next)
		if (shared->now_ns >= announce_ns(exchanges, e))
			announce(exchanges, e);
}

void exchanges_free(struct exchanges *exchanges)
{
	struct core_shared *shared = exchanges->shared;

	while (exchanges->first) {
		struct exchange *exchange = exchanges->first;

		exchanges->first = exchange->next;
		free_exchange(shared, exchange);
	}
	while (exchanges->first_orphan) {
		struct message *orphan = exchanges->first_orphan;

		exchanges->first_orphan = orphan->next;
		message_free(shared, orphan);
	}
}
