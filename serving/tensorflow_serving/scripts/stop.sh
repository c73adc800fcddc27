# How the server of a stopping pod ends.

end_unused() { # SERVER WEB_PORT RAW_SECONDS: ends the process once nobody needs it
  local server=$1 web_port=$2 raw_seconds=$3
  local IFS=$' \t\n' # a trap has that of the command it interrupts
  # The web service draws the last pictures of a stop, and then closes its port.
  while is_open "$web_port"; do
    kill -0 "$server" 2>/dev/null || return
    sleep 1
  done
  if [[ $raw_seconds != 0 ]]; then
    sleep "$raw_seconds"
    until_idle "$server" || return
  fi
  kill -KILL "$server"
}

is_open() { # PORT: whether a process of the pod listens on it
  local port file address state
  printf -v port %04X "$1"
  for file in /proc/net/tcp /proc/net/tcp6; do
    [[ -r $file ]] || continue
    while read -r _ address _ state _; do
      [[ $address == *:"$port" && $state == 0A ]] && return # 0A is LISTEN
    done <"$file"
  done
  return 1
}

until_idle() { # SERVER: a busy one uses CPU or has runnable threads, as /proc says; fails if it is gone
  local server=$1 sample=2 idle=20 quiet=0 before wanted
  while ((quiet < 2)); do
    look "$server" || return
    before=$ticks wanted=$runnable
    sleep "$sample"
    look "$server" || return
    # A tick is a hundredth of a second: less than a tenth of one core.
    if ((ticks - before < idle && !wanted && !runnable)); then ((quiet += 1)); else quiet=0; fi
  done
}

look() { # SERVER: sets $ticks, and $runnable to 1 if a thread runs or wants to
  local line fields thread
  read -r line 2>/dev/null <"/proc/$1/stat" || return
  fields=(${line##*) })
  ticks=$((fields[11] + fields[12]))
  runnable=0
  for thread in "/proc/$1/task/"*; do
    read -r line 2>/dev/null <"$thread/stat" || continue
    [[ ${line##*) } == R* ]] && runnable=1
  done
  return 0
}
