#!/bin/sh
# What `meson install` puts in place besides the program: its manual pages and its completion for
# bash, as it prints them itself (docs/decisions/0018).
set -eu
weir=$1
pages=$MESON_INSTALL_DESTDIR_PREFIX/$2/man1
completions=$MESON_INSTALL_DESTDIR_PREFIX/$3/bash-completion/completions

mkdir -p "$pages" "$completions"
"$weir" manual --into "$pages"
"$weir" completion >"$completions/weir"
