// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <strings.h>
#include <brotli/decode.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "coding.h"
#include "memory.h"

#define RATIO_FREE_BYTES (1u << 20) /* short bodies compress as well as they like */
#define OUTPUT_BYTES 16384
/* RFC 9659: the zstd content coding allows windows up to 8 MiB. */
#define ZSTD_MAX_WINDOW_LOG 23
/* A body may be this many times larger than what is kept of it before decoding stops. */
#define DECODED_FACTOR 64

enum stage_state {
	STAGE_NEW,     /* no input yet */
	STAGE_SNIFF,   /* deflate: one byte seen */
	STAGE_RUNNING, /* inside a member or frame */
	STAGE_BETWEEN, /* a member or frame is complete */
	STAGE_TRAILING /* padding behind the last gzip member: ignored */
};

struct stage {
	enum coding coding;
	enum stage_state state;
	uint8_t first; /* deflate, zstd: first byte of the stream or frame */
	uint8_t magic; /* zstd: how many bytes of the frame's magic number are known */
	bool open;     /* the decoder below exists */
	uint64_t decoded;
	size_t accounted; /* zstd tells its size only afterwards */
	union {
		z_stream zlib;
		BrotliDecoderState *br;
		ZSTD_DStream *zstd;
	};
};

struct decoder {
	struct core_shared *shared;
	uint64_t encoded;
	size_t count;
	struct stage stages[CODING_MAX_CHAIN]; /* outermost first */
};

struct output {
	struct decoder *decoder;
	size_t next; /* stage that takes this output */
	coding_sink sink;
	void *context;
};

static const struct {
	const char *name;
	enum coding coding;
} CODING_NAMES[] = {
	{"gzip", CODING_GZIP}, {"x-gzip", CODING_GZIP}, {"deflate", CODING_DEFLATE},
	{"br", CODING_BR},     {"zstd", CODING_ZSTD},
};

static void list_add_name(struct coding_list *list, uint32_t max_codings, const uint8_t *name,
			  size_t len)
{
	const char *text = (const char *)name;

	if (len == 0 || (len == 8 && !strncasecmp(text, "identity", 8)) ||
	    (len == 7 && !strncasecmp(text, "chunked", 7)))
		return;
	for (size_t i = 0; i < sizeof(CODING_NAMES) / sizeof(CODING_NAMES[0]); i++) {
		if (len != strlen(CODING_NAMES[i].name) ||
		    strncasecmp(text, CODING_NAMES[i].name, len))
			continue;
		if (list->count == CODING_MAX_CHAIN || list->count >= max_codings)
			break;
		list->codings[list->count++] = CODING_NAMES[i].coding;
		return;
	}
	list->unsupported = true;
}

void coding_list_add(struct coding_list *list, uint32_t max_codings, const uint8_t *value,
		     size_t len)
{
	size_t start = 0;

	for (size_t i = 0; i <= len; i++) {
		size_t end = i;

		if (i < len && value[i] != ',')
			continue;
		while (start < end && (value[start] == ' ' || value[start] == '\t'))
			start++;
		while (end > start && (value[end - 1] == ' ' || value[end - 1] == '\t'))
			end--;
		list_add_name(list, max_codings, value + start, end - start);
		start = i + 1;
	}
}

/* False when the window just allocated is over max_buffered_bytes. */
static bool account_zstd(struct decoder *decoder, struct stage *stage)
{
	struct core_shared *shared = decoder->shared;
	size_t now = ZSTD_sizeof_DStream(stage->zstd);
	bool grown = now > stage->accounted;

	shared->buffered_bytes += now;
	shared->buffered_bytes -= stage->accounted;
	stage->accounted = now;
	if (!grown || shared->buffered_bytes <= shared->limits.max_buffered_bytes)
		return true;
	shared->counters.buffer_limit++;
	return false;
}

static bool open_zlib(struct decoder *decoder, struct stage *stage, int window_bits)
{
	stage->zlib = (z_stream){
		.zalloc = memory_zlib_alloc, .zfree = memory_zlib_free, .opaque = decoder->shared};
	stage->open = inflateInit2(&stage->zlib, window_bits) == Z_OK;
	return stage->open;
}

static bool open_stage(struct decoder *decoder, struct stage *stage)
{
	switch (stage->coding) {
	case CODING_GZIP:
		return open_zlib(decoder, stage, 15 + 16);
	case CODING_DEFLATE:
		return true; /* opened when the first two bytes tell the format */
	case CODING_BR:
		stage->br =
			BrotliDecoderCreateInstance(memory_alloc, memory_release, decoder->shared);
		stage->open = stage->br != NULL;
		return stage->open;
	case CODING_ZSTD:
		stage->zstd = ZSTD_createDStream();
		stage->open = stage->zstd != NULL;
		return stage->open && account_zstd(decoder, stage) &&
		       !ZSTD_isError(ZSTD_DCtx_setParameter(stage->zstd, ZSTD_d_windowLogMax,
							    ZSTD_MAX_WINDOW_LOG));
	}
	return false;
}

static void close_stage(struct decoder *decoder, struct stage *stage)
{
	if (!stage->open)
		return;
	switch (stage->coding) {
	case CODING_GZIP:
	case CODING_DEFLATE:
		inflateEnd(&stage->zlib);
		break;
	case CODING_BR:
		BrotliDecoderDestroyInstance(stage->br);
		break;
	case CODING_ZSTD:
		ZSTD_freeDStream(stage->zstd);
		decoder->shared->buffered_bytes -= stage->accounted;
		break;
	}
}

struct decoder *decoder_new(struct core_shared *shared, const struct coding_list *list)
{
	struct decoder *decoder = memory_new(shared, sizeof(*decoder));

	if (!decoder)
		return NULL;
	decoder->shared = shared;
	decoder->count = list->count;
	for (size_t i = 0; i < decoder->count; i++) {
		decoder->stages[i].coding = list->codings[list->count - 1 - i];
		if (!open_stage(decoder, &decoder->stages[i])) {
			decoder_free(decoder);
			return NULL;
		}
	}
	return decoder;
}

void decoder_free(struct decoder *decoder)
{
	if (!decoder)
		return;
	for (size_t i = 0; i < decoder->count; i++)
		close_stage(decoder, &decoder->stages[i]);
	memory_free(decoder->shared, decoder, sizeof(*decoder));
}

bool decoder_ended(const struct decoder *decoder)
{
	for (size_t i = 0; i < decoder->count; i++) {
		enum stage_state state = decoder->stages[i].state;

		if (state == STAGE_RUNNING || state == STAGE_SNIFF)
			return false;
	}
	return true;
}

static enum coding_status feed_stage(const struct output *output, const uint8_t *data, size_t len);

static enum coding_status deliver(struct stage *stage, const struct output *output,
				  const uint8_t *data, size_t len)
{
	struct decoder *decoder = output->decoder;
	const struct core_limits *limits = &decoder->shared->limits;
	uint32_t ratio = limits->max_coding_ratio ? limits->max_coding_ratio : 1;
	struct output next = *output;

	if (len == 0)
		return CODING_OK;
	stage->decoded += len;
	if (stage->decoded > RATIO_FREE_BYTES &&
	    (stage->decoded / ratio > decoder->encoded ||
	     stage->decoded / DECODED_FACTOR > limits->max_body_bytes))
		return CODING_BOMB;
	next.next = output->next + 1;
	return feed_stage(&next, data, len);
}

static enum coding_status feed_zlib(struct stage *stage, const struct output *output,
				    const uint8_t *data, size_t len)
{
	uint8_t out[OUTPUT_BYTES];
	z_stream *zlib = &stage->zlib;

	zlib->next_in = (Bytef *)(uintptr_t)data;
	zlib->avail_in = (uInt)len;
	for (;;) {
		enum coding_status status;
		int result;

		if (zlib->avail_in && stage->state == STAGE_BETWEEN) {
			/* RFC 1952, section 2.2: members follow one another. */
			if (stage->coding != CODING_GZIP || *zlib->next_in != 0x1f) {
				stage->state = STAGE_TRAILING;
				return CODING_OK;
			}
			inflateReset(zlib);
		}
		if (zlib->avail_in)
			stage->state = STAGE_RUNNING;
		zlib->next_out = out;
		zlib->avail_out = sizeof(out);
		result = inflate(zlib, Z_SYNC_FLUSH);
		status = deliver(stage, output, out, sizeof(out) - zlib->avail_out);
		if (status != CODING_OK)
			return status;
		if (result == Z_STREAM_END)
			stage->state = STAGE_BETWEEN;
		else if (result == Z_MEM_ERROR)
			return CODING_NO_MEMORY;
		else if (result != Z_OK && result != Z_BUF_ERROR)
			return CODING_CORRUPT;
		if (zlib->avail_in == 0 && zlib->avail_out)
			return CODING_OK;
		if (result == Z_BUF_ERROR && zlib->avail_out)
			return CODING_CORRUPT; /* input left, room left, no progress */
	}
}

/* "deflate" is the zlib format, but many servers send raw deflate (RFC 9110, section 8.4.1.2). */
static enum coding_status feed_deflate(struct stage *stage, const struct output *output,
				       const uint8_t *data, size_t len)
{
	enum coding_status status;
	bool zlib;

	if (stage->state == STAGE_NEW) {
		stage->first = *data++;
		stage->state = STAGE_SNIFF;
		if (--len == 0)
			return CODING_OK;
	}
	if (stage->state != STAGE_SNIFF)
		return feed_zlib(stage, output, data, len);
	/* RFC 1950, section 2.2: method 8, window at most 32 KiB, check bits. */
	zlib = (stage->first & 0x0f) == 8 && stage->first >> 4 <= 7 &&
	       (stage->first << 8 | data[0]) % 31 == 0;
	if (!open_zlib(output->decoder, stage, zlib ? 15 : -15))
		return CODING_NO_MEMORY;
	status = feed_zlib(stage, output, &stage->first, 1);
	if (status != CODING_OK)
		return status;
	return feed_zlib(stage, output, data, len);
}

static enum coding_status feed_br(struct stage *stage, const struct output *output,
				  const uint8_t *data, size_t len)
{
	stage->state = STAGE_RUNNING;
	for (;;) {
		BrotliDecoderResult result;
		enum coding_status status;
		size_t ready = 0;
		const uint8_t *out;

		result = BrotliDecoderDecompressStream(stage->br, &len, &data, &ready, NULL, NULL);
		while (BrotliDecoderHasMoreOutput(stage->br)) {
			ready = OUTPUT_BYTES;
			out = BrotliDecoderTakeOutput(stage->br, &ready);
			status = deliver(stage, output, out, ready);
			if (status != CODING_OK)
				return status;
		}
		switch (result) {
		case BROTLI_DECODER_RESULT_SUCCESS:
			stage->state = STAGE_TRAILING;
			return CODING_OK;
		case BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT:
			return CODING_OK;
		case BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT:
			break;
		case BROTLI_DECODER_RESULT_ERROR:
		default:
			if (BrotliDecoderGetErrorCode(stage->br) <=
			    BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES)
				return CODING_NO_MEMORY;
			return CODING_CORRUPT;
		}
	}
}

/*
 * The library also reads formats from before RFC 8878. True when the bytes at @data, the next of
 * a frame whose first @stage->magic are known, still begin a frame that RFC 8878 has (sections
 * 3.1.1 and 3.1.2).
 */
static bool zstd_magic(struct stage *stage, const uint8_t *data, size_t len)
{
	static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd};
	static const uint8_t skippable[] = {0x50, 0x2a, 0x4d, 0x18};

	for (size_t i = 0; i < len && stage->magic < sizeof(frame); i++, stage->magic++) {
		if (stage->magic == 0)
			stage->first = data[i];
		if (stage->magic == 0 && (data[i] & 0xf0) == skippable[0])
			continue;
		if (data[i] != (stage->first == frame[0] ? frame : skippable)[stage->magic])
			return false;
	}
	return true;
}

static enum coding_status feed_zstd(struct stage *stage, const struct output *output,
				    const uint8_t *data, size_t len)
{
	uint8_t out[OUTPUT_BYTES];
	ZSTD_inBuffer in = {data, len, 0};

	for (;;) {
		ZSTD_outBuffer room = {out, sizeof(out), 0};
		enum coding_status status;
		size_t result;

		/* The library checks a frame that it gets whole more strictly than one in pieces:
		 * the first byte goes alone, so that cuts of the input change nothing. */
		in.size = stage->magic || in.pos == len ? len : in.pos + 1;
		if (!zstd_magic(stage, data + in.pos, in.size - in.pos))
			return CODING_CORRUPT;
		result = ZSTD_decompressStream(stage->zstd, &room, &in);
		if (!account_zstd(output->decoder, stage))
			return CODING_NO_MEMORY;
		status = deliver(stage, output, out, room.pos);
		if (status != CODING_OK)
			return status;
		if (ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation)
			return CODING_NO_MEMORY;
		if (ZSTD_isError(result))
			return CODING_CORRUPT;
		stage->state = result ? STAGE_RUNNING : STAGE_BETWEEN;
		if (result == 0)
			stage->magic = 0;
		/* At a frame's end another call without input would open the next frame. */
		if (in.pos == len && (result == 0 || room.pos < room.size))
			return CODING_OK;
	}
}

static enum coding_status feed_stage(const struct output *output, const uint8_t *data, size_t len)
{
	struct stage *stage;

	if (len == 0)
		return CODING_OK;
	if (output->next == output->decoder->count) {
		output->sink(output->context, data, len);
		return CODING_OK;
	}
	stage = &output->decoder->stages[output->next];
	if (stage->state == STAGE_TRAILING)
		return CODING_OK;
	switch (stage->coding) {
	case CODING_GZIP:
		return feed_zlib(stage, output, data, len);
	case CODING_DEFLATE:
		return feed_deflate(stage, output, data, len);
	case CODING_BR:
		return feed_br(stage, output, data, len);
	case CODING_ZSTD:
		return feed_zstd(stage, output, data, len);
	}
	return CODING_CORRUPT;
}

enum coding_status decoder_feed(struct decoder *decoder, const uint8_t *data, size_t len,
				coding_sink sink, void *context)
{
	struct output output = {decoder, 0, sink, context};

	decoder->encoded += len;
	return feed_stage(&output, data, len);
}
