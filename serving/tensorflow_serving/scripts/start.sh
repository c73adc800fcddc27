# Runs the server, passes its output on, and ends as it ends. Arguments: the port of the web service
# beside it; for how many seconds of a stop others still send requests to the server itself, 0 if
# nobody does; the server's command.
#
# The server looks for its model once. If it finds none, it says so and waits for ever with its
# ports closed, so it is ended here.
. "${BASH_SOURCE%/*}/stop.sh"
web_port=$1 raw_seconds=$2
shift 2

server='' stopping=''
stop() { # the server goes on until the web service beside it, which may still draw, has ended
  [[ $stopping ]] && return
  server=${server:-$!} # the signal may come as soon as there is one
  [[ $server ]] || exit 0
  end_unused "$server" "$web_port" "$raw_seconds" &
  stopping=1
}
trap stop TERM
exec 3>&1
exec 4< <(exec "$@" 2>&1 >&3 3>&-)
server=${server:-$!}

found_nothing='file_system_storage_path_source\.cc:[0-9]+\] '
found_nothing+='(No versions of servable|.*encountered a filesystem access error)'
failed=
while IFS= read -r line <&4 || [[ -n $line ]]; do
  printf '%s\n' "$line" >&2
  if [[ $line =~ $found_nothing ]]; then
    failed=1
    kill -KILL "$server" 2>/dev/null
  fi
done

# The trap of a signal ends wait early.
while :; do
  wait "$server"
  code=$?
  kill -0 "$server" 2>/dev/null || break
done
if [[ -n $failed ]]; then
  echo "start: the server found no model, as logged above; ending the container to look again" >&2
  exit 1
fi
[[ $stopping && $code == 137 ]] && exit 0 # ended above
exit "$code"
