/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of one connection that wait for the end of their response, and which response belongs
 * to which request.
 *
 * Without loss the order of messages decides. After a gap, a fault or a join in the middle of a
 * connection the times decide as well: a response belongs to the last request that began before
 * it, unless requests were pipelined; then nothing is certain and the exchanges end as lost.
 * The bytes of a request may still wait behind a hole when its response is read. So a response
 * that follows a loss is paired for the time being: the exchange is closed when the next request
 * shows that it was right, or when no hole can be that old any more.
 * Both streams at a message boundary with nothing outstanding make the order certain again.
 */
#ifndef HERON_EXCHANGE_H
#define HERON_EXCHANGE_H

#include "http1.h"
#include "message.h"

/* ExchangeEnd in heron_otel/records/http.py */
enum exchange_end {
	END_COMPLETE,
	END_RESPONSE_CUT,
	END_RESET,
	END_NO_RESPONSE,
	END_IDLE,
	END_LOST,
	END_OF_INPUT,
	END_LIMIT,
	END_PROTOCOL,
	END_UPGRADED,
};

/* EndedBy in heron_otel/records/http.py */
enum ended_by {
	BY_NOBODY,
	BY_CLIENT,
	BY_SERVER,
};

struct exchange {
	struct exchange *next;
	struct message *request;  /* NULL: no memory for it; keeps its place, makes no record */
	struct message *response; /* NULL: not begun */
	uint64_t started_at_ns;	  /* of the request */
	uint64_t ended_at_ns;	  /* of the request; 0: not complete */
	uint32_t index;
	uint32_t request_seq;
	enum exchange_end end; /* what its record will say; END_COMPLETE until something happens */
	bool request_done;
	bool announced;
	bool response_lost; /* the head of its response lies in a gap, or cannot be told */
	bool after_loss;    /* requests between this one and the one before may be missing */
	bool unsure;	    /* the response may belong to a later request that is not here yet */
	bool is_head;
	bool is_connect;
	bool until_close; /* the end of the connection was the end of the response */
};

struct exchanges {
	struct core_shared *shared;
	struct connection_identity identity;
	int client; /* endpoint; -1 while unknown */
	int closer; /* endpoint that sent the first FIN or RST; -1: none did */
	bool certain;
	bool pipelines; /* this client does not wait for responses */
	uint32_t next_index;
	uint32_t open;
	struct exchange *first, *last;
	struct message *first_orphan, *last_orphan; /* responses that wait for their request */
	uint32_t orphans;
};

/* Appends; NULL when out of memory. */
struct exchange *exchanges_request(struct exchanges *exchanges, struct message *request,
				   const struct http1_head *head, uint64_t started_at_ns,
				   uint32_t seq);
/*
 * The exchange whose response begins at @started_at_ns; NULL: not known (yet). *@doubtful: more
 * than one could be meant, all of which have ended as lost.
 */
struct exchange *exchanges_match(struct exchanges *exchanges, uint64_t started_at_ns,
				 bool *doubtful);
void exchanges_pair(struct exchanges *exchanges, struct exchange *exchange,
		    struct message *response);
/* Keeps a response until its request comes. */
void exchanges_add_orphan(struct exchanges *exchanges, struct message *response);
/* Takes the oldest of them out of the list; there is one. */
struct message *exchanges_take_orphan(struct exchanges *exchanges);
/* Pairs @exchange with the response that waits for it, if there is one. */
void exchanges_claim_orphan(struct exchanges *exchanges, struct exchange *exchange);
/* Takes the response away again; it waits for its request before all others. */
void exchanges_unpair(struct exchanges *exchanges, struct exchange *exchange);
/* Whether a later request could still show that the exchange does not have its own response. */
static inline bool exchange_unconfirmed(const struct exchange *exchange)
{
	return !exchange->next && exchange->response &&
	       (exchange->unsure || exchange->response->guessed);
}

/* Gives up the oldest response that waits. */
void exchanges_drop_orphan(struct exchanges *exchanges);
/* The oldest exchange that can still get a response, or NULL. */
struct exchange *exchanges_waiting(const struct exchanges *exchanges);
/* What the end of a connection means for what was open on it. */
enum exchange_end exchange_end_of(enum stream_end why);
/* Writes the record and frees the exchange and its messages. */
void exchanges_close(struct exchanges *exchanges, struct exchange *exchange, enum exchange_end end);
/* Writes HttpExchangeStarted for those that are open since announce_after_ns. */
void exchanges_announce(struct exchanges *exchanges);
/* Event time from which on exchanges_announce() has something to write; UINT64_MAX: nothing. */
uint64_t exchanges_announce_ns(const struct exchanges *exchanges);
/* Writes the nine members that name an exchange in every record. */
void exchanges_write_identity(const struct exchanges *exchanges, uint32_t index,
			      uint32_t request_seq);
/* Frees everything without records. */
void exchanges_free(struct exchanges *exchanges);

#endif
