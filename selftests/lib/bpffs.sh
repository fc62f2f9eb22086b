# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash
# A machine that systemd did not start may have no BPF file system yet; programs are pinned there.
if [ "$(id -u)" = 0 ] && ! mountpoint -q /sys/fs/bpf; then
	mount -t bpf bpf /sys/fs/bpf
fi
