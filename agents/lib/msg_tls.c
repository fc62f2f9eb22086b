// SPDX-License-Identifier: GPL-3.0-or-later
/* TLS 1.3 contexts, the pinned certificate, and how a broker makes its own. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "msg_internal.h"

#define CERTIFICATE_DAYS 3652

void msg_tls_error(char *error, size_t error_len, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	snprintf(error, error_len, "%s: %s", what, reason ? reason : "TLS failed");
	ERR_clear_error();
}

SSL_CTX *msg_server_context(const char *cert_file, const char *key_file, char *error,
			    size_t error_len)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());

	if (!context) {
		msg_tls_error(error, error_len, "TLS");
		return NULL;
	}
	SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
	SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF); /* lines tell their end */
	SSL_CTX_set_num_tickets(context, 0);			    /* a login is needed anyway */
	if (SSL_CTX_use_certificate_chain_file(context, cert_file) != 1)
		msg_tls_error(error, error_len, cert_file);
	else if (SSL_CTX_use_PrivateKey_file(context, key_file, SSL_FILETYPE_PEM) != 1 ||
		 SSL_CTX_check_private_key(context) != 1)
		msg_tls_error(error, error_len, key_file);
	else
		return context;
	SSL_CTX_free(context);
	return NULL;
}

/* In place of a chain's verification: the certificate itself is the one that was pinned. */
static int verify_fingerprint(X509_STORE_CTX *store, void *arg)
{
	const struct msg_conn *conn = arg;
	X509 *certificate = X509_STORE_CTX_get0_cert(store);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int len = 0;

	if (certificate && X509_digest(certificate, EVP_sha256(), digest, &len) == 1 &&
	    len == sizeof(conn->fingerprint) && !memcmp(digest, conn->fingerprint, len))
		return 1;
	X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_UNTRUSTED);
	return 0;
}

static int parse_fingerprint(const char *text, unsigned char bytes[32])
{
	if (strlen(text) != MSG_FINGERPRINT_LEN - 1 ||
	    strspn(text, "0123456789abcdef") != MSG_FINGERPRINT_LEN - 1)
		return -EINVAL;
	for (int i = 0; i < 32; i++) {
		unsigned int byte;

		sscanf(text + 2 * i, "%2x", &byte);
		bytes[i] = byte;
	}
	return 0;
}

SSL_CTX *msg_client_context(struct msg_conn *conn, const char *fingerprint, char *error,
			    size_t error_len)
{
	SSL_CTX *context;

	if (fingerprint && parse_fingerprint(fingerprint, conn->fingerprint)) {
		snprintf(error, error_len, "a fingerprint is 64 lower-case hex digits");
		return NULL;
	}
	context = SSL_CTX_new(TLS_client_method());
	if (!context) {
		msg_tls_error(error, error_len, "TLS");
		return NULL;
	}
	SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
	SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	if (fingerprint)
		SSL_CTX_set_cert_verify_callback(context, verify_fingerprint, conn);
	else
		SSL_CTX_set_default_verify_paths(context);
	return context;
}

/* ---- certificates */

static int add_extension(X509 *certificate, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;
	int ok;

	X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	ok = extension && X509_add_ext(certificate, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return ok ? 0 : -EINVAL;
}

static int name_certificate(X509 *certificate, const char *name)
{
	X509_NAME *subject = X509_get_subject_name(certificate);
	unsigned char address[16];
	char alternative[300];
	bool is_address =
		inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;

	snprintf(alternative, sizeof(alternative), "%s:%s", is_address ? "IP" : "DNS", name);
	if (X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name,
				       -1, -1, 0) != 1 ||
	    X509_set_issuer_name(certificate, subject) != 1)
		return -EINVAL;
	return add_extension(certificate, NID_subject_alt_name, alternative) ||
			       add_extension(certificate, NID_basic_constraints,
					     "critical,CA:FALSE")
		       ? -EINVAL
		       : 0;
}

static X509 *make_x509(EVP_PKEY *key, const char *name)
{
	X509 *certificate = X509_new();
	uint64_t serial = 0;

	if (!certificate)
		return NULL;
	RAND_bytes((unsigned char *)&serial, sizeof(serial));
	ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial >> 1 | 1);
	X509_set_version(certificate, X509_VERSION_3);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
	X509_time_adj_ex(X509_getm_notAfter(certificate), CERTIFICATE_DAYS, 0, NULL);
	if (X509_set_pubkey(certificate, key) != 1 || name_certificate(certificate, name) ||
	    !X509_sign(certificate, key, EVP_sha256())) {
		X509_free(certificate);
		return NULL;
	}
	return certificate;
}

/* Written beside and renamed, so that a crash leaves no half file. */
static int write_pem(const char *path, mode_t mode, EVP_PKEY *key, X509 *certificate)
{
	char temporary[4096];
	FILE *file;
	int fd, ok;

	if (snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int)sizeof(temporary))
		return -ENAMETOOLONG;
	unlink(temporary);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	file = fdopen(fd, "w");
	if (!file) {
		close(fd);
		return -ENOMEM;
	}
	ok = certificate ? PEM_write_X509(file, certificate)
			 : PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
	ok = !fclose(file) && ok == 1;
	if (ok && !rename(temporary, path))
		return 0;
	unlink(temporary);
	return -EIO;
}

int msg_make_certificate(const char *cert_file, const char *key_file, const char *name)
{
	X509 *certificate = NULL;
	EVP_PKEY *key;
	int rc = -EIO;

	if (!access(cert_file, F_OK) && !access(key_file, F_OK))
		return 0;
	if (!access(cert_file, F_OK) || !access(key_file, F_OK))
		return -EEXIST; /* one without the other: an operator's mistake, not ours to mend */
	key = EVP_EC_gen("P-256");
	if (key)
		certificate = make_x509(key, name);
	if (certificate)
		rc = write_pem(key_file, 0600, key, NULL);
	if (!rc) {
		rc = write_pem(cert_file, 0644, NULL, certificate);
		if (rc)
			unlink(key_file);
	}
	X509_free(certificate);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return rc;
}

int msg_certificate_fingerprint(const char *cert_file, char fingerprint[MSG_FINGERPRINT_LEN])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int len = 0;
	FILE *file = fopen(cert_file, "re");
	X509 *certificate;
	int rc;

	if (!file)
		return -errno;
	certificate = PEM_read_X509(file, NULL, NULL, NULL);
	fclose(file);
	rc = certificate && X509_digest(certificate, EVP_sha256(), digest, &len) == 1 ? 0 : -EINVAL;
	if (!rc)
		for (unsigned int i = 0; i < 32; i++)
			snprintf(fingerprint + 2 * i, 3, "%02x", digest[i]);
	X509_free(certificate);
	ERR_clear_error();
	return rc;
}
