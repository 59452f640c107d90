/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of struct websocket: one direction, from frames to messages. */
#ifndef HERON_WEBSOCKET_STREAM_H
#define HERON_WEBSOCKET_STREAM_H

#include <zlib.h>

#include "memory.h"
#include "sse_run.h"
#include "websocket.h"

#define FRAME_HEADER_BYTES 14 /* RFC 6455, section 5.2: two bytes, length, mask */

enum message_fate {
	FATE_OPEN, /* nothing of it read yet */
	FATE_KEEP,
	FATE_SIZE, /* binary data that is no JSON */
	FATE_LOST, /* not whole, and counted */
};

struct websocket_message {
	bool begun; /* its last frame is still to end */
	bool text;
	bool compressed;
	enum message_fate fate;
	uint64_t started_at_ns; /* first byte of its first frame */
	uint64_t decoded_bytes;
	struct bytes data;
};

struct websocket_stream {
	struct websocket *websocket;
	struct core_shared *shared;
	bool server;
	bool deflate;
	bool fresh; /* no context takeover */
	/* frames: websocket_frames.c */
	uint8_t header[FRAME_HEADER_BYTES];
	uint8_t header_size;
	bool in_payload;
	bool final;
	uint8_t opcode;
	uint8_t mask[4];
	uint32_t mask_at;
	uint64_t remaining; /* payload of the frame */
	uint64_t frame_at_ns;
	bool seeking;
	struct bytes sought; /* what is searched */
	size_t sought_at;    /* where the next frame may begin */
	/* messages: websocket_message.c */
	struct websocket_message message;
	z_stream zlib;
	bool zlib_open;
	bool zlib_lost;		/* messages that are compressed cannot be read any more */
	uint8_t close_bytes[2]; /* of a Close frame */
	uint8_t close_size;
	uint64_t closed_at_ns; /* its first Close frame; 0: none */
	/* what is missing in front of the next message */
	uint64_t lost_bytes;
	uint32_t lost_flags; /* enum body_flag */
};

/* websocket_frames.c */
void websocket_stream_feed(struct websocket_stream *stream, uint64_t at_ns, const uint8_t *data,
			   size_t len);
void websocket_stream_gap(struct websocket_stream *stream, uint64_t missing);
/* Nothing more comes: what was searched and not found counts as missing. */
void websocket_stream_end(struct websocket_stream *stream);
void websocket_stream_free(struct websocket_stream *stream);

/* websocket_message.c */

/* The first frame of a message begins. */
void websocket_message_begin(struct websocket_stream *stream, bool text, bool compressed);
void websocket_message_part(struct websocket_stream *stream, const uint8_t *data, size_t len);
/* Its last frame is over. */
void websocket_message_end(struct websocket_stream *stream, uint64_t at_ns);
/* Bytes of it are missing. */
void websocket_message_gap(struct websocket_stream *stream);
/* Whole messages may be missing, and the rest of the present one. */
void websocket_message_abandon(struct websocket_stream *stream);
void websocket_message_free(struct websocket_stream *stream);

/* websocket.c */

/* A whole message. */
void websocket_take(struct websocket_stream *stream, uint64_t at_ns, const uint8_t *data,
		    size_t len);
/* @bytes, or a message for the reason in @flags, are missing here. */
void websocket_lose(struct websocket_stream *stream, uint64_t bytes, uint32_t flags);

#endif
