#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# What isthmus-dns signs is believed by resolvers that check it, and nothing else is.
#
#                     unbound, which has
#   client            the zone's key     another key        isthmus-dns
#   192.0.2.20        192.0.2.10         192.0.2.11         192.0.2.53
#       |                 |                  |                  |
#       +-----------------+------- lan ------+------------------+
. "${0%/*}/lib/net.sh"

need unbound dig delv setpriv jq python3

DNS_PID='' GOOD_PID=''

lan_start() {
	local host
	net_ns lan
	in_ns lan ip link add br0 type bridge
	in_ns lan ip link set br0 up
	for host in client=20 good=10 wrong=11 dns=53; do
		net_ns "${host%=*}"
		ip link add eth0 netns "$NET-${host%=*}" type veth peer name "${host%=*}" netns "$NET-lan"
		net_addresses "${host%=*}" eth0 "192.0.2.${host#*=}/24"
		in_ns lan ip link set "${host%=*}" master br0 up
	done
	wait_for 20 in_ns client ping -qc1 -W0.3 192.0.2.53
}

# Below example.net: unsafe.example.net is not signed, safe.example.net is and has its DS, lost.example.net has
# another's.
zones_write() { # SERIAL [LINE]
	cat >"$TMP/zones/example.net" <<-ZONE
		\$TTL 300
		@ SOA ns1 admin $1 3600 600 86400 5
		@ NS ns1
		ns1 A 192.0.2.53
		Web A 192.0.2.1
		web A 192.0.2.2
		web AAAA 2001:db8::1
		alias CNAME WEB
		lost-alias CNAME nowhere
		*.wild A 192.0.2.99
		a.b.deep TXT "below two empty names"
		$(for i in {1..60}; do echo "big TXT \"record $i of sixty, each as long as this one\""; done)
		unsafe NS ns1
		safe NS ns1
		lost NS ns1
		${2:-}
	ZONE
	for zone in unsafe safe lost; do
		printf '$TTL 300\n@ SOA ns1.example.net. admin 1 3600 600 86400 5\n@ NS ns1.example.net.\nwww A 192.0.2.3\n' \
			>"$TMP/zones/$zone.example.net"
	done
}

dns_start() {
	local zone zones=()
	for zone in example.net unsafe.example.net safe.example.net lost.example.net; do
		zones+=(--zone "$zone=$TMP/zones/$zone")
	done
	STATE_DIRECTORY=$TMP/state spawn dns dns.log isthmus-dns run --listen :53 "${zones[@]}" --rate 0 --log-level debug \
		--database "$TMP/state/dns.db" --control "$TMP/dns.sock" --control-group nogroup --user nobody
	DNS_PID=$SPAWNED
	wait_for 20 listening dns u 53
	wait_for 20 dns_command status
}

dns_command() { isthmus-dns "$@" --control "$TMP/dns.sock"; }

resolver_start() { # NAME ADDRESS
	cat >"$TMP/$1.conf" <<-CONF
		server:
			interface: $2
			access-control: 192.0.2.0/24 allow
			username: ""
			chroot: ""
			directory: "$TMP"
			pidfile: ""
			use-syslog: no
			module-config: "validator iterator"
			trust-anchor-file: "$TMP/$1.keys"
			harden-below-nxdomain: yes
			aggressive-nsec: yes
			val-log-level: 2
			do-ip6: no
		remote-control:
			control-enable: no
		stub-zone:
			name: "example.net"
			stub-addr: 192.0.2.53
	CONF
	spawn "$1" "$1.log" unbound -d -c "$TMP/$1.conf"
	wait_for 20 listening "$1" u 53
}

dig_at() { in_ns client dig "@$1" +time=$((5 * SLOW)) +tries=3 "${@:2}"; } # ADDRESS WORD...
direct() { dig_at 192.0.2.53 "$@"; }
# "NOERROR ad 2": the code, whether it was found secure, and how many answers there are.
verdict() {
	sed -n 's/.*status: \([A-Z]*\),.*/\1/p; s/^;; flags: \([a-z ]*\);.*ANSWER: \([0-9]*\),.*/\1 \2/p' | paste -sd' ' |
		awk '{ ad = "-"; for (i = 2; i < NF; i++) if ($i == "ad") ad = "ad"; print $1, ad, $NF }'
}
good() { dig_at 192.0.2.10 +dnssec "$@" | verdict; }
wrong() { dig_at 192.0.2.11 +dnssec "$@" | verdict; }

# ---- keys

key_stories() {
	equal "no key yet" "$(dns_command key show example.net)" ""
	equal "and no signature" "$(direct +dnssec web.example.net | verdict)" "NOERROR - 2"
	check "key add" dns_command key add example.net
	check "a key for a zone below" dns_command key add safe.example.net
	check "and for another" dns_command key add lost.example.net
	equal "the zone has the key that is shown" "$(direct +short example.net DNSKEY | tr -d ' ')" \
		"$(dns_command key show example.net | awk '$4 == "DNSKEY" { print $5 $6 $7 $8 }')"
	equal "CDS is the DS that is shown" "$(direct +short example.net CDS | tr -d ' ')" \
		"$(dns_command key show example.net | awk '$3 == "DS" { print $4 $5 $6 $7 }')"
	equal "JSON has the same" "$(dns_command key show example.net --json | jq -r '.keys[0].ds')" \
		"$(dns_command key show example.net | grep ' DS ')"
	equal "web and its signature" "$(direct +dnssec web.example.net | verdict)" "NOERROR - 3"
	refuse "another zone's name" dns_command key add example.com
	refuse "a part of a zone" dns_command key add web.example.net
	refuse "no word for it" dns_command key make example.net
	refuse "a tag that no key has" dns_command key del example.net 99999
	# Who may publish may not change keys.
	equal "another user publishes" "$(as_nobody publish x.example.net --address 192.0.2.9 2>&1)" ""
	equal "but adds no key" "$(as_nobody key add example.net 2>&1)" \
		"isthmus-dns: forbidden: only root may change keys"
	equal "nor removes one" "$(as_nobody key del example.net 2>&1)" "isthmus-dns: forbidden: only root may change keys"
	equal "the database is its owner's alone" "$(stat -c '%a %U' "$TMP/state/dns.db")" "600 nobody"
}

# The server is nobody, so it is another user of the group here.
as_nobody() { setpriv --reuid=12345 --regid=65534 --clear-groups isthmus-dns "$@" --control "$TMP/dns.sock"; }

# Both resolvers have an anchor for example.net; one of them has another zone's key.
anchors_write() {
	dns_command key show example.net >"$TMP/good.keys"
	dns_command key show lost.example.net | sed 's/lost\.example/example/' | grep DNSKEY >"$TMP/wrong.keys"
	chmod 0644 "$TMP"/*.keys
}

# The parent's file gets the DS of safe, and for lost that of safe's key under its name.
delegation_write() {
	zones_write 2 "$(dns_command key show safe.example.net | grep ' DS ')
$(dns_command key show safe.example.net | sed -n '/ DS /s/^safe/lost/p')"
	kill -HUP "$DNS_PID"
	wait_for 20 serial_is 2
}
serial_is() { [ "$(direct +short example.net SOA | awk '{ print $3 }')" = "$1" ]; }

# ---- answers

answer_stories() {
	equal "address" "$(good web.example.net)" "NOERROR ad 3"
	equal "in other letters" "$(good wEb.EXAMPLE.net AAAA)" "NOERROR ad 2"
	equal "alias" "$(good alias.example.net)" "NOERROR ad 5"
	equal "wildcard" "$(good x.y.wild.example.net)" "NOERROR ad 2"
	equal "the wildcard itself" "$(good '*.wild.example.net')" "NOERROR ad 2"
	equal "keys" "$(good example.net DNSKEY)" "NOERROR ad 2"
	equal "servers" "$(good example.net NS)" "NOERROR ad 2"
	equal "CDNSKEY" "$(good example.net CDNSKEY)" "NOERROR ad 2"
	equal "long answers, by TCP" "$(good big.example.net TXT)" "NOERROR ad 61"
	equal "no such type" "$(good web.example.net MX)" "NOERROR ad 0"
	equal "an empty name" "$(good deep.example.net)" "NOERROR ad 0"
	equal "one below" "$(good b.deep.example.net TXT)" "NOERROR ad 0"
	equal "and what is below it, after the denial" "$(good a.b.deep.example.net TXT)" "NOERROR ad 2"
	equal "wildcard without this type" "$(good x.wild.example.net MX)" "NOERROR ad 0"
	equal "no such name" "$(good none.example.net)" "NOERROR ad 0"
	equal "nothing below it" "$(good a.none.example.net)" "NOERROR ad 0"
	equal "an alias to no name" "$(good lost-alias.example.net)" "NOERROR ad 2"
	equal "NSEC asked for" "$(good web.example.net NSEC)" "NOERROR ad 2"
	equal "of no name" "$(good nobody.example.net NSEC)" "NOERROR ad 2"
	equal "who does not want signatures is told NXDOMAIN" "$(direct none.example.net | verdict)" "NXDOMAIN - 0"
	equal "and who sets the flag CO, which comes back" "$(asked_with c000 none.example.net)" "3 c000"
	equal "but not who does not" "$(asked_with 8000 none.example.net)" "0 8000"
	equal "NXNAME is no question" "$(direct none.example.net TYPE128 | verdict)" "FORMERR - 0"
	equal "another key: bogus" "$(wrong web.example.net)" "SERVFAIL - 0"
	equal "denial too" "$(wrong none.example.net)" "SERVFAIL - 0"
	equal "who does not want it checked gets it" "$(wrong +cdflag web.example.net)" "NOERROR - 3"
}

# asked_with FLAGS NAME: the code of the answer, and its EDNS flags. (dig does not send flags that it does not know.)
asked_with() {
	in_ns client python3 -c '
import socket, struct, sys
flags, name = int(sys.argv[1], 16), sys.argv[2].split(".")
question = b"".join(bytes([len(label)]) + label.encode() for label in name) + b"\0\0\1\0\1"
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.settimeout(float(sys.argv[3]))
    client.sendto(bytes.fromhex("123400000001000000000001") + question +
                  struct.pack("!BHHBBHH", 0, 41, 1232, 0, 0, flags, 0), ("192.0.2.53", 53))
    answer = client.recv(4096)
print(answer[3] & 15, answer[-4:-2].hex())' "$1" "$2" $((5 * SLOW))
}

published_stories() {
	local port
	check "publish a service" dns_command publish _http._tcp.web.example.net --target WEB.example.net --port 40080 --ttl 1
	equal "SRV" "$(good _http._tcp.web.example.net SRV)" "NOERROR ad 2"
	for port in 40081 40082; do
		check "publish another, and ask at once" dns_command publish _http._tcp.web.example.net \
			--target web.example.net --port $port --ttl 1
		check "it is signed" wait_for 20 services_are $((port - 40080 + 1))
	done
	check "publish an address beside those of the file" dns_command publish direct.example.net --address 192.0.2.7 --ttl 0
	equal "which no cache keeps" "$(good direct.example.net)" "NOERROR ad 2"
	check "it is withdrawn" dns_command withdraw direct.example.net
	equal "and denied" "$(good direct.example.net)" "NOERROR ad 0"
}
services_are() { [ "$(good _http._tcp.web.example.net SRV)" = "NOERROR ad $(($1 + 1))" ]; }

delegation_stories() {
	equal "a zone below that is not signed" "$(good www.unsafe.example.net)" "NOERROR - 1"
	equal "that it has no DS is proved" "$(good unsafe.example.net DS)" "NOERROR ad 0"
	equal "one that is signed" "$(good www.safe.example.net)" "NOERROR ad 2"
	equal "its DS" "$(good safe.example.net DS)" "NOERROR ad 2"
	equal "one whose DS is another key's" "$(good www.lost.example.net)" "SERVFAIL - 0"
}

# The validator of another house, without a resolver in between.
delv_stories() {
	local asked
	{
		echo 'trust-anchors {'
		awk '$4 == "DNSKEY" { printf "%s static-key %s %s %s \"%s\";\n", $1, $5, $6, $7, $8 }' "$TMP/good.keys"
		echo '};'
	} >"$TMP/delv.keys"
	sed "s/\"[^\"]*\"/\"$(awk '{ print $8 }' "$TMP/wrong.keys" | sed 's,/,\\/,g')\"/" "$TMP/delv.keys" >"$TMP/delv.wrong"
	for asked in "web.example.net A" "_http._tcp.web.example.net SRV" "x.wild.example.net A" "example.net SOA"; do
		check "delv: $asked" delv_says "fully validated" delv.keys $asked
	done
	for asked in "web.example.net MX" "none.example.net A" "deep.example.net A"; do
		check "delv: $asked is denied" delv_says "negative response, fully validated" delv.keys $asked
	done
	check "delv with another key" delv_says "resolution failed" delv.wrong web.example.net A
}
delv_says() { # WHAT KEYS NAME TYPE
	in_ns client delv @192.0.2.53 +root=example.net -a "$TMP/$2" "$3" "$4" >"$TMP/delv.log" 2>&1 || true
	grep -q "$1" "$TMP/delv.log" || { cat "$TMP/delv.log" && false; }
}

# ---- what lasts

restart_stories() {
	local before
	before=$(dns_command key show example.net)
	end "$DNS_PID" KILL
	wait_for 20 ended "$DNS_PID"
	chown -R root:root "$TMP/state" # as systemd does with a StateDirectory
	dns_start
	equal "keys outlive a kill" "$(dns_command key show example.net)" "$before"
	equal "and are the same to the resolver" "$(good new1.wild.example.net)" "NOERROR ad 2"
	zones_write 3 "added A 192.0.2.4"
	kill -HUP "$DNS_PID"
	check "a new zone file" wait_for 20 serial_is 3
	equal "is signed" "$(good added.example.net)" "NOERROR ad 2"
	equal "by the same key" "$(dns_command key show example.net)" "$before"
	check "a second key" dns_command key add example.net
	equal "is published, and both sign the keys" "$(direct +dnssec example.net DNSKEY | verdict)" "NOERROR - 4"
	equal "the first one signs the rest" "$(good new2.wild.example.net)" "NOERROR ad 2"
	equal "as it is shown" "$(dns_command key show example.net | grep -c ', signs')" 1
	check "the first is removed" dns_command key del example.net "$(awk 'NR == 1 { print $3 + 0 }' "$TMP/good.keys")"
	equal "one is left" "$(dns_command key show example.net | grep -c DNSKEY)" 1
	end "$GOOD_PID"
	resolver_start good 192.0.2.10
	equal "who has only the first takes it for forged" "$(good web.example.net)" "SERVFAIL - 0"
	equal "nothing secret is logged" "$(grep -c 'BEGIN\|private' "$TMP/dns.log")" 0
	at_least "signatures are counted" "$(dns_command status --json | jq .signatures)" 5
	equal "none failed" "$(dns_command status --json | jq .signatures_failed)" 0
}

mkdir -m 0755 "$TMP/zones"
chmod 0711 "$TMP"
install -d -m 0700 -o 65534 -g 65534 "$TMP/state"
zones_write 1
lan_start
dns_start
key_stories
anchors_write
delegation_write
resolver_start good 192.0.2.10
GOOD_PID=$SPAWNED
resolver_start wrong 192.0.2.11
answer_stories
published_stories
delegation_stories
delv_stories
restart_stories
