// SPDX-License-Identifier: Apache-2.0
#include "event_frames.h"
#include "sse.h"
#include "sse_run.h"

#define MAX_FIELD_NAME 8	      /* "event: ", the longest that counts, and one */
#define KEEP_BUFFER_BYTES (64u << 10) /* buffers of larger events are given back */

enum {
	TAIL_OLD, /* every generation of the tail is half of it */
	TAIL_NEW,
	TAILS
};

struct sse {
	struct core_shared *shared;
	struct bytes line;   /* start of a line whose end is not there yet */
	struct bytes name;   /* event field of the event being read */
	struct bytes data;   /* its data lines, joined by LF */
	const uint8_t *view; /* instead of data: one data line inside the input being fed */
	size_t view_len;
	enum event_framing framing;
	struct event_frames frames;
	bool has_data;
	bool skip_lf;	  /* the last byte was a CR that ended a line */
	bool begun;	  /* the first line is behind us: no byte order mark any more */
	bool overlong;	  /* the present line was too long and is not kept */
	bool skipping;	  /* until the next blank line */
	bool after_gap;	  /* the present line may have lost its beginning */
	bool gap_between; /* the gap began between two events */
	bool limited;	  /* events go to the tail */
	bool truncated;
	struct sse_mark mark;
	struct sse_runs main;
	struct sse_runs tail[TAILS];
};

struct sse *sse_new(struct core_shared *shared, enum event_framing framing)
{
	struct sse *sse = memory_new(shared, sizeof(*sse));

	if (!sse)
		return NULL;
	sse->shared = shared;
	sse->framing = framing;
	return sse;
}

void sse_free(struct sse *sse)
{
	struct core_shared *shared;

	if (!sse)
		return;
	shared = sse->shared;
	bytes_free(shared, &sse->line);
	bytes_free(shared, &sse->name);
	bytes_free(shared, &sse->data);
	event_frames_free(shared, &sse->frames);
	sse_runs_free(shared, &sse->main);
	for (int i = 0; i < TAILS; i++)
		sse_runs_free(shared, &sse->tail[i]);
	memory_free(shared, sse, sizeof(*sse));
}

bool sse_truncated(const struct sse *sse)
{
	return sse->truncated;
}

static void keep_in_tail(struct sse *sse, const struct sse_event *event)
{
	struct sse_runs *newest = &sse->tail[TAIL_NEW];

	if (newest->times.size && sse_runs_size(newest) + event->data_len > SSE_TAIL_BYTES / 2) {
		sse_runs_free(sse->shared, &sse->tail[TAIL_OLD]);
		sse->tail[TAIL_OLD] = *newest;
		memset(newest, 0, sizeof(*newest));
	}
	sse_runs_add(sse->shared, newest, event);
}

static void keep(struct sse *sse, const struct sse_event *event)
{
	struct core_shared *shared = sse->shared;
	size_t cost = event->name_len + event->data_len + sizeof(event->at_ns);

	shared->counters.events++;
	if (!sse->limited) {
		if (sse_runs_size(&sse->main) + cost <= shared->limits.max_body_bytes) {
			if (sse_runs_add(shared, &sse->main, event))
				return;
		} else {
			shared->counters.body_limit++;
		}
		sse->limited = true;
		sse->truncated = true;
	}
	keep_in_tail(sse, event);
}

static void trim(struct sse *sse, struct bytes *bytes)
{
	bytes->size = 0;
	if (bytes->capacity > KEEP_BUFFER_BYTES)
		bytes_free(sse->shared, bytes);
}

static void forget_event(struct sse *sse)
{
	sse->name.size = 0;
	trim(sse, &sse->data);
	sse->has_data = false;
	sse->view = NULL;
}

static void drop_event(struct sse *sse, bool over_limit)
{
	if (over_limit)
		sse->shared->counters.event_limit++;
	sse->truncated = true;
	sse->skipping = true;
	forget_event(sse);
}

static void dispatch(struct sse *sse, uint64_t at_ns)
{
	struct sse_event event = {
		.at_ns = at_ns,
		.name = sse->name.data,
		.name_len = sse->name.size,
		.data = sse->view ? sse->view : sse->data.data,
		.data_len = sse->view ? sse->view_len : sse->data.size,
	};

	if (sse->has_data && !sse->skipping)
		keep(sse, &event);
	forget_event(sse);
}

/* The input that the view points into goes away. */
static void keep_view(struct sse *sse)
{
	if (!sse->view)
		return;
	sse->data.size = 0;
	if (!bytes_append(sse->shared, &sse->data, sse->view, sse->view_len))
		drop_event(sse, false);
	sse->view = NULL;
}

static void add_data(struct sse *sse, const uint8_t *value, size_t len, bool in_input)
{
	size_t before = sse->view ? sse->view_len : sse->data.size;

	if (before + len + 1 > sse->shared->limits.max_event_bytes) {
		drop_event(sse, true);
		return;
	}
	if (!sse->has_data && in_input) {
		sse->has_data = true;
		sse->view = value;
		sse->view_len = len;
		return;
	}
	keep_view(sse);
	if (sse->skipping)
		return;
	if ((sse->has_data && !bytes_append(sse->shared, &sse->data, "\n", 1)) ||
	    !bytes_append(sse->shared, &sse->data, value, len)) {
		drop_event(sse, false);
		return;
	}
	sse->has_data = true;
}

static bool starts_with(const uint8_t *line, size_t len, const char *prefix)
{
	size_t want = strlen(prefix);

	return len >= want && !memcmp(line, prefix, want);
}

/*
 * Where the value of the field @name begins in @line, one space after the colon left out; 0: the
 * line is another field. A line without a colon is the name of a field without a value.
 */
static inline size_t field_value(const uint8_t *line, size_t len, const char *name)
{
	size_t i = strlen(name);

	if (len < i || memcmp(line, name, i))
		return 0;
	if (i == len)
		return i;
	if (line[i++] != ':')
		return 0;
	return i < len && line[i] == ' ' ? i + 1 : i;
}

/* @in_input: @line stays where it is until the end of this sse_feed(). */
static void read_field(struct sse *sse, const uint8_t *line, size_t len, bool in_input)
{
	size_t value = field_value(line, len, "data");

	if (value) {
		add_data(sse, line + value, len - value, in_input);
		return;
	}
	value = field_value(line, len, "event");
	if (value) {
		sse->name.size = 0;
		if (!bytes_append(sse->shared, &sse->name, line + value, len - value))
			drop_event(sse, false);
	} else if (line[0] == ':') {
		sse->shared->counters.event_comments++;
	}
}

static void read_json_line(struct sse *sse, uint64_t at_ns, const uint8_t *line, size_t len,
			   bool in_input)
{
	bool whole = !sse->overlong && !sse->after_gap;

	sse->overlong = false;
	sse->after_gap = false;
	sse->skipping = false;
	if (!len || !whole)
		return;
	add_data(sse, line, len, in_input);
	dispatch(sse, at_ns);
	sse->skipping = false;
}

static void read_line(struct sse *sse, uint64_t at_ns, const uint8_t *line, size_t len,
		      bool in_input)
{
	bool blank = len == 0 && !sse->overlong && !sse->after_gap;

	if (!sse->begun) {
		sse->begun = true;
		if (starts_with(line, len, "\xef\xbb\xbf")) {
			line += 3;
			len -= 3;
			blank = len == 0 && !sse->overlong;
		}
	}
	if (sse->framing == FRAMING_JSON_LINES) {
		read_json_line(sse, at_ns, line, len, in_input);
		return;
	}
	if (sse->after_gap) {
		sse->after_gap = false;
		sse->skipping = !(starts_with(line, len, "event:") ||
				  (sse->gap_between && starts_with(line, len, "data:")));
	}
	if (blank) {
		dispatch(sse, at_ns);
		sse->skipping = false;
	} else if (len && !sse->skipping && !sse->overlong) {
		read_field(sse, line, len, in_input);
	}
	sse->overlong = false;
}

/* @more bytes on top of what is held are more than one line may have. */
static bool too_long(struct sse *sse, size_t more)
{
	if (sse->line.size + more <= (size_t)sse->shared->limits.max_event_bytes + MAX_FIELD_NAME)
		return false;
	if (!sse->skipping)
		drop_event(sse, true);
	return true;
}

/* Keeps the beginning of a line; @len may be 0. */
static void keep_line(struct sse *sse, const uint8_t *data, size_t len)
{
	if (sse->overlong)
		return;
	if (!too_long(sse, len)) {
		if (bytes_append(sse->shared, &sse->line, data, len))
			return;
		if (!sse->skipping)
			drop_event(sse, false);
	}
	sse->overlong = true;
	trim(sse, &sse->line);
}

static void end_line(struct sse *sse, uint64_t at_ns, const uint8_t *data, size_t len)
{
	if (sse->line.size == 0 && !sse->overlong && !too_long(sse, len)) {
		read_line(sse, at_ns, data, len, true);
		return;
	}
	keep_line(sse, data, len);
	read_line(sse, at_ns, sse->line.data, sse->line.size, false);
	trim(sse, &sse->line);
}

struct frame_target {
	struct sse *sse;
	uint64_t at_ns;
};

static void take_frame(void *context, const struct event_frame *frame)
{
	struct frame_target *target = context;
	struct sse *sse = target->sse;
	struct core_shared *shared = sse->shared;

	if (bytes_append(shared, &sse->data, "{\"", 2) &&
	    bytes_append(shared, &sse->data, frame->name, frame->name_len) &&
	    bytes_append(shared, &sse->data, "\":", 2) &&
	    bytes_append(shared, &sse->data, frame->payload, frame->payload_len) &&
	    bytes_append(shared, &sse->data, "}", 1)) {
		sse->has_data = true;
		dispatch(sse, target->at_ns);
	} else {
		drop_event(sse, false);
	}
	sse->skipping = false;
}

void sse_feed(struct sse *sse, uint64_t at_ns, const uint8_t *data, size_t len)
{
	const uint8_t *end = data + len;
	/* The next LF and CR at or after data, or end; each byte is searched once. */
	const uint8_t *lf = NULL, *cr = NULL;

	if (sse->framing == FRAMING_FRAMES) {
		struct frame_target target = {sse, at_ns};

		if (!event_frames_feed(sse->shared, &sse->frames, data, len, take_frame, &target))
			sse->truncated = true;
		return;
	}
	while (data < end) {
		const uint8_t *eol;

		if (sse->skip_lf) {
			sse->skip_lf = false;
			if (*data == '\n') {
				data++;
				continue;
			}
		}
		if (!lf || lf < data) {
			/* A blank line ends nearly every event. */
			lf = *data == '\n' ? data : memchr(data, '\n', (size_t)(end - data));
			lf = lf ? lf : end;
		}
		if (!cr || cr < data) {
			cr = memchr(data, '\r', (size_t)(end - data));
			cr = cr ? cr : end;
		}
		eol = lf < cr ? lf : cr;
		if (eol == end) {
			keep_line(sse, data, (size_t)(end - data));
			break;
		}
		end_line(sse, at_ns, data, (size_t)(eol - data));
		sse->skip_lf = *eol == '\r';
		data = eol + 1;
	}
	keep_view(sse);
}

void sse_gap(struct sse *sse)
{
	if (sse->framing == FRAMING_FRAMES) {
		event_frames_gap(sse->shared, &sse->frames);
		return;
	}
	sse->gap_between = !sse->has_data && sse->name.size == 0 && sse->line.size == 0 &&
			   !sse->overlong && !sse->skipping && !sse->after_gap;
	forget_event(sse);
	trim(sse, &sse->line);
	sse->overlong = false;
	sse->skip_lf = false;
	sse->begun = true;
	sse->after_gap = true;
}

void sse_mark(struct sse *sse)
{
	sse_runs_mark(sse->shared, &sse->main, &sse->mark);
}

void sse_roll_back(struct sse *sse)
{
	forget_event(sse);
	sse_runs_roll_back(&sse->main, &sse->mark);
	for (int i = 0; i < TAILS; i++)
		sse_runs_free(sse->shared, &sse->tail[i]);
}

void sse_finish(struct sse *sse, uint64_t at_ns, bool complete)
{
	if (complete && (sse->line.size || sse->overlong))
		end_line(sse, at_ns, NULL, 0);
	dispatch(sse, at_ns);
	trim(sse, &sse->line);
	event_frames_free(sse->shared, &sse->frames);
}

void sse_write(const struct sse *sse, struct batch *batch)
{
	const struct sse_runs *all[] = {&sse->main, &sse->tail[TAIL_OLD], &sse->tail[TAIL_NEW]};
	uint32_t runs = 0;
	size_t times = 0;

	for (int i = 0; i < 3; i++) {
		runs += sse_runs_count(all[i]);
		times += all[i]->times.size;
	}
	sse->shared->counters.event_runs += runs;
	batch_array(batch, runs);
	for (int i = 0; i < 3; i++)
		sse_runs_write(all[i], batch);
	batch_bin_head(batch, times);
	for (int i = 0; i < 3; i++)
		batch_raw(batch, all[i]->times.data, all[i]->times.size);
}
