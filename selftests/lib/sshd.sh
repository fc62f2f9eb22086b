# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
#
# An ssh server of a demo's own; after net.sh. Keys and configuration are in TMP. It has its own /run and accounts: root may
# log in by $TMP/user_key even where it is locked, has TMP as home, and no start-up files of the machine's.

# sshd_start NS ADDRESS:PORT: its host key is $TMP/host_key_NS
sshd_start() {
	[ -f "$TMP/user_key" ] || ssh-keygen -q -t ed25519 -N '' -f "$TMP/user_key"
	ssh-keygen -q -t ed25519 -N '' -f "$TMP/host_key_$1"
	echo 'root:*:20000:0:99999:7:::' >"$TMP/shadow"
	sed "s|^root:.*|root:x:0:0:root:$TMP:/bin/sh|" /etc/passwd >"$TMP/passwd"
	cat >"$TMP/sshd_config_$1" <<-CONF
		ListenAddress $2
		HostKey $TMP/host_key_$1
		AuthorizedKeysFile $TMP/user_key.pub
		PermitRootLogin prohibit-password
		StrictModes no
		UsePAM no
		PidFile none
		Subsystem sftp internal-sftp
	CONF
	# shellcheck disable=SC2016 # of the shell within; /run/sshd is where sshd puts its unprivileged part
	spawn "$1" "sshd_$1.log" unshare -m sh -c 'mount -t tmpfs none /run && mkdir -m 755 /run/sshd &&
		mount --bind "$0/shadow" /etc/shadow && mount --bind "$0/passwd" /etc/passwd && exec "$@"' "$TMP" "$(command -v sshd)" -D -e -f "$TMP/sshd_config_$1"
}
