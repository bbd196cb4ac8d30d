#!/usr/bin/env bash
# onnxruntime 1.31.1, from PyPI, on Linux: importing it is enough to leave an identity of the machine and a database
# for reports in ~/.cache/Microsoft/DeveloperTools/.onnxruntime.
# With ORT_DISABLE_TELEMETRY=1 in the environment before the import nothing is written.
# Programs that promise to stay on the machine have to set it themselves, before anything else imports the package.
# Exits 0 while it is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q onnxruntime==1.31.1 numpy==2.4.6

written() { # the files that an import leaves in an empty home, with these settings
    home=$(mktemp -d -p "$folder")
    env -i PATH="$PATH" HOME="$home" "$@" "$folder/venv/bin/python" -c \
        'import onnxruntime; print("onnxruntime", onnxruntime.__version__)' >&2
    (cd "$home" && find . -type f | sort)
}

plain=$(written)
told=$(written ORT_DISABLE_TELEMETRY=1)
printf 'as it is:\n%s\nwith ORT_DISABLE_TELEMETRY=1:\n%s\n' "$plain" "$told"
grep -q '/.cache/Microsoft/DeveloperTools/.onnxruntime/deviceid$' <<<"$plain"
grep -q '/.cache/Microsoft/DeveloperTools/.onnxruntime/onnxruntime.db$' <<<"$plain"
test -z "$told"
