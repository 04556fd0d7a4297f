#!/bin/sh
# In the image: `serve` listens at all addresses of the container with $SLUICE_API_KEY; every other command is the program's own.
set -eu
program=/opt/sluice/bin/sluice
if [ "${1:-}" != serve ]; then
  exec "$program" "$@"
fi
shift
if [ -z "${SLUICE_API_KEY:-}" ]; then
  echo "sluice: SLUICE_API_KEY is empty, and the image listens at all addresses: set it with -e SLUICE_API_KEY=KEY" >&2
  exit 2
fi
umask 077
keys=$(mktemp)
printf '%s\n' "$SLUICE_API_KEY" >"$keys"
unset SLUICE_API_KEY
exec "$program" serve "$@" --host 0.0.0.0 --api-key-file "$keys"
