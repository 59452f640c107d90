/* SPDX-License-Identifier: Apache-2.0 */
#include "capture_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#define BLOCK_BYTES ((size_t)1 << 20)
#define SMALLEST_READ ((size_t)64 << 10) /* rather move what is left than read less */
#define COMPRESSED_BYTES ((size_t)256 << 10)
#define GZIP_WINDOW (15 + 16) /* the largest window; 16: gzip header and trailer only */
#define ZSTD_WINDOW_LOG 23
/* Compressed input without any output: padding, empty members. The caller may want to stop. */
#define MAX_BARREN_BYTES ((size_t)64 << 20)

struct decompressor {
	z_stream gzip;
	ZSTD_DStream *zstd; /* NULL: gzip */
	bool in_member;	    /* the end of the input here is a truncation */
	bool output_full;   /* more output may wait inside */
	size_t begin;
	size_t end;
	uint8_t data[COMPRESSED_BYTES];
};

bool capture_stream_init(struct capture_stream *stream, int fd)
{
	struct stat status;

	memset(stream, 0, sizeof(*stream));
	stream->fd = fd;
	stream->regular = !fstat(fd, &status) && S_ISREG(status.st_mode);
	stream->capacity = BLOCK_BYTES + SMALLEST_READ;
	stream->data = malloc(stream->capacity);
	if (stream->regular)
		(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	return stream->data;
}

void capture_stream_free(struct capture_stream *stream)
{
	struct decompressor *decompressor = stream->decompressor;

	if (decompressor && decompressor->zstd)
		ZSTD_freeDStream(decompressor->zstd);
	else if (decompressor)
		inflateEnd(&decompressor->gzip);
	free(decompressor);
	free(stream->data);
}

static enum input_status fail(struct capture_stream *stream, const char *what)
{
	snprintf(stream->error, sizeof(stream->error), "%s at byte %" PRIu64, what,
		 stream->bytes_read);
	return INPUT_ERROR;
}

/* Reads once. INPUT_END only at the end of the file. */
static enum input_status read_some(struct capture_stream *stream, uint8_t *data, size_t len,
				   int wait_ms, size_t *got)
{
	struct pollfd poller = {.fd = stream->fd, .events = POLLIN};
	ssize_t count;

	*got = 0;
	if (stream->at_end)
		return INPUT_END;
	/* poll() takes a negative descriptor for none; read() says that it is bad. */
	if (!stream->regular && stream->fd >= 0 && poll(&poller, 1, wait_ms) <= 0)
		return INPUT_WAIT;
	count = read(stream->fd, data, len);
	if (count < 0) {
		char reason[96];

		if (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK)
			return INPUT_WAIT;
		snprintf(reason, sizeof(reason), "cannot read: %s", strerror(errno));
		return fail(stream, reason);
	}
	if (!count) {
		stream->at_end = true;
		return INPUT_END;
	}
	stream->bytes_read += (size_t)count;
	*got = (size_t)count;
	return INPUT_READY;
}

static enum input_status inflate_some(struct capture_stream *stream,
				      struct decompressor *decompressor)
{
	z_stream *gzip = &decompressor->gzip;
	int result;

	if (!decompressor->in_member) {
		decompressor->output_full = false;
		if (decompressor->data[decompressor->begin] != 0x1f) {
			/* Tape blocks and some loggers pad with zeros, as gzip(1) allows. */
			if (decompressor->data[decompressor->begin])
				return fail(stream, "data after the end of the gzip stream");
			decompressor->begin = decompressor->end;
			return INPUT_READY;
		}
		inflateReset(gzip);
		decompressor->in_member = true;
	}
	gzip->next_in = decompressor->data + decompressor->begin;
	gzip->avail_in = (uInt)(decompressor->end - decompressor->begin);
	gzip->next_out = stream->data + stream->end;
	gzip->avail_out = (uInt)(stream->capacity - stream->end);
	result = inflate(gzip, Z_NO_FLUSH);
	decompressor->begin = decompressor->end - gzip->avail_in;
	stream->end = stream->capacity - gzip->avail_out;
	decompressor->output_full = !gzip->avail_out;
	if (result == Z_STREAM_END)
		decompressor->in_member = decompressor->output_full = false;
	else if (result != Z_OK && result != Z_BUF_ERROR)
		return fail(stream, "broken gzip stream");
	return INPUT_READY;
}

static enum input_status unzstd_some(struct capture_stream *stream,
				     struct decompressor *decompressor)
{
	ZSTD_inBuffer in = {decompressor->data, decompressor->end, decompressor->begin};
	ZSTD_outBuffer out = {stream->data, stream->capacity, stream->end};
	size_t result = ZSTD_decompressStream(decompressor->zstd, &out, &in);

	decompressor->begin = in.pos;
	stream->end = out.pos;
	decompressor->output_full = out.pos == out.size;
	switch (ZSTD_getErrorCode(result)) {
	case ZSTD_error_no_error:
		break;
	case ZSTD_error_frameParameter_windowTooLarge:
		return fail(stream, "zstd window exceeds 8 MiB (made with --long; decompress it "
				    "with zstd -d --long=31)");
	case ZSTD_error_memory_allocation:
		return fail(stream, "out of memory");
	default:
		return fail(stream, "broken zstd stream");
	}
	/* 0: a frame ended and is flushed. Another one may follow. */
	decompressor->in_member = result != 0;
	return INPUT_READY;
}

/* Decompresses until there is output; the output buffer has room. */
static enum input_status decompress_some(struct capture_stream *stream, int wait_ms)
{
	struct decompressor *decompressor = stream->decompressor;
	size_t before = stream->end;
	uint64_t patience = stream->bytes_read + MAX_BARREN_BYTES;

	while (stream->end == before) {
		enum input_status status;
		size_t got;

		if (stream->bytes_read > patience)
			return INPUT_WAIT;

		if (decompressor->begin == decompressor->end && !decompressor->output_full) {
			status = read_some(stream, decompressor->data, sizeof(decompressor->data),
					   wait_ms, &got);
			if (status == INPUT_END && decompressor->in_member)
				return fail(stream, "compressed stream is truncated");
			if (status != INPUT_READY)
				return status;
			decompressor->begin = 0;
			decompressor->end = got;
		}
		status = decompressor->zstd ? unzstd_some(stream, decompressor)
					    : inflate_some(stream, decompressor);
		if (status != INPUT_READY)
			return status;
	}
	return INPUT_READY;
}

static enum input_status start_decompressor(struct capture_stream *stream, bool zstd)
{
	struct decompressor *decompressor = calloc(1, sizeof(*decompressor));
	bool ready = false;

	if (!decompressor)
		return fail(stream, "out of memory");
	if (zstd) {
		decompressor->zstd = ZSTD_createDStream();
		ready = decompressor->zstd &&
			!ZSTD_isError(ZSTD_DCtx_setParameter(decompressor->zstd,
							     ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG));
	} else {
		ready = inflateInit2(&decompressor->gzip, GZIP_WINDOW) == Z_OK;
	}
	if (!ready) {
		ZSTD_freeDStream(decompressor->zstd);
		free(decompressor);
		return fail(stream, "out of memory");
	}
	stream->decompressor = decompressor;
	decompressor->in_member = true;
	decompressor->end = stream->end; /* detect_compression() reads no more than fits */
	memcpy(decompressor->data, stream->data, stream->end);
	stream->end = 0;
	return INPUT_READY;
}

/* Looks at the first bytes. RFC 1952, section 2.3.1; RFC 8878, sections 3.1.1 and 3.1.2. */
static enum input_status detect_compression(struct capture_stream *stream, int wait_ms)
{
	const uint8_t *magic = stream->data;

	while (stream->end < 4) {
		size_t got;
		enum input_status status = read_some(stream, stream->data + stream->end,
						     COMPRESSED_BYTES - stream->end, wait_ms, &got);

		if (status == INPUT_END)
			break;
		if (status != INPUT_READY)
			return status;
		stream->end += got;
	}
	stream->started = true;
	if (stream->end < 4)
		return INPUT_READY;
	if (magic[0] == 0x1f && magic[1] == 0x8b)
		return start_decompressor(stream, false);
	if (magic[0] == 0x28 && magic[1] == 0xb5 && magic[2] == 0x2f && magic[3] == 0xfd)
		return start_decompressor(stream, true);
	if ((magic[0] & 0xf0) == 0x50 && magic[1] == 0x2a && magic[2] == 0x4d && magic[3] == 0x18)
		return start_decompressor(stream, true);
	return INPUT_READY;
}

static bool make_room(struct capture_stream *stream, size_t len)
{
	size_t left = stream->end - stream->begin;

	if (stream->begin && (!left || stream->capacity - stream->begin < len ||
			      stream->capacity - stream->end < SMALLEST_READ)) {
		memmove(stream->data, stream->data + stream->begin, left);
		stream->begin = 0;
		stream->end = left;
	}
	if (stream->capacity < len) {
		uint8_t *data = realloc(stream->data, len + SMALLEST_READ);

		if (!data)
			return false;
		stream->data = data;
		stream->capacity = len + SMALLEST_READ;
	}
	return true;
}

enum input_status capture_stream_fill(struct capture_stream *stream, size_t len, int wait_ms)
{
	if (stream->error[0])
		return INPUT_ERROR;
	if (!stream->started) {
		enum input_status status = detect_compression(stream, wait_ms);

		if (status != INPUT_READY)
			return status;
	}
	while (stream->end - stream->begin < len) {
		enum input_status status;
		size_t got;

		if (!make_room(stream, len))
			return fail(stream, "out of memory");
		if (stream->decompressor) {
			status = decompress_some(stream, wait_ms);
		} else {
			size_t room = stream->capacity - stream->end;

			status = read_some(stream, stream->data + stream->end,
					   room < BLOCK_BYTES ? room : BLOCK_BYTES, wait_ms, &got);
			stream->end += got;
		}
		if (status != INPUT_READY)
			return status;
	}
	return INPUT_READY;
}
