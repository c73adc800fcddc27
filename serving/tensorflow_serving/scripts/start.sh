# Starts the command in the arguments, passes its output on, and ends as it ends.
#
# The server looks for its model once. If it finds none, it says so and waits for ever with its
# ports closed, so it is ended here.

# SIGTERM must not end the container: the server may be drawing, and the preStop hook ends it.
trap : TERM

exec 3>&1
exec 4< <(exec "$@" 2>&1 >&3 3>&-)
server=$!
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
exit "$code"
