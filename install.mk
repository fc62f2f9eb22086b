# SPDX-License-Identifier: GPL-3.0-or-later
# make install | uninstall DESTDIR= PREFIX=: programs, manual pages, completion, systemd units, examples.
BIN_DIR        = $(DESTDIR)$(PREFIX)/bin
MAN_DIR        = $(DESTDIR)$(PREFIX)/share/man/man8
COMPLETION_DIR = $(DESTDIR)$(PREFIX)/share/bash-completion/completions
UNIT_DIR       = $(DESTDIR)$(PREFIX)/lib/systemd/system
DOC_DIR        = $(DESTDIR)$(PREFIX)/share/doc/isthmus

MAN_PAGES = $(wildcard docs/*.8)
UNITS     = $(wildcard agents/*/*.service)
EXAMPLES  = $(wildcard agents/*/*.conf)

install: build
	$(call say,INSTALL,$(DESTDIR)$(PREFIX))
	$(Q)install -d $(BIN_DIR) $(MAN_DIR) $(COMPLETION_DIR) $(UNIT_DIR) $(DOC_DIR)/examples
	$(Q)install -m 755 $(PROGRAMS) $(BIN_DIR)
	$(Q)install -m 644 $(MAN_PAGES) $(MAN_DIR)
	$(Q)install -m 644 loader/isthmus.bash $(COMPLETION_DIR)/isthmus
	$(Q)$(if $(EXAMPLES),install -m 644 $(EXAMPLES) $(DOC_DIR)/examples)
	$(Q)for unit in $(UNITS); do \
	  sed 's|^\(Exec[A-Za-z]*=[-+!@]*\)[^ ]*/isthmus|\1$(PREFIX)/bin/isthmus|' $$unit >$(UNIT_DIR)/$${unit##*/} && \
	  chmod 644 $(UNIT_DIR)/$${unit##*/} || exit 1; done

uninstall:
	$(call say,REMOVE,$(DESTDIR)$(PREFIX))
	$(Q)rm -f $(PROGRAMS:$B/%=$(BIN_DIR)/%) $(MAN_PAGES:docs/%=$(MAN_DIR)/%) $(COMPLETION_DIR)/isthmus
	$(Q)rm -f $(addprefix $(UNIT_DIR)/,$(notdir $(UNITS))) $(addprefix $(DOC_DIR)/examples/,$(notdir $(EXAMPLES)))
	$(Q)for dir in $(DOC_DIR)/examples $(DOC_DIR); do [ ! -d $$dir ] || rmdir --ignore-fail-on-non-empty $$dir; done
