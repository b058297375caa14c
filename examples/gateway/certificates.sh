#!/bin/sh
# An authority of our own, three certificates, and the Secrets that the gateway's are in (conf/secrets.yaml).
set -eu
umask 077
ec="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
openssl req -x509 $ec -days 30 -subj /CN=Example-CA -keyout ca.key -out ca.crt 2>/dev/null

certificate() { # FILE NAME
    openssl req $ec -subj "/CN=$1" -keyout "$1.key" -out "$1.csr" 2>/dev/null
    printf 'subjectAltName=DNS:%s' "$2" > "$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -days 30 -extfile "$1.ext" -out "$1.crt" 2>/dev/null
    rm "$1.csr" "$1.ext"
}

secret() { # NAME
    cat <<YAML
---
apiVersion: v1
kind: Secret
metadata: {name: $1}
type: kubernetes.io/tls
data:
  tls.crt: $(base64 -w0 "$1.crt")
  tls.key: $(base64 -w0 "$1.key")
YAML
}

certificate shop shop.example
certificate apps '*.apps.example'
# The third is the backend's own: the gateway never sees its key.
certificate vault vault.example
{ secret shop; secret apps; } > conf/secrets.yaml
