# SPDX-License-Identifier: GPL-3.0-or-later
# What build, test and demo need from the distribution (Debian 12, 13, Ubuntu 24.04). The stamp is
# the list itself, so that a longer list installs again.
DEPS := gcc make clang llvm clang-format pkg-config libc6-dev linux-libc-dev \
        libbpf-dev libelf-dev zlib1g-dev libcmocka-dev libevent-dev libssl-dev libjansson-dev libsqlite3-dev \
        libinih-dev libmnl-dev libcap-ng-dev libsystemd-dev libclang-rt-dev libknot-dev \
        iproute2 nftables ethtool iputils-ping procps util-linux tcpdump openssl curl busybox dnsmasq-base \
        bind9-dnsutils unbound netbase wget openssh-client openssh-server traceroute mandoc jq netcat-openbsd python3 git \
        kea-dhcp4-server isc-dhcp-client knot knot-dnsutils bind9 knot-resolver python3-scapy python3-pyftpdlib nginx \
        ndisc6 iputils-arping python3-openssl dante-server proxychains4 microsocks
# Tests and demos start name servers, resolvers and sshds of their own; services that were not there before are stopped again.
# Ubuntu has bpftool in the kernel's tools.
DEPS_BPFTOOL := $(shell . /etc/os-release; [ "$$ID" = ubuntu ] && echo linux-tools-common linux-tools-generic || echo bpftool)
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/local/sbin/bpftool /usr/lib/linux-tools/*/bpftool) bpftool)

DEPS_ALL := $(DEPS) $(DEPS_BPFTOOL)
DEPS_OK  := build/deps-$(shell echo '$(DEPS_ALL)' | cksum | cut -d' ' -f1)

$(DEPS_OK):
	@mkdir -p build
	@missing=$$(for p in $(DEPS_ALL); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
	  echo "installing:" $$missing; \
	  root=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	  $$root apt-get update -q >build/deps.log 2>&1; \
	  DEBIAN_FRONTEND=noninteractive $$root apt-get install -y -q --no-install-recommends $$missing >>build/deps.log 2>&1 || \
	    { tail -20 build/deps.log; exit 1; }; \
	  for service in unbound:unbound knot:knot bind9:named knot-resolver:kresd.target knot-resolver:kres-cache-gc \
	      openssh-server:ssh.socket openssh-server:ssh.service nginx:nginx dante-server:danted \
      microsocks:microsocks; do \
	    case " $$missing " in *" $${service%:*} "*) \
	      [ ! -d /run/systemd/system ] || $$root systemctl disable -q --now $${service#*:} >>build/deps.log 2>&1 || true ;; \
	    esac; \
	  done; \
	fi
	@rm -f build/deps-*; touch $@
deps: $(DEPS_OK)
