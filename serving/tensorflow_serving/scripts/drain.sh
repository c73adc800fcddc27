# Ends the server once no new requests arrive and it is idle. Arguments: its process name; in seconds,
# how long requests still arrive and how long a sample takes; the CPU ticks of an idle server in one.
#
# A busy server uses CPU or has runnable threads, an idle one does not: /proc says so.
. "${BASH_SOURCE%/*}/server_process.sh"
process=$1 lag=$2 sample=$3 idle=$4

look() { # sets $ticks, and $runnable to 1 if a thread runs or wants to
  local line fields thread
  read -r line 2>/dev/null <"/proc/$server/stat" || exit 0
  fields=(${line##*) })
  ticks=$((fields[11] + fields[12]))
  runnable=0
  for thread in "/proc/$server/task/"*; do
    read -r line 2>/dev/null <"$thread/stat" || continue
    [[ ${line##*) } == R* ]] && runnable=1
  done
}

server_process "$process" || exit 0
sleep "$lag"
quiet=0
while ((quiet < 2)); do
  look
  before=$ticks wanted=$runnable
  sleep "$sample"
  look
  if ((ticks - before < idle && !wanted && !runnable)); then ((quiet += 1)); else quiet=0; fi
done
kill -TERM "$server"
