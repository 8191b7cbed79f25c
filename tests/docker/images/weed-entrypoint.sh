#!/bin/sh
# As the official image of SeaweedFS starts: the first word is a command of weed, which gets some options more.
set -eu

[ "$1" = server ] || exec weed "$@"
shift
exec weed server -dir=/data -master.volumePreallocate -master.volumeSizeLimitMB=1024 "$@"
