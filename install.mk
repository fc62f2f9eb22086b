# SPDX-License-Identifier: GPL-3.0-or-later
# make install | uninstall DESTDIR= PREFIX=: programs, manual pages, completion, systemd units, examples.
BIN_DIR        = $(DESTDIR)$(PREFIX)/bin
MAN_DIR        = $(DESTDIR)$(PREFIX)/share/man/man8
COMPLETION_DIR = $(DESTDIR)$(PREFIX)/share/bash-completion/completions
UNIT_DIR       = $(DESTDIR)$(PREFIX)/lib/systemd
LIB_DIR        = $(DESTDIR)$(PREFIX)/lib/isthmus
DOC_DIR        = $(DESTDIR)$(PREFIX)/share/doc/isthmus

MAN_PAGES = $(wildcard docs/*.8)
UNITS     = $(wildcard agents/*/*.service)
# The peer's is a user's own unit, the others are the system's.
unit_path = $(UNIT_DIR)/$(if $(filter isthmus-peer.service,$(notdir $(1))),user,system)/$(notdir $(1))
EXAMPLES  = $(wildcard agents/*/*.conf)

install: build
	$(call say,INSTALL,$(DESTDIR)$(PREFIX))
	$(Q)install -d $(BIN_DIR) $(MAN_DIR) $(COMPLETION_DIR) $(LIB_DIR) $(UNIT_DIR)/system $(UNIT_DIR)/user $(DOC_DIR)/examples
	$(Q)install -m 755 $(PROGRAMS) $(BIN_DIR)
	$(Q)install -m 644 $(PRELOADED) $(LIB_DIR)
	$(Q)install -m 644 $(MAN_PAGES) $(MAN_DIR)
	$(Q)install -m 644 loader/isthmus.bash $(COMPLETION_DIR)/isthmus
	$(Q)$(if $(EXAMPLES),install -m 644 $(EXAMPLES) $(DOC_DIR)/examples)
	$(Q)$(foreach unit,$(UNITS),sed 's|^\(Exec[A-Za-z]*=[-+!@]*\)[^ ]*/isthmus|\1$(PREFIX)/bin/isthmus|' $(unit) \
	  >$(call unit_path,$(unit)) && chmod 644 $(call unit_path,$(unit)) &&) true

uninstall:
	$(call say,REMOVE,$(DESTDIR)$(PREFIX))
	$(Q)rm -f $(PROGRAMS:$B/%=$(BIN_DIR)/%) $(MAN_PAGES:docs/%=$(MAN_DIR)/%) $(COMPLETION_DIR)/isthmus $(PRELOADED:$B/%=$(LIB_DIR)/%)
	$(Q)rm -f $(foreach unit,$(UNITS),$(call unit_path,$(unit))) $(addprefix $(DOC_DIR)/examples/,$(notdir $(EXAMPLES)))
	$(Q)for dir in $(DOC_DIR)/examples $(DOC_DIR) $(LIB_DIR); do [ ! -d $$dir ] || rmdir --ignore-fail-on-non-empty $$dir; done
