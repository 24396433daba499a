#!/bin/sh
# Run a command of the binary with the settings of make's command line, whose names SETTINGS lists. Their values come
# through the environment: no byte of them is ever program text. Usage: settings.sh BINARY COMMAND [key=value...]
for name in $SETTINGS; do
    case $name in
    [0-9]* | *[!A-Za-z0-9_]*)
        echo "make: $name: no name of a setting; a setting is LETTERS=value" >&2
        exit 2
        ;;
    esac
    eval "value=\$$name"
    set -- "$@" "$name=$value"
done
exec "$@"
