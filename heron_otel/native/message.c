// SPDX-License-Identifier: Apache-2.0
#include "message.h"

/* Content of a told size gets its memory ahead up to here, then as it arrives: at most so many
 * times what is there, so that telling a size costs nobody else their share. */
#define TRUSTED_LENGTH (1u << 20)
#define TRUSTED_FACTOR 16u

/* The end of a body over the limit is kept too: most APIs say there what the call used. */
#define TAIL_SHARE 4u /* of the limit, in fractions */
#define TAIL_MAX (64u << 10)

struct content_target {
	struct core_shared *shared;
	struct message *message;
	uint64_t at_ns;
};

struct message *message_new(struct core_shared *shared, const struct http1_head *head)
{
	struct message *message = memory_new(shared, sizeof(*message));

	if (!message)
		return NULL;
	message->status = head->status;
	message->head = memory_new(shared, head->packed_size);
	if (!message->head) {
		message_free(shared, message);
		return NULL;
	}
	message->head_size = head->packed_size;
	memcpy(message->head, head->packed, head->packed_size);
	if (head->codings.unsupported) {
		message->flags |= BODY_CODING_UNSUPPORTED;
		shared->counters.coding_unsupported++;
	} else if (head->codings.count) {
		message->decoder = decoder_new(shared, &head->codings);
		if (!message->decoder) {
			message->deaf = true;
			message->flags |= BODY_TRUNCATED;
		}
	}
	if (head->status && head->framing != FRAMING_NONE && !head->codings.unsupported)
		message->sse = sse_new(shared, head->framing);
	return message;
}

void message_free(struct core_shared *shared, struct message *message)
{
	if (!message)
		return;
	if (message->reader)
		*message->reader = NULL;
	memory_free(shared, message->head, message->head_size);
	bytes_free(shared, &message->content);
	bytes_free(shared, &message->tail);
	decoder_free(message->decoder);
	sse_free(message->sse);
	memory_free(shared, message, sizeof(*message));
}

static size_t tail_size(const struct core_shared *shared)
{
	uint64_t share = shared->limits.max_body_bytes / TAIL_SHARE;

	return share < TAIL_MAX ? (size_t)share : TAIL_MAX;
}

/* Keeps the last tail_size() bytes; moves them once for as many new ones. */
static void store_tail(struct core_shared *shared, struct bytes *tail, const uint8_t *data,
		       size_t len)
{
	size_t keep = tail->capacity / 2;

	if (len > keep) {
		data += len - keep;
		len = keep;
	}
	if (tail->size + len > 2 * keep)
		bytes_shift(tail, tail->size + len - keep);
	bytes_append(shared, tail, data, len);
}

static void store(struct core_shared *shared, struct message *message, const uint8_t *data,
		  size_t len, uint64_t expected)
{
	uint64_t limit = shared->limits.max_body_bytes;
	struct bytes *content = &message->content;
	size_t room, need;

	if (message->flags & BODY_TRUNCATED) {
		if (message->tail.data)
			store_tail(shared, &message->tail, data, len);
		return;
	}
	room = content->size < limit ? (size_t)(limit - content->size) : 0;
	if (len > room) {
		if (tail_size(shared) &&
		    bytes_resize(shared, &message->tail, 2 * tail_size(shared)))
			store_tail(shared, &message->tail, data + room, len - room);
		len = room;
		message->flags |= BODY_TRUNCATED;
		shared->counters.body_limit++;
	}
	need = content->size + len;
	if (need > content->capacity && expected > need && expected <= TRUSTED_LENGTH &&
	    expected <= limit) {
		size_t ahead =
			need * TRUSTED_FACTOR < expected ? need * TRUSTED_FACTOR : (size_t)expected;

		if (!bytes_resize(shared, content, ahead)) {
			message->flags |= BODY_TRUNCATED;
			return;
		}
	}
	if (!bytes_append(shared, content, data, len))
		message->flags |= BODY_TRUNCATED;
}

/* Content without content coding. */
static inline void add_content(struct core_shared *shared, struct message *message, uint64_t at_ns,
			       const uint8_t *data, size_t len, uint64_t expected)
{
	if (message->content_at_ns == 0)
		message->content_at_ns = at_ns;
	message->content_bytes += len;
	if (message->sse)
		sse_feed(message->sse, at_ns, data, len);
	else
		store(shared, message, data, len, expected);
}

static void take_decoded(void *context, const uint8_t *data, size_t len)
{
	struct content_target *target = context;

	/* The size that the head tells is that of the encoded form. */
	add_content(target->shared, target->message, target->at_ns, data, len, 0);
}

static void stop_decoding(struct message *message)
{
	decoder_free(message->decoder);
	message->decoder = NULL;
	message->deaf = true;
}

static void decode(struct core_shared *shared, struct message *message, uint64_t at_ns,
		   const uint8_t *data, size_t len)
{
	struct content_target target = {shared, message, at_ns};

	switch (decoder_feed(message->decoder, data, len, take_decoded, &target)) {
	case CODING_OK:
		return;
	case CODING_CORRUPT:
		message->flags |= BODY_CODING_CORRUPT;
		shared->counters.coding_corrupt++;
		break;
	case CODING_BOMB:
		message->flags |= BODY_CODING_BOMB;
		shared->counters.coding_bomb++;
		break;
	case CODING_NO_MEMORY:
		message->flags |= BODY_TRUNCATED;
		break;
	}
	stop_decoding(message);
}

void message_body(struct core_shared *shared, struct message *message, uint64_t at_ns,
		  const uint8_t *data, size_t len, uint64_t expected)
{
	message->ended_at_ns = at_ns;
	message->encoded_bytes += len;
	if (message->deaf)
		return;
	if (message->decoder)
		decode(shared, message, at_ns, data, len);
	else
		add_content(shared, message, at_ns, data, len, expected);
}

void message_gap(struct core_shared *shared, struct message *message, uint64_t missing)
{
	message->lost_bytes += missing;
	message->flags |= BODY_GAPPED;
	if (message->decoder) {
		message->flags |= BODY_CODING_CORRUPT;
		shared->counters.coding_corrupt++;
		stop_decoding(message);
	}
	if (message->sse)
		sse_gap(message->sse);
}

void message_guess(struct message *message)
{
	if (message->guessed)
		return;
	message->guessed = true;
	message->mark.content = message->content.size;
	message->mark.content_bytes = message->content_bytes;
	message->mark.encoded_bytes = message->encoded_bytes;
	if (message->sse)
		sse_mark(message->sse);
}

void message_roll_back(struct message *message)
{
	message->flags |= BODY_INCOMPLETE;
	message->content.size = message->mark.content;
	message->tail.size = 0;
	message->content_bytes = message->mark.content_bytes;
	message->encoded_bytes = message->mark.encoded_bytes;
	if (message->sse)
		sse_roll_back(message->sse);
}

void message_finish(struct core_shared *shared, struct message *message, uint64_t at_ns,
		    bool complete)
{
	if (message->done)
		return;
	message->done = true;
	if (message->decoder) {
		if (complete && !decoder_ended(message->decoder)) {
			message->flags |= BODY_CODING_CORRUPT;
			shared->counters.coding_corrupt++;
		}
		stop_decoding(message);
	}
	if (message->sse) {
		sse_finish(message->sse, at_ns, complete);
		if (sse_truncated(message->sse))
			message->flags |= BODY_TRUNCATED;
	}
	if (complete) {
		message->ended_at_ns = at_ns;
		return;
	}
	message->flags |= BODY_INCOMPLETE;
	if (message->status == 0)
		message->ended_at_ns = 0;
}

static void write_content(const struct message *message, struct batch *batch)
{
	batch_bin(batch, message->content.data, message->content.size);
	batch_uint(batch, message->content_bytes);
	batch_uint(batch, message->encoded_bytes);
	batch_uint(batch, message->lost_bytes);
	batch_uint(batch, message->flags);
	batch_uint(batch, message->started_at_ns);
	batch_uint(batch, message->head_at_ns);
}

/* The last value of a message; left out when nothing was cut. */
static void write_tail(const struct message *message, struct batch *batch)
{
	const struct bytes *tail = &message->tail;
	size_t keep = tail->capacity / 2;
	size_t skip = tail->size > keep ? tail->size - keep : 0;

	if (tail->size)
		batch_bin(batch, tail->data + skip, tail->size - skip);
}

void message_write_request(const struct message *message, struct batch *batch)
{
	batch_array(batch, message->tail.size ? 13 : 12);
	batch_raw(batch, message->head, message->head_size);
	write_content(message, batch);
	batch_uint(batch, message->ended_at_ns);
	write_tail(message, batch);
}

void message_write_response(const struct message *message, struct batch *batch)
{
	batch_array(batch, message->tail.size ? 16 : 15);
	batch_raw(batch, message->head, message->head_size);
	write_content(message, batch);
	batch_uint(batch, message->content_at_ns);
	batch_uint(batch, message->ended_at_ns);
	batch_uint(batch, message->interim);
	if (message->sse) {
		sse_write(message->sse, batch);
	} else {
		batch_array(batch, 0);
		batch_bin(batch, NULL, 0);
	}
	write_tail(message, batch);
}
