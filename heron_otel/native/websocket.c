// SPDX-License-Identifier: Apache-2.0
#include "exchange.h"
#include "websocket_stream.h"

/* Size at which a batch is written. Records of 128 KiB and more leave the cache before they are
 * read (docs/decisions/0004-reference-facts-that-differ.md). */
#define MESSAGES_BYTES (64u << 10)

struct websocket {
	struct core_shared *shared;
	const struct exchanges *exchanges;
	uint32_t index;
	uint32_t request_seq;
	struct websocket_stream streams[2]; /* client, server */
	struct sse_runs runs;		    /* messages of the open batch */
	struct websocket_stream *speaker;   /* of the open batch; NULL: there is none */
	uint64_t started_at_ns;		    /* first byte of its first message */
	uint64_t first_at_ns;		    /* last byte of its first message */
};

struct websocket *websocket_new(struct core_shared *shared, const struct exchanges *exchanges,
				const struct websocket_terms *terms, uint32_t index,
				uint32_t request_seq)
{
	struct websocket *websocket = memory_new(shared, sizeof(*websocket));

	if (!websocket)
		return NULL;
	websocket->shared = shared;
	websocket->exchanges = exchanges;
	websocket->index = index;
	websocket->request_seq = request_seq;
	for (int i = 0; i < 2; i++) {
		struct websocket_stream *stream = &websocket->streams[i];

		stream->websocket = websocket;
		stream->shared = shared;
		stream->server = i;
		stream->deflate = terms->deflate;
		stream->fresh = terms->fresh[i];
	}
	shared->counters.websockets++;
	return websocket;
}

void websocket_free(struct websocket *websocket)
{
	if (!websocket)
		return;
	for (int i = 0; i < 2; i++)
		websocket_stream_free(&websocket->streams[i]);
	sse_runs_free(websocket->shared, &websocket->runs);
	memory_free(websocket->shared, websocket, sizeof(*websocket));
}

static void commit(struct websocket *websocket)
{
	if (!batch_commit(websocket->shared->batch))
		websocket->shared->counters.records_dropped++;
}

/* Writes the open batch: WebSocketMessages in heron_otel/records/http.py. */
static void flush(struct websocket *websocket)
{
	struct websocket_stream *stream = websocket->speaker;
	struct core_shared *shared = websocket->shared;
	struct batch *batch = shared->batch;
	const struct sse_runs *runs = &websocket->runs;

	if (!stream)
		return;
	websocket->speaker = NULL;
	batch_begin(batch);
	batch_array(batch, 17);
	batch_uint(batch, 2); /* tag */
	exchanges_write_identity(websocket->exchanges, websocket->index, websocket->request_seq);
	batch_uint(batch, stream->server);
	batch_uint(batch, websocket->started_at_ns);
	batch_uint(batch, stream->lost_bytes);
	batch_uint(batch, stream->lost_flags);
	batch_array(batch, sse_runs_count(runs));
	sse_runs_write(runs, batch);
	batch_bin(batch, runs->times.data, runs->times.size);
	batch_uint(batch, shared->before_ns);
	commit(websocket);
	shared->counters.event_runs += sse_runs_count(runs);
	stream->lost_bytes = 0;
	stream->lost_flags = 0;
	sse_runs_free(shared, &websocket->runs);
}

void websocket_take(struct websocket_stream *stream, uint64_t at_ns, const uint8_t *data,
		    size_t len)
{
	struct websocket *websocket = stream->websocket;
	struct sse_event event = {.at_ns = at_ns, .data = data, .data_len = len};

	if (websocket->speaker != stream)
		flush(websocket);
	if (!websocket->speaker) {
		websocket->started_at_ns = stream->message.started_at_ns;
		websocket->first_at_ns = at_ns;
	}
	if (!sse_runs_add(websocket->shared, &websocket->runs, &event)) {
		websocket->shared->counters.websocket_lost++;
		websocket_lose(stream, 0, BODY_TRUNCATED);
		return;
	}
	websocket->speaker = stream;
	if (sse_runs_size(&websocket->runs) >= MESSAGES_BYTES)
		flush(websocket);
}

void websocket_lose(struct websocket_stream *stream, uint64_t bytes, uint32_t flags)
{
	if (stream->websocket->speaker == stream)
		flush(stream->websocket); /* its messages came before */
	stream->lost_bytes += bytes;
	stream->lost_flags |= flags;
}

void websocket_feed(struct websocket *websocket, bool server, uint64_t at_ns, const uint8_t *data,
		    size_t len)
{
	websocket_stream_feed(&websocket->streams[server], at_ns, data, len);
}

void websocket_gap(struct websocket *websocket, bool server, uint64_t missing)
{
	websocket_stream_gap(&websocket->streams[server], missing);
}

uint64_t websocket_timer(const struct websocket *websocket)
{
	uint64_t after_ns = websocket->shared->limits.announce_after_ns;

	if (!websocket->speaker || websocket->first_at_ns >= UINT64_MAX - after_ns)
		return UINT64_MAX;
	return websocket->first_at_ns + (after_ns ? after_ns : 1);
}

void websocket_tick(struct websocket *websocket)
{
	if (websocket->shared->now_ns >= websocket_timer(websocket))
		flush(websocket);
}

static uint32_t close_code(const struct websocket_stream *stream)
{
	if (stream->close_size < 2)
		return 0;
	return (uint32_t)stream->close_bytes[0] << 8 | stream->close_bytes[1];
}

/* The side whose Close frame came first ends a WebSocket, whoever then closes the connection. */
static enum ended_by closer(const struct websocket *websocket)
{
	const struct exchanges *exchanges = websocket->exchanges;
	uint64_t by_client = websocket->streams[0].closed_at_ns;
	uint64_t by_server = websocket->streams[1].closed_at_ns;

	if (by_client != by_server) {
		if (!by_server || (by_client && by_client < by_server))
			return BY_CLIENT;
		return BY_SERVER;
	}
	if (exchanges->closer < 0)
		return BY_NOBODY;
	return exchanges->closer == exchanges->client ? BY_CLIENT : BY_SERVER;
}

/* Writes WebSocketEnd in heron_otel/records/http.py. */
void websocket_end(struct websocket *websocket, enum stream_end why)
{
	struct core_shared *shared = websocket->shared;
	struct batch *batch = shared->batch;
	struct websocket_stream *streams = websocket->streams;

	flush(websocket);
	for (int i = 0; i < 2; i++)
		websocket_stream_end(&streams[i]);
	for (int i = 0; i < 2; i++)
		if (streams[i].message.begun || streams[i].header_size || streams[i].in_payload)
			streams[i].lost_flags |= BODY_INCOMPLETE;
	batch_begin(batch);
	batch_array(batch, 17);
	batch_uint(batch, 3); /* tag */
	exchanges_write_identity(websocket->exchanges, websocket->index, websocket->request_seq);
	batch_uint(batch, exchange_end_of(why));
	batch_uint(batch, closer(websocket));
	batch_uint(batch, close_code(&streams[0]));
	batch_uint(batch, close_code(&streams[1]));
	batch_uint(batch, streams[0].lost_bytes + streams[1].lost_bytes);
	batch_uint(batch, streams[0].lost_flags | streams[1].lost_flags);
	batch_uint(batch, shared->before_ns);
	commit(websocket);
}
