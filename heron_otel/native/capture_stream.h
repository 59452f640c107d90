/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a capture file from any file descriptor, gzip and zstd undone. Reads blocks of
 * 1 MiB; holds one block, or one packet if that is larger. A zstd stream adds its window, at most
 * 8 MiB: what levels up to 19 use without --long, and what RFC 8878 asks every decoder to take.
 */
#ifndef HERON_CAPTURE_STREAM_H
#define HERON_CAPTURE_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

enum input_status {
	INPUT_READY,
	INPUT_WAIT,  /* a pipe has nothing right now, a signal came, or nothing for long: ask again
		      */
	INPUT_END,   /* fewer bytes are left than asked for */
	INPUT_ERROR, /* error says what and where */
};

struct decompressor;

struct capture_stream {
	int fd;
	bool regular; /* reads never wait */
	bool at_end;
	bool started; /* the compression is known */
	uint8_t *data;
	size_t begin; /* bytes not yet taken: data[begin..end) */
	size_t end;
	size_t capacity;
	uint64_t position; /* decoded bytes taken */
	uint64_t bytes_read;
	struct decompressor *decompressor; /* NULL: plain */
	char error[160];
};

bool capture_stream_init(struct capture_stream *stream, int fd);
void capture_stream_free(struct capture_stream *stream);

/* See capture_stream_need(). */
enum input_status capture_stream_fill(struct capture_stream *stream, size_t len, int wait_ms);

/* Makes @len bytes ready at data + begin; waits for a pipe up to @wait_ms. */
static inline enum input_status capture_stream_need(struct capture_stream *stream, size_t len,
						    int wait_ms)
{
	if (stream->end - stream->begin >= len)
		return INPUT_READY;
	return capture_stream_fill(stream, len, wait_ms);
}

static inline void capture_stream_take(struct capture_stream *stream, size_t len)
{
	stream->begin += len;
	stream->position += len;
}

#endif
