# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash disable=SC2154 # variables of aves.sh
#
# Resolvers of several houses, one at a time, in the namespace of lib/aves.sh that is named so. Sourced after aves.sh.
#
#	resolver_start NAME [VARIANT]	unbound, dnsmasq, bind or kresd; variants: `validating` has the keys of $TMP/anchor
#					(lines of `isthmus-dns key show`), `subnet` tells its clients' networks,
#					`uncached` (unbound) keeps nothing of the zone
#	resolver_end
#
# unbound, BIND and kresd begin at a root server, which resolver_root runs beside inet's address; dnsmasq forwards.

ROOT=203.0.113.54
RESOLVER_PID=
RESOLVER_PROGRAM_bind=named

resolver_program() { # NAME
	local program=RESOLVER_PROGRAM_$1
	echo "${!program:-$1}"
}

# A root zone, unsigned, that delegates the zone.
resolver_root() {
	cat >"$TMP/root.zone" <<-ROOT
		\$TTL 3600
		@ SOA root. root. 1 3600 600 86400 5
		@ NS root.
		root. A $ROOT
		$ZONE. NS ns.$ZONE.
		ns.$ZONE. A $DNS
	ROOT
	grep ' A 203.0.113.54$\|^@ NS' "$TMP/root.zone" | sed 's/^@/./' >"$TMP/root.hints"
	spawn inet root.log isthmus-dns run --listen $ROOT:53 --zone ".=$TMP/root.zone" --database "$TMP/root/dns.db" \
		--control "$TMP/root.sock" --rate 0
	wait_for 20 listening inet u 53
}

resolver_start() { # NAME [VARIANT]
	"resolver_conf_$1" "${2:-}" >"$TMP/$1.conf"
	"resolver_run_$1" "${2:-}"
	RESOLVER_PID=$SPAWNED
	wait_for 20 listening resolver u 53
	wait_for 20 listening resolver t 53
	mkdir -p "$TMP/etc"
	echo "nameserver $RESOLVER" >"$TMP/etc/resolv.conf"
}

resolver_end() {
	[ -z "$RESOLVER_PID" ] || end "$RESOLVER_PID"
	RESOLVER_PID=
}

# ---- unbound

resolver_conf_unbound() { # VARIANT
	cat <<-CONF
		server:
		  interface: $RESOLVER
		  access-control: 0.0.0.0/0 allow
		  do-daemonize: no
		  do-ip6: no
		  username: ""
		  chroot: ""
		  directory: "$TMP"
		  pidfile: ""
		  use-syslog: no
		  root-hints: "$TMP/root.hints"
		  num-threads: 1
	CONF
	case $1 in
	validating) printf '  module-config: "validator iterator"\n  trust-anchor-file: "%s"\n' "$TMP/anchor" ;;
	subnet) printf '  module-config: "subnetcache iterator"\n  send-client-subnet: %s\n' "$DNS" ;;
	*) echo '  module-config: "iterator"' ;;
	esac
	[ "$1" != uncached ] || printf 'stub-zone:\n  name: "%s"\n  stub-addr: %s\n  stub-no-cache: yes\n' "$ZONE" "$DNS"
	printf 'remote-control:\n  control-enable: no\n'
}
resolver_run_unbound() { spawn resolver unbound.log unbound -c "$TMP/unbound.conf"; }

# ---- dnsmasq, a forwarder

resolver_conf_dnsmasq() { # VARIANT
	cat <<-CONF
		no-resolv
		no-hosts
		user=root
		pid-file=
		log-facility=-
		bind-interfaces
		listen-address=$RESOLVER
		server=$DNS
	CONF
	[ "$1" != subnet ] || echo add-subnet=32
}
resolver_run_dnsmasq() { spawn resolver dnsmasq.log dnsmasq -k -C "$TMP/dnsmasq.conf"; }

# ---- BIND 9

resolver_conf_bind() { # VARIANT
	cat <<-CONF
		options {
			directory "$TMP";
			pid-file none;
			session-keyfile none;
			lock-file none;
			listen-on { $RESOLVER; };
			listen-on-v6 { none; };
			allow-query { any; };
			allow-recursion { any; };
			dnssec-validation $([ "$1" = validating ] && echo yes || echo no);
		};
		controls { };
		zone "." { type hint; file "$TMP/root.hints"; };
	CONF
	[ "$1" != validating ] || awk '
		$4 == "DNSKEY" { printf "trust-anchors { %s static-key %s %s %s \"%s\"; };\n", $1, $5, $6, $7, $8 }' "$TMP/anchor"
}
resolver_run_bind() { spawn resolver bind.log named -f -g -4 -n 1 -c "$TMP/bind.conf"; }

# ---- Knot Resolver

resolver_conf_kresd() { # VARIANT
	rm -rf "$TMP/kresd.cache"
	cat <<-CONF
		net.ipv6 = false
		net.listen('$RESOLVER', 53, { kind = 'dns' })
		cache.open(10 * MB, 'lmdb://$TMP/kresd.cache')
		modules = { 'hints > iterate' }
		modules.unload('priming')
		modules.unload('ta_update')
		modules.unload('ta_signal_query')
		hints.root({ ['root.'] = '$ROOT' })
		trust_anchors.remove('.')
		cache.min_ttl($([ "$1" = keeping ] && echo 5 || echo 0))
	CONF
	[ "$1" != validating ] || awk '$4 == "DNSKEY" { printf "trust_anchors.add([[%s]])\n", $0 }' "$TMP/anchor"
}
resolver_run_kresd() {
	mkdir -p "$TMP/kresd"
	spawn resolver kresd.log kresd -n -q -c "$TMP/kresd.conf" "$TMP/kresd"
}
