// SPDX-License-Identifier: GPL-3.0-or-later
#include <arpa/nameser.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libknot/descriptor.h>
#include <libknot/dname.h>
#include <libknot/errcode.h>
#include <libknot/rrtype/opt.h>
#include <libknot/rrtype/rdname.h>
#include <libknot/rrtype/soa.h>
#include <libzscanner/scanner.h>

#include "wire_internal.h"

#define ZONE_TTL_DEFAULT 3600
#define COMPACT_OK	 0x4000 /* RFC 9824, 5.1, among EDNS flags */
#define COOKIE_VALID_S	 3600	/* RFC 9018, 4.3 */
#define COOKIE_FRESH_S	 1800
#define COOKIE_AHEAD_S	 300

_Static_assert(WIRE_NAME_MAX == KNOT_DNAME_MAXLEN, "length of names");
_Static_assert(WIRE_NAME_TEXT == KNOT_DNAME_TXT_MAXLEN + 1, "length of names as text");
_Static_assert(WIRE_LABELS_MAX == KNOT_DNAME_MAXLABELS, "labels of names");
_Static_assert(WIRE_SECRET_LEN == KNOT_EDNS_COOKIE_SECRET_SIZE, "length of cookie secrets");
_Static_assert(WIRE_ADDRESS_LEN == KNOT_EDNS_CLIENT_SUBNET_ADDRESS_MAXLEN, "length of addresses");

/* ---- names */

int wire_name_read(const char *text, uint8_t name[WIRE_NAME_MAX])
{
	uint8_t read[WIRE_NAME_MAX];

	if (!*text || !knot_dname_from_str(read, text, sizeof(read)))
		return -EINVAL;
	memcpy(name, read, knot_dname_size(read));
	return 0;
}

void wire_name_text(const uint8_t *name, char text[WIRE_NAME_TEXT])
{
	if (!knot_dname_to_str(text, name, WIRE_NAME_TEXT))
		text[0] = 0;
}

void wire_name_lower(const uint8_t *name, uint8_t lower[WIRE_NAME_MAX])
{
	knot_dname_copy_lower(lower, name);
}

size_t wire_name_len(const uint8_t *name)
{
	return knot_dname_size(name);
}

unsigned int wire_name_labels(const uint8_t *name, const uint8_t *label[WIRE_LABELS_MAX])
{
	unsigned int count = 0;

	for (; *name && count < WIRE_LABELS_MAX; name = knot_wire_next_label(name, NULL))
		label[count++] = name;
	return count;
}

bool wire_name_equal(const uint8_t *a, const uint8_t *b)
{
	return knot_dname_is_case_equal(a, b);
}

int wire_name_below(const uint8_t *name, const uint8_t *above)
{
	int labels = knot_dname_in_bailiwick(name, above);

	return labels < 0 ? -1 : labels;
}

/* ---- zone files */

struct reading {
	wire_each each;
	void *arg;
	const char *why;
	uint64_t line;
};

static void read_record(zs_scanner_t *scanner)
{
	struct reading *reading = scanner->process.data;
	const struct wire_record record = {
		.owner = scanner->r_owner,
		.type = scanner->r_type,
		.ttl = scanner->r_ttl,
		.data = scanner->r_data,
		.len = scanner->r_data_length,
	};

	if (scanner->r_class != KNOT_CLASS_IN)
		reading->why = "only class IN is served";
	else
		reading->why = reading->each(&record, reading->arg);
	reading->line = scanner->line_counter;
	if (reading->why)
		scanner->state = ZS_STATE_STOP;
}

static void read_wrong(zs_scanner_t *scanner)
{
	struct reading *reading = scanner->process.data;

	reading->why = zs_strerror(scanner->error.code);
	reading->line = scanner->line_counter;
	scanner->state = ZS_STATE_STOP;
}

/* path or text. The scanner of an included file reports to the same `reading`. */
static void scan(const char *path, const char *text, const char *origin, struct reading *reading)
{
	zs_scanner_t *scanner = malloc(sizeof(*scanner)); /* some 200 kB */
	int rc;

	if (!scanner || zs_init(scanner, origin, KNOT_CLASS_IN, ZONE_TTL_DEFAULT)) {
		free(scanner);
		reading->why = scanner ? "the name of the zone is none" : "out of memory";
		return;
	}
	rc = path ? zs_set_input_file(scanner, path)
		  : zs_set_input_string(scanner, text, strlen(text));
	if (!rc)
		rc = zs_set_processing(scanner, read_record, read_wrong, reading);
	if (!rc)
		rc = zs_parse_all(scanner);
	if (rc && !reading->why) {
		reading->why = zs_strerror(scanner->error.code);
		reading->line = scanner->line_counter;
	}
	zs_deinit(scanner);
	free(scanner);
}

int wire_read_zone(const char *path, const char *origin, wire_each each, void *arg, char *error,
		   size_t error_len)
{
	struct reading reading = { .each = each, .arg = arg };
	int rc = 0, fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		rc = -errno;
		snprintf(error, error_len, "%s: %s", path, strerror(errno));
		return rc;
	}
	close(fd);
	scan(path, NULL, origin, &reading);
	if (!reading.why)
		return 0;
	snprintf(error, error_len, "%s:%llu: %s", path, (unsigned long long)reading.line,
		 reading.why);
	return -EINVAL;
}

const char *wire_read_record(const char *line, wire_each each, void *arg)
{
	struct reading reading = { .each = each, .arg = arg };

	scan(NULL, line, ".", &reading);
	return reading.why;
}

/* ---- sets of records */

struct wire_set *wire_set_new(uint16_t type)
{
	struct wire_set *set = calloc(1, sizeof(*set));

	if (set)
		set->type = type;
	return set;
}

struct wire_set *wire_set_copy(const struct wire_set *set)
{
	struct wire_set *copy = wire_set_new(set->type);

	if (copy && knot_rdataset_copy(&copy->data, &set->data, NULL) != KNOT_EOK) {
		free(copy);
		return NULL;
	}
	return copy;
}

void wire_set_free(struct wire_set *set)
{
	if (!set)
		return;
	knot_rdataset_clear(&set->data, NULL);
	free(set);
}

int wire_set_add(struct wire_set *set, const uint8_t *data, uint16_t len)
{
	knot_rrset_t view;
	int rc;

	knot_rrset_init(&view, NULL, set->type, KNOT_CLASS_IN, 0);
	view.rrs = set->data;
	rc = knot_rrset_add_rdata(&view, data, len, NULL);
	set->data = view.rrs;
	return rc == KNOT_EOK ? 0 : -ENOMEM;
}

uint16_t wire_set_type(const struct wire_set *set)
{
	return set->type;
}

unsigned int wire_set_count(const struct wire_set *set)
{
	return set->data.count;
}

size_t wire_set_size(const struct wire_set *set)
{
	return set->data.size;
}

const uint8_t *wire_set_target(const struct wire_set *set, unsigned int index)
{
	switch (set->type) {
	case KNOT_RRTYPE_NS:
	case KNOT_RRTYPE_CNAME:
	case KNOT_RRTYPE_PTR:
	case KNOT_RRTYPE_MX:
	case KNOT_RRTYPE_SRV:
		return knot_rdata_name(knot_rdataset_at(&set->data, index), set->type);
	}
	return NULL;
}

uint32_t wire_soa_minimum(const struct wire_set *soa)
{
	return knot_soa_minimum(soa->data.rdata);
}

uint32_t wire_soa_serial(const struct wire_set *soa)
{
	return knot_soa_serial(soa->data.rdata);
}

/* ---- the query */

/* Memory of one message: nothing is freed, all of it is given back by the next one. */
static void *arena_alloc(void *arg, size_t size)
{
	struct wire *wire = arg;
	size_t need = (size + 15) & ~(size_t)15;
	void *memory;

	if (need < size || need > sizeof(wire->arena) - wire->used)
		return NULL;
	memory = wire->arena + wire->used;
	wire->used += need;
	return memory;
}

static void arena_free(void *memory)
{
	(void)memory;
}

knot_mm_t wire_arena(struct wire *wire)
{
	return (knot_mm_t){ .ctx = wire, .alloc = arena_alloc, .free = arena_free };
}

struct wire *wire_new(void)
{
	return calloc(1, sizeof(struct wire));
}

void wire_free(struct wire *wire)
{
	free(wire);
}

const struct wire_query *wire_query(const struct wire *wire)
{
	return &wire->query;
}

bool wire_has_cookie(const struct wire *wire)
{
	return wire->client_cookie.len;
}

static bool read_cookie(struct wire *wire)
{
	uint8_t *option = knot_pkt_edns_option(wire->in, KNOT_EDNS_OPTION_COOKIE);

	return !option || knot_edns_cookie_parse(&wire->client_cookie, &wire->server_cookie,
						 knot_edns_opt_get_data(option),
						 knot_edns_opt_get_length(option)) == KNOT_EOK;
}

/* RFC 7871, 6 and 7.1.2: no scope in questions, no more bytes and no more bits than the prefix has.
 */
static bool read_subnet(struct wire *wire)
{
	uint8_t *option = knot_pkt_edns_option(wire->in, KNOT_EDNS_OPTION_CLIENT_SUBNET);
	struct wire_subnet *subnet = &wire->query.subnet;
	uint8_t again[4 + WIRE_ADDRESS_LEN], *data;
	knot_edns_client_subnet_t read;
	uint16_t len;

	if (!option)
		return true;
	data = knot_edns_opt_get_data(option);
	len = knot_edns_opt_get_length(option);
	if (knot_edns_client_subnet_parse(&read, data, len) != KNOT_EOK || read.scope_len ||
	    len != knot_edns_client_subnet_size(&read) || len > sizeof(again) ||
	    knot_edns_client_subnet_write(again, len, &read) != KNOT_EOK ||
	    memcmp(again, data, len))
		return false;
	subnet->family = read.family;
	subnet->source_len = read.source_len;
	memcpy(subnet->address, read.address, (read.source_len + 7) / 8);
	return true;
}

static bool read_edns(struct wire *wire)
{
	struct wire_query *query = &wire->query;

	query->udp_size = WIRE_UDP_MIN;
	if (!knot_pkt_has_edns(wire->in))
		return true;
	query->has_edns = true;
	query->dnssec_ok = knot_edns_do(wire->in->opt_rr);
	query->compact_ok = query->dnssec_ok && (wire->in->opt_rr->ttl & COMPACT_OK);
	query->edns_version = knot_edns_get_version(wire->in->opt_rr);
	if (knot_edns_get_payload(wire->in->opt_rr) > WIRE_UDP_MIN)
		query->udp_size = knot_edns_get_payload(wire->in->opt_rr);
	if (query->edns_version) /* its options may be others */
		return true;
	return read_cookie(wire) && read_subnet(wire);
}

static void read_question(struct wire *wire)
{
	struct wire_query *query = &wire->query;

	query->has_question = knot_pkt_qname(wire->in) != NULL;
	if (!query->has_question)
		return;
	memcpy(query->name, knot_pkt_qname(wire->in), wire->in->qname_size);
	query->type = knot_pkt_qtype(wire->in);
	query->class = knot_pkt_qclass(wire->in);
}

enum wire_verdict wire_parse(struct wire *wire, const uint8_t *bytes, size_t len)
{
	knot_mm_t mm = wire_arena(wire);
	int rc;

	wire->used = 0;
	wire->in = wire->out = NULL;
	wire->scope = 0;
	wire->client_cookie.len = wire->server_cookie.len = wire->answer_cookie.len = 0;
	memset(&wire->query, 0, sizeof(wire->query));
	if (len < KNOT_WIRE_HEADER_SIZE || len > sizeof(wire->bytes))
		return WIRE_DROP;
	memcpy(wire->bytes, bytes, len); /* parsing may change them */
	if (knot_wire_get_qr(wire->bytes))
		return WIRE_DROP;
	wire->in_id = knot_wire_get_id(wire->bytes);
	wire->in = knot_pkt_new(wire->bytes, len, &mm);
	if (!wire->in)
		return WIRE_DROP;
	rc = knot_pkt_parse(wire->in, KNOT_PF_NOCANON);
	read_question(wire);
	if (knot_wire_get_opcode(wire->bytes) != KNOT_OPCODE_QUERY)
		return WIRE_OPCODE;
	wire->query.has_tsig = knot_pkt_has_tsig(wire->in);
	if (rc != KNOT_EOK || !read_edns(wire))
		return WIRE_MALFORMED;
	return WIRE_QUERY;
}

/* ---- cookies */

static bool cookie_is_good(const struct wire *wire, const knot_edns_cookie_params_t *params)
{
	return knot_edns_cookie_server_check(&wire->server_cookie, &wire->client_cookie, params) ==
	       KNOT_EOK;
}

enum wire_cookie wire_check_cookie(struct wire *wire, const uint8_t secret[2][WIRE_SECRET_LEN],
				   const struct sockaddr *client, uint32_t now)
{
	knot_edns_cookie_params_t params = {
		.version = KNOT_EDNS_COOKIE_VERSION,
		.timestamp = now,
		.lifetime_before = COOKIE_FRESH_S,
		.lifetime_after = COOKIE_AHEAD_S,
		.client_addr = (const struct sockaddr_storage *)client,
	};
	enum wire_cookie verdict = WIRE_COOKIE_CLIENT;

	if (!wire->client_cookie.len)
		return WIRE_COOKIE_NONE;
	memcpy(params.secret, secret[0], WIRE_SECRET_LEN);
	if (wire->server_cookie.len) {
		if (cookie_is_good(wire, &params)) {
			wire->answer_cookie = wire->server_cookie;
			return WIRE_COOKIE_VALID;
		}
		params.lifetime_before = COOKIE_VALID_S;
		verdict = cookie_is_good(wire, &params) ? WIRE_COOKIE_VALID : WIRE_COOKIE_BAD;
		memcpy(params.secret, secret[1], WIRE_SECRET_LEN);
		if (verdict == WIRE_COOKIE_BAD && cookie_is_good(wire, &params))
			verdict = WIRE_COOKIE_VALID;
		memcpy(params.secret, secret[0], WIRE_SECRET_LEN);
	}
	if (knot_edns_cookie_server_generate(&wire->answer_cookie, &wire->client_cookie, &params) !=
	    KNOT_EOK)
		wire->answer_cookie.len = 0;
	return verdict;
}

/* ---- the answer */

static int add_cookie(struct wire *wire, knot_mm_t *mm)
{
	uint16_t size = knot_edns_cookie_size(&wire->client_cookie, &wire->answer_cookie);
	uint8_t *place;

	if (!wire->answer_cookie.len)
		return KNOT_EOK;
	if (knot_edns_reserve_option(&wire->opt, KNOT_EDNS_OPTION_COOKIE, size, &place, mm))
		return KNOT_ENOMEM;
	return knot_edns_cookie_write(place, size, &wire->client_cookie, &wire->answer_cookie);
}

/* What the client said; scope 0: the answer is the same for all (RFC 7871, 7.2.1). */
static int add_subnet(struct wire *wire, knot_mm_t *mm)
{
	knot_edns_client_subnet_t subnet = { .family = wire->query.subnet.family,
					     .source_len = wire->query.subnet.source_len,
					     .scope_len = wire->scope };
	uint16_t size;
	uint8_t *place;

	if (!subnet.family)
		return KNOT_EOK;
	memcpy(subnet.address, wire->query.subnet.address, sizeof(subnet.address));
	size = knot_edns_client_subnet_size(&subnet);
	if (knot_edns_reserve_option(&wire->opt, KNOT_EDNS_OPTION_CLIENT_SUBNET, size, &place, mm))
		return KNOT_ENOMEM;
	return knot_edns_client_subnet_write(place, size, &subnet);
}

void wire_set_scope(struct wire *wire, uint8_t bits)
{
	wire->scope = bits < wire->query.subnet.source_len ? bits : wire->query.subnet.source_len;
}

static int make_opt(struct wire *wire, uint16_t udp_size)
{
	knot_mm_t mm = wire_arena(wire);
	int rc = knot_edns_init(&wire->opt, udp_size, 0, KNOT_EDNS_VERSION, &mm);

	if (rc == KNOT_EOK && wire->query.dnssec_ok) /* RFC 3225, 3 */
		knot_edns_set_do(&wire->opt);
	if (rc == KNOT_EOK && wire->query.compact_ok)
		wire->opt.ttl |= COMPACT_OK;
	if (rc == KNOT_EOK)
		rc = add_cookie(wire, &mm);
	if (rc == KNOT_EOK)
		rc = add_subnet(wire, &mm);
	wire->reserved = rc == KNOT_EOK ? knot_edns_wire_size(&wire->opt) : 0;
	return rc;
}

static int begin_answer(struct wire *wire)
{
	if (knot_pkt_init_response(wire->out, wire->in) != KNOT_EOK)
		return -ENOBUFS;
	/* Of a question that could not be read nothing was copied. */
	knot_wire_set_qdcount(wire->out->wire, wire->query.has_question);
	knot_wire_clear_cd(wire->out->wire);
	knot_wire_clear_z(wire->out->wire);
	knot_wire_set_rcode(wire->out->wire, KNOT_RCODE_NOERROR);
	if (wire->authoritative)
		knot_wire_set_aa(wire->out->wire);
	if (wire->reserved && knot_pkt_reserve(wire->out, wire->reserved) != KNOT_EOK)
		return -ENOBUFS;
	knot_pkt_begin(wire->out, KNOT_ANSWER);
	return 0;
}

int wire_begin(struct wire *wire, size_t size, uint16_t udp_size)
{
	knot_mm_t mm = wire_arena(wire);

	wire->reserved = 0;
	wire->rcode = KNOT_RCODE_NOERROR;
	wire->authoritative = false;
	wire->out = knot_pkt_new(NULL, size, &mm);
	if (!wire->out || (wire->query.has_edns && make_opt(wire, udp_size) != KNOT_EOK))
		return -ENOBUFS;
	return begin_answer(wire);
}

void wire_set_rcode(struct wire *wire, unsigned int rcode)
{
	wire->rcode = rcode;
}

void wire_set_authoritative(struct wire *wire)
{
	wire->authoritative = true;
	knot_wire_set_aa(wire->out->wire);
}

/* The name of the question is written as a pointer to it, so the client sees its own spelling. */
static uint16_t compression_of(const struct wire *wire, const uint8_t *owner)
{
	bool same = wire->query.has_question && knot_dname_is_equal(owner, wire->query.name);

	return same ? KNOT_COMPR_HINT_QNAME : KNOT_COMPR_HINT_NONE;
}

int wire_put(struct wire *wire, ns_sect section, const uint8_t *owner, const struct wire_set *set,
	     uint32_t ttl, bool optional)
{
	knot_section_t to = section == ns_s_an	 ? KNOT_ANSWER
			    : section == ns_s_ns ? KNOT_AUTHORITY
						 : KNOT_ADDITIONAL;
	uint16_t before = wire->out->rrset_count, rotate;
	knot_rrset_t rr;
	int rc;

	knot_rrset_init(&rr, (knot_dname_t *)owner, set->type, KNOT_CLASS_IN, ttl);
	rr.rrs = set->data;
	if (to > wire->out->current)
		knot_pkt_begin(wire->out, to);
	/* Who takes the first address only gets another one with each question. */
	rotate = set->data.count > 1 ? wire->in_id % set->data.count : 0;
	rc = knot_pkt_put_rotate(wire->out, compression_of(wire, owner), &rr, rotate,
				 KNOT_PF_CHECKDUP | (optional ? KNOT_PF_NOTRUNC : 0));
	if (rc != KNOT_EOK)
		return -ENOSPC;
	return wire->out->rrset_count == before ? -EEXIST : 0;
}

int wire_clear(struct wire *wire)
{
	return begin_answer(wire);
}

void wire_truncate(struct wire *wire)
{
	if (wire_clear(wire) == 0)
		knot_wire_set_tc(wire->out->wire);
}

bool wire_is_truncated(const struct wire *wire)
{
	return knot_wire_get_tc(wire->out->wire);
}

static int put_opt(struct wire *wire)
{
	knot_edns_set_ext_rcode(&wire->opt, KNOT_EDNS_RCODE_HI(wire->rcode));
	if (knot_pkt_reclaim(wire->out, wire->reserved) != KNOT_EOK)
		return -ENOBUFS;
	if (wire->out->current < KNOT_ADDITIONAL)
		knot_pkt_begin(wire->out, KNOT_ADDITIONAL);
	return knot_pkt_put(wire->out, KNOT_COMPR_HINT_NONE, &wire->opt, 0) == KNOT_EOK ? 0
											: -ENOBUFS;
}

size_t wire_end(struct wire *wire, const uint8_t **bytes)
{
	if (wire->reserved && put_opt(wire))
		return 0;
	knot_wire_set_rcode(wire->out->wire, KNOT_EDNS_RCODE_LO(wire->rcode));
	*bytes = wire->out->wire;
	return wire->out->size;
}
