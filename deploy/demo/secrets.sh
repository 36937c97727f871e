#!/bin/sh
# Makes what a fleet's halves know each other by, once: secrets.sh ADMIN GATEWAY NAME
# ADMIN and GATEWAY are the directories that `doorward admin` and `doorward gateway` find as
# /run/secrets; NAME is the admin API's, as gateways call it. What ADMIN has is kept: a restart changes
# nothing, and the database can still be read. A run that was broken off is taken up by the next, and a
# key-encryption key is never replaced: without it nobody can read what was sealed by it. For the demo of
# docker-compose.dev.yml: an authority whose key is thrown away, and certificates of ten years, are
# nothing to run a fleet on.
set -eu
umask 077

admin=$1 gateway=$2 name=$3

make_all() {
    openssl rand -base64 48 >"$work/fleet-token"
    openssl rand -base64 48 >"$work/key-encryption-key"
    # An authority, and one certificate by it.
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
        -subj "/CN=Doorward demo" -addext "keyUsage=critical,keyCertSign" \
        -keyout "$work/ca-key.pem" -out "$work/fleet-ca.pem"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
        -CA "$work/fleet-ca.pem" -CAkey "$work/ca-key.pem" -subj "/CN=$name" \
        -addext "subjectAltName=DNS:$name" -addext "basicConstraints=critical,CA:FALSE" \
        -addext "keyUsage=critical,digitalSignature" -addext "extendedKeyUsage=serverAuth" \
        -keyout "$work/fleet-key.pem" -out "$work/fleet-certificate.pem"
    if [ ! -e "$admin/key-encryption-key" ]; then place "$admin" "$work/key-encryption-key"; fi
    place "$admin" "$work/fleet-ca.pem" "$work/fleet-certificate.pem" "$work/fleet-key.pem"
    # Last: where it is, all is.
    place "$admin" "$work/fleet-token"
}

# Puts files into the directory that is named first, each under its name only once all of it is there.
place() (
    directory=$1
    shift
    for file in "$@"; do
        new=$directory/.${file##*/}.new
        cp "$file" "$new"
        sync "$new"
        mv -f "$new" "$directory/${file##*/}"
    done
)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ ! -e "$admin/fleet-token" ]; then make_all; fi

# What a gateway needs, and nothing by which it could be an admin API.
place "$gateway" "$admin/fleet-ca.pem" "$admin/fleet-token"

# To the user of the image, where this is root's to give.
if [ "$(id -u)" -eq 0 ]; then chown -R 65532:65532 "$admin" "$gateway"; fi
