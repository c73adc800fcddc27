# Asks the server for its model's state. Arguments: ready or alive, the model, the port, how long to
# wait for an answer in seconds, the server's process name.
. "${BASH_SOURCE%/*}/get.sh"
. "${BASH_SOURCE%/*}/server_process.sh"
check=$1 model=$2 port=$3 patience=$4 process=$5

answer=$(get "$patience" 127.0.0.1 "$port" "/v1/models/$model")
code=$?
compact=${answer//[[:space:]]/}
in_state() { [[ $compact =~ \"state\":\"($1)\" ]]; }

if [[ $check == ready ]]; then
  in_state AVAILABLE && exit 0
elif ((code == 124)); then
  exit 0 # slow is not dead: the server may be drawing on all CPUs
elif [[ -z $answer ]]; then
  server_process "$process" && exit 0 # it opens its ports only once the model is loaded
  echo "the server's process is gone"
  exit 1
elif [[ $answer != HTTP/1.?' 404'* ]]; then
  in_state END || exit 0
  in_state 'START|LOADING|AVAILABLE|UNLOADING' && exit 0
fi

if [[ $compact =~ \"state\":\"([A-Z]+)\" ]]; then
  echo "model $model is in state ${BASH_REMATCH[1]}"
elif ((code == 124)); then
  echo "no answer within $patience s"
elif [[ -z $answer ]]; then
  echo "port $port is closed: the server opens it once it has loaded model $model"
else
  echo "no state of model $model: ${answer%%$'\r'*}"
fi
exit 1
