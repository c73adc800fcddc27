server_process() { # NAME: sets $server to the process of that name, as /proc shows it; fails if there is none
  local folder name
  server=
  for folder in /proc/[0-9]*; do
    read -r name 2>/dev/null <"$folder/comm" || continue
    [[ $name == "$1" ]] && server=${folder#/proc/}
  done
  [[ -n $server ]]
}
