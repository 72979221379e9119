#!/usr/bin/env bash
# Makes the Debian package: BUILD/package/weir_VERSION_ARCH.deb. debhelper works in a copy of the
# tree, so that nothing is left in this one.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$(realpath -m "${BUILD:-build}")
place=$build/package
version=$(sed -n "s/^  version: '\(.*\)',$/\1/p" meson.build)
if ! grep -q "^weir ($version) " packaging/debian/changelog; then
    echo "packaging/debian/changelog does not begin with version $version of meson.build"
    exit 1
fi
rm -rf "$place/tree" "$place"/weir_* "$place"/weir-dbgsym_*
mkdir -p "$place/tree"
tar -cf - --exclude=./.git --exclude='./build' --exclude='./build-*' --exclude="$build" . |
    tar -xf - -C "$place/tree"
mv "$place/tree/packaging/debian" "$place/tree/debian"
log=$place/build.log
if ! (cd "$place/tree" && dpkg-buildpackage --build=binary --no-sign >"$log" 2>&1); then
    tail -n 60 "$log"
    exit 1
fi
rm -rf "$place/tree"
ls "$place"/weir_*.deb
