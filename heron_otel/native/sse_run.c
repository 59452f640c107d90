// SPDX-License-Identifier: Apache-2.0
#include "sse_run.h"

struct span {
	size_t start;
	size_t end;
};

struct template {
	uint32_t slots;
	struct sse_slot slot[SSE_SLOTS];
	struct span first[SSE_SLOTS];  /* the slot values in the event that it was made from */
	struct span second[SSE_SLOTS]; /* the same in the one compared with it */
};

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_number(uint8_t c)
{
	return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

static bool starts_number(uint8_t c)
{
	return (c >= '0' && c <= '9') || c == '-';
}

/* Whether the byte at @i, inside a string that starts at @start, is escaped: an odd run of \ ends
 * in front of it. */
static bool is_escaped(const uint8_t *data, size_t start, size_t i)
{
	size_t first = i;

	while (first > start && data[first - 1] == '\\')
		first--;
	return (i - first) & 1;
}

/* Index of the quote that ends the string whose inside starts at @start, or @len. */
static size_t string_end(const uint8_t *data, size_t len, size_t start)
{
	size_t i = start;

	while (i < len) {
		const uint8_t *quote = memchr(data + i, '"', len - i);

		if (!quote)
			return len;
		i = (size_t)(quote - data);
		if (!is_escaped(data, start, i))
			return i;
		i++;
	}
	return len;
}

static size_t number_end(const uint8_t *data, size_t len, size_t i)
{
	while (i < len && is_number(data[i]))
		i++;
	return i;
}

static size_t slot_end(bool string, const uint8_t *data, size_t len, size_t i)
{
	return string ? string_end(data, len, i) : number_end(data, len, i);
}

static bool followed_by_colon(const uint8_t *data, size_t len, size_t i)
{
	while (i < len && is_space(data[i]))
		i++;
	return i < len && data[i] == ':';
}

static bool spans_equal(const uint8_t *a, struct span in_a, const uint8_t *b, struct span in_b)
{
	size_t len = in_a.end - in_a.start;

	return len == in_b.end - in_b.start && !memcmp(a + in_a.start, b + in_b.start, len);
}

/*
 * Reads @a and @b side by side as JSON tokens. True when they differ in one to SSE_SLOTS strings
 * or numbers only. Positions in template.slot are relative to the literal pieces of @a, one
 * after another.
 */
static bool make_template(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len,
			  struct template *made)
{
	size_t i = 0, j = 0;
	size_t taken = 0; /* bytes of @a that went into slots */
	size_t key = 0, key_len = 0;
	uint8_t last = 0; /* last byte that is no white space and not inside a value */

	made->slots = 0;
	if (a_len == 0 || (a[0] != '{' && a[0] != '['))
		return false;
	while (i < a_len && j < b_len) {
		bool string = a[i] == '"' && b[j] == '"';
		struct sse_slot *slot;
		struct span in_a, in_b;
		bool is_value;

		if (!string && !(starts_number(a[i]) && starts_number(b[j]) &&
				 (last == ':' || last == ',' || last == '['))) {
			if (a[i] != b[j])
				return false;
			if (!is_space(a[i]))
				last = a[i];
			i++;
			j++;
			continue;
		}
		in_a.start = i + string;
		in_b.start = j + string;
		in_a.end = slot_end(string, a, a_len, in_a.start);
		in_b.end = slot_end(string, b, b_len, in_b.start);
		if (string && (in_a.end == a_len || in_b.end == b_len))
			return false;
		i = in_a.end + string;
		j = in_b.end + string;
		is_value = last == ':' || !string || !followed_by_colon(a, a_len, i);
		if (spans_equal(a, in_a, b, in_b)) {
			if (!is_value) {
				key = in_a.start - taken;
				key_len = in_a.end - in_a.start;
			}
			last = '"';
			continue;
		}
		if (!is_value || made->slots == SSE_SLOTS)
			return false;
		slot = &made->slot[made->slots];
		slot->end = in_a.start - taken;
		slot->key = last == ':' ? key : 0;
		slot->key_len = last == ':' ? key_len : 0;
		slot->string = string;
		made->first[made->slots] = in_a;
		made->second[made->slots] = in_b;
		made->slots++;
		taken += in_a.end - in_a.start;
		last = '"';
	}
	return i == a_len && j == b_len && made->slots > 0;
}

/* Finds the slot values of @data; false when it is not made from the template. */
static bool match(const struct sse_runs *runs, const uint8_t *data, size_t len, struct span *values)
{
	const uint8_t *literal = runs->literal.data;
	size_t done = 0; /* of the literal */
	size_t i = 0;

	for (uint32_t k = 0; k < runs->slots; k++) {
		const struct sse_slot *slot = &runs->slot[k];
		size_t piece = slot->end - done;

		if (len - i < piece || memcmp(data + i, literal + done, piece))
			return false;
		i += piece;
		done += piece;
		values[k].start = i;
		i = slot_end(slot->string, data, len, i);
		values[k].end = i;
		if (!slot->string && values[k].end == values[k].start)
			return false;
	}
	return len - i == runs->literal.size - done && !memcmp(data + i, literal + done, len - i);
}

static bool reserve_values(struct core_shared *shared, struct sse_runs *runs,
			   const struct span *values)
{
	if (!bytes_reserve(shared, &runs->lengths, runs->slots * sizeof(uint32_t)))
		return false;
	for (uint32_t k = 0; k < runs->slots; k++)
		if (!bytes_reserve(shared, &runs->values[k], values[k].end - values[k].start))
			return false;
	return true;
}

/* After reserve_values(). */
static void push_values(struct sse_runs *runs, const uint8_t *data, const struct span *values)
{
	for (uint32_t k = 0; k < runs->slots; k++) {
		struct bytes *store = &runs->values[k];
		uint32_t len = (uint32_t)(values[k].end - values[k].start);

		memcpy(runs->lengths.data + runs->lengths.size, &len, sizeof(len));
		runs->lengths.size += sizeof(len);
		if (len == 0)
			continue;
		memcpy(store->data + store->size, data + values[k].start, len);
		store->size += len;
	}
	runs->count++;
}

static void write_open(const struct sse_runs *runs, struct batch *batch)
{
	uint32_t strings = 0;
	size_t done = 0;

	batch_array(batch, 7);
	batch_str(batch, runs->name.data, runs->name.size);
	batch_uint(batch, runs->count);
	batch_array(batch, runs->slots + 1);
	for (uint32_t k = 0; k < runs->slots; k++) {
		batch_bin(batch, runs->literal.data + done, runs->slot[k].end - done);
		done = runs->slot[k].end;
		if (runs->slot[k].string)
			strings |= 1u << k;
	}
	batch_bin(batch, runs->literal.data + done, runs->literal.size - done);
	batch_array(batch, runs->slots);
	for (uint32_t k = 0; k < runs->slots; k++)
		batch_str(batch, runs->literal.data + runs->slot[k].key, runs->slot[k].key_len);
	batch_uint(batch, strings);
	batch_array(batch, runs->slots);
	for (uint32_t k = 0; k < runs->slots; k++)
		batch_bin(batch, runs->values[k].data, runs->values[k].size);
	batch_bin(batch, runs->lengths.data, runs->lengths.size);
}

/* What write_open() needs at most: batch_str() may double a text, a head has up to 5 bytes. */
static size_t open_bound(const struct sse_runs *runs)
{
	size_t heads = 9 + 3 * runs->slots;
	size_t bound = 5 * heads + 2 * runs->name.size + runs->literal.size + runs->lengths.size;

	for (uint32_t k = 0; k < runs->slots; k++)
		bound += 2 * runs->slot[k].key_len + runs->values[k].size;
	return bound;
}

/* Moves the open run to the finished ones. The template stays for events that come back to it. */
static bool close_run(struct core_shared *shared, struct sse_runs *runs)
{
	struct bytes *packed = &runs->packed;
	struct batch batch = {.fixed = true};

	if (runs->count == 0)
		return true;
	if (!bytes_reserve(shared, packed, open_bound(runs)))
		return false;
	batch.data = packed->data;
	batch.size = packed->size;
	batch.capacity = packed->capacity;
	write_open(runs, &batch);
	if (batch.failed)
		return false;
	packed->size = batch.size;
	runs->runs++;
	runs->count = 0;
	runs->lengths.size = 0;
	for (uint32_t k = 0; k < SSE_SLOTS; k++)
		runs->values[k].size = 0;
	return true;
}

/* Turns the single event held into a template that also covers @data. */
static bool open_template(struct core_shared *shared, struct sse_runs *runs,
			  const struct template *made, const uint8_t *data)
{
	uint8_t *literal = runs->literal.data;
	size_t from = 0, to = 0;

	runs->slots = made->slots;
	if (!reserve_values(shared, runs, made->first)) {
		runs->slots = 0;
		return false;
	}
	runs->count = 0;
	push_values(runs, literal, made->first);
	for (uint32_t k = 0; k < made->slots; k++) {
		size_t piece = made->first[k].start - from;

		runs->slot[k] = made->slot[k];
		memmove(literal + to, literal + from, piece);
		to += piece;
		from = made->first[k].end;
	}
	memmove(literal + to, literal + from, runs->literal.size - from);
	runs->literal.size -= from - to;
	if (!reserve_values(shared, runs, made->second))
		return false; /* a template with one event: still exact */
	push_values(runs, data, made->second);
	return true;
}

static bool hold_single(struct core_shared *shared, struct sse_runs *runs,
			const struct sse_event *event)
{
	if (!close_run(shared, runs))
		return false;
	runs->name.size = 0;
	runs->literal.size = 0;
	runs->slots = 0;
	/* One byte more: even an empty literal has an address. */
	if (!bytes_reserve(shared, &runs->literal, event->data_len + 1) ||
	    !bytes_append(shared, &runs->name, event->name, event->name_len) ||
	    !bytes_append(shared, &runs->literal, event->data, event->data_len))
		return false;
	runs->count = 1;
	return true;
}

static bool same_name(const struct sse_runs *runs, const struct sse_event *event)
{
	return runs->name.size == event->name_len &&
	       (event->name_len == 0 || !memcmp(runs->name.data, event->name, event->name_len));
}

static bool add_event(struct core_shared *shared, struct sse_runs *runs,
		      const struct sse_event *event)
{
	struct span values[SSE_SLOTS];
	struct template made;

	if (same_name(runs, event)) {
		if (runs->slots && match(runs, event->data, event->data_len, values)) {
			if (!reserve_values(shared, runs, values))
				return false;
			push_values(runs, event->data, values);
			return true;
		}
		if (runs->count == 1 && runs->slots == 0 &&
		    make_template(runs->literal.data, runs->literal.size, event->data,
				  event->data_len, &made))
			return open_template(shared, runs, &made, event->data);
	}
	return hold_single(shared, runs, event);
}

bool sse_runs_add(struct core_shared *shared, struct sse_runs *runs, const struct sse_event *event)
{
	if (event->data_len > UINT32_MAX ||
	    !bytes_reserve(shared, &runs->times, sizeof(event->at_ns)) ||
	    !add_event(shared, runs, event))
		return false;
	memcpy(runs->times.data + runs->times.size, &event->at_ns, sizeof(event->at_ns));
	runs->times.size += sizeof(event->at_ns);
	return true;
}

void sse_runs_mark(struct core_shared *shared, struct sse_runs *runs, struct sse_mark *mark)
{
	close_run(shared,
		  runs); /* without memory the run stays open, and is taken back as a whole */
	mark->packed = runs->packed.size;
	mark->runs = runs->runs;
	mark->times = runs->times.size - runs->count * sizeof(uint64_t);
}

void sse_runs_roll_back(struct sse_runs *runs, const struct sse_mark *mark)
{
	runs->packed.size = mark->packed;
	runs->runs = mark->runs;
	runs->times.size = mark->times;
	runs->count = 0;
	runs->slots = 0;
}

size_t sse_runs_size(const struct sse_runs *runs)
{
	size_t size =
		runs->packed.size + runs->times.size + runs->literal.size + runs->lengths.size;

	for (uint32_t k = 0; k < runs->slots; k++)
		size += runs->values[k].size;
	return size;
}

uint32_t sse_runs_count(const struct sse_runs *runs)
{
	return runs->runs + (runs->count > 0);
}

void sse_runs_write(const struct sse_runs *runs, struct batch *batch)
{
	batch_raw(batch, runs->packed.data, runs->packed.size);
	if (runs->count)
		write_open(runs, batch);
}

void sse_runs_free(struct core_shared *shared, struct sse_runs *runs)
{
	bytes_free(shared, &runs->packed);
	bytes_free(shared, &runs->times);
	bytes_free(shared, &runs->name);
	bytes_free(shared, &runs->literal);
	bytes_free(shared, &runs->lengths);
	for (uint32_t k = 0; k < SSE_SLOTS; k++)
		bytes_free(shared, &runs->values[k]);
	memset(runs, 0, sizeof(*runs));
}
