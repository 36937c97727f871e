#!/bin/sh
# Makes what a fleet's halves know each other by, once: secrets.sh ADMIN GATEWAY NAME
# ADMIN and GATEWAY are the directories that `doorward admin` and `doorward gateway` find as
# /run/secrets; NAME is the admin API's, as gateways call it. A directory that is filled stays as it is,
# so that a restart changes nothing. For the demo of docker-compose.dev.yml: an authority whose key is
# thrown away, and certificates of ten years, are nothing to run a fleet on.
set -eu
umask 077

admin=$1 gateway=$2 name=$3

if [ -e "$admin/fleet-token" ] && [ -e "$gateway/fleet-token" ]; then exit 0; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

openssl rand -base64 48 | tr -d '\n' >"$work/fleet-token"
openssl rand -base64 48 | tr -d '\n' >"$work/key-encryption-key"

# An authority, and one certificate by it.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
    -subj "/CN=Doorward demo" -addext "keyUsage=critical,keyCertSign" -keyout "$work/ca-key.pem" -out "$work/fleet-ca.pem"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
    -CA "$work/fleet-ca.pem" -CAkey "$work/ca-key.pem" -subj "/CN=$name" \
    -addext "subjectAltName=DNS:$name" -addext "basicConstraints=critical,CA:FALSE" \
    -addext "keyUsage=critical,digitalSignature" -addext "extendedKeyUsage=serverAuth" \
    -keyout "$work/fleet-key.pem" -out "$work/fleet-certificate.pem"

# Each half gets what it needs. The token comes last: where it is, all is.
cp "$work/fleet-certificate.pem" "$work/fleet-key.pem" "$work/key-encryption-key" "$admin/"
cp "$work/fleet-ca.pem" "$gateway/"
cp "$work/fleet-token" "$admin/"
cp "$work/fleet-token" "$gateway/"

# To the user of the image, where this is root's to give.
if [ "$(id -u)" -eq 0 ]; then chown -R 65532:65532 "$admin" "$gateway"; fi
