// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * TLS 1.3 with an external pre-shared key (RFC 8446, 2.2 and 4.2.11) and always with fresh (EC)DHE
 * shares: both prove the key, and yesterday's traffic stays secret when it leaks. No certificates,
 * tickets or early data.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/rand.h>

#include "lhp_stream.h"

#define SLACK 4096 /* of the bytes to be sent: for what TLS says of itself */

void stream_tls_why(const struct stream *stream, char *why, size_t len)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());
	bool asks = stream->state == STREAM_HANDSHAKE && !stream->listener;

	snprintf(why, len, "%sTLS: %s", asks ? "name or key is refused: " : "",
		 reason ? reason : "failed");
	ERR_clear_error();
}

/* ---- the pre-shared key */

static SSL_SESSION *key_session(SSL *ssl, const uint8_t key[LHP_KEY_BYTES])
{
	static const unsigned char aes_128_gcm_sha256[] = { 0x13, 0x01 };
	const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, aes_128_gcm_sha256);
	SSL_SESSION *session = SSL_SESSION_new();

	if (session && cipher && SSL_SESSION_set1_master_key(session, key, LHP_KEY_BYTES) == 1 &&
	    SSL_SESSION_set_cipher(session, cipher) == 1 &&
	    SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) == 1)
		return session;
	SSL_SESSION_free(session);
	return NULL;
}

static int use_session(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *id_len,
		       SSL_SESSION **session)
{
	struct stream *stream = SSL_get_app_data(ssl);

	*session = NULL;
	if (md && EVP_MD_get_type(md) != NID_sha256)
		return 1; /* none: the handshake fails */
	*session = key_session(ssl, stream->identity.key);
	if (!*session)
		return 0;
	*id = (const unsigned char *)stream->lhp.name;
	*id_len = strlen(stream->lhp.name);
	return 1;
}

/*
 * A name that is not known gets a random key, so that the peer sees the same answer after the same
 * time as for a wrong key.
 */
static int find_session(SSL *ssl, const unsigned char *id, size_t id_len, SSL_SESSION **session)
{
	struct stream *stream = SSL_get_app_data(ssl);
	struct lhp_listener *listener = (struct lhp_listener *)stream->listener;
	struct lhp_identity *identity = &stream->identity;

	*session = NULL;
	memset(identity, 0, sizeof(*identity));
	if (RAND_bytes(identity->key, LHP_KEY_BYTES) != 1 || !listener)
		return 0;
	stream->impostor = !lhp_name_valid((const char *)id, id_len);
	if (!stream->impostor) {
		struct lhp_identity known = { 0 };

		memcpy(known.name, id, id_len);
		stream->impostor = !listener->find(&known, listener->arg);
		if (!stream->impostor)
			memcpy(identity, &known, sizeof(known));
		OPENSSL_cleanse(&known, sizeof(known));
	}
	*session = key_session(ssl, identity->key);
	OPENSSL_cleanse(identity->key, sizeof(identity->key));
	return *session != NULL;
}

void stream_tls_forget_key(struct stream *stream)
{
	static const uint8_t zero[LHP_KEY_BYTES];
	SSL_SESSION *session = stream->ssl ? SSL_get_session(stream->ssl) : NULL;

	OPENSSL_cleanse(&stream->identity, sizeof(stream->identity));
	if (session) /* it is kept for tickets, which there are none of */
		SSL_SESSION_set1_master_key(session, zero, sizeof(zero));
}

/* ---- between TLS and the descriptor */

/* Sealed bytes are collected, so that one send(2) takes several records. */
static int bio_write(BIO *bio, const char *bytes, int len)
{
	struct stream *stream = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (len <= 0 || (size_t)len > STREAM_OUT + SLACK - stream->out_end)
		return -1;
	memcpy(stream->out + stream->out_end, bytes, len);
	stream->out_end += len;
	return len;
}

static int bio_read(BIO *bio, char *bytes, int len)
{
	struct stream *stream = BIO_get_data(bio);
	ssize_t got;

	BIO_clear_retry_flags(bio);
	do
		got = recv(stream->fd, bytes, len, 0);
	while (got < 0 && errno == EINTR);
	stream->drained = got < len;
	if (!got)
		stream->eof = true;
	if (got < 0 && errno == EAGAIN)
		BIO_set_retry_read(bio);
	return got;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
	const struct stream *stream = BIO_get_data(bio);

	(void)number;
	(void)pointer;
	if (command == BIO_CTRL_EOF)
		return stream->eof;
	return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

static BIO *new_bio(struct stream *stream)
{
	static BIO_METHOD *method;
	BIO *bio;

	if (!method) {
		method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "lhp");
		if (!method)
			return NULL;
		BIO_meth_set_write(method, bio_write);
		BIO_meth_set_read(method, bio_read);
		BIO_meth_set_ctrl(method, bio_ctrl);
		BIO_meth_set_create(method, bio_create);
	}
	bio = BIO_new(method);
	if (bio)
		BIO_set_data(bio, stream);
	return bio;
}

/* ---- contexts */

static SSL_CTX *new_context(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_method());

	if (!context)
		return NULL;
	SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
	SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256");
	SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_clear_options(context, SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
	SSL_CTX_set_num_tickets(context, 0);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_psk_use_session_callback(context, use_session);
	SSL_CTX_set_psk_find_session_callback(context, find_session);
	/* Several records by one recv(2). */
	SSL_CTX_set_read_ahead(context, 1);
	SSL_CTX_set_default_read_buffer_len(context, STREAM_OUT);
	return context;
}

SSL *stream_tls_new(struct stream *stream, bool server)
{
	static SSL_CTX *context;
	BIO *bio = NULL;
	SSL *ssl = NULL;

	if (!context)
		context = new_context();
	if (!stream->out)
		stream->out = malloc(STREAM_OUT + SLACK);
	if (context && stream->out)
		ssl = SSL_new(context);
	if (ssl)
		bio = new_bio(stream);
	if (!bio) {
		SSL_free(ssl);
		return NULL;
	}
	SSL_set_bio(ssl, bio, bio);
	SSL_set_app_data(ssl, stream);
	if (server) {
		SSL_set_accept_state(ssl);
		return ssl;
	}
	SSL_set_connect_state(ssl);
	/* A server that comes with a certificate instead of the key: there is none that is good. */
	SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
	return ssl;
}
